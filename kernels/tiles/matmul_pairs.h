/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with some rows of activations (sequences that decode together, short prompts): as
 * matmul_direct.h, but two tiles of weights at a time, group by group. A broadcast group of
 * activations then serves two dots, and there are twice as many chains of dots as rows, which hides
 * their latency.
 */
#ifndef QN_KERNELS_TILES_MATMUL_PAIRS_H
#define QN_KERNELS_TILES_MATMUL_PAIRS_H

#include "kernels/tiles/matmul_direct.h"

enum { QN_PAIR = 2 };

/* Where a pair of tiles and the rows that they multiply are: from unit to unit, and within one from
 * block to block of the activations. */
struct qn_pair {
    const uint8_t *unit[QN_PAIR];
    struct qn_act_at x; /* of row 0, x_ld bytes a row */
    size_t x_ld;
};

/* Dots of groups [g0, g1) of block b onto acc[mr][2]. times [2]: what pairs of 16-bit sums are
 * multiplied with, where there are no dots of bytes; NULL: dot_times(). */
QN_INLINE void pair_dots(const enum qn_pack form, const struct qn_form_traits t,
                         const struct qn_pair *p, int b, const int g0, const int g1,
                         const lanes_i *times, lanes_i (*acc)[QN_PAIR], const int mr) {
#if QN_HAVE_DOT
    (void)t, (void)times;
#else
    lanes_i pairs[QN_DIRECT_ROWS][QN_PAIR]; /* sums of 16 bits */
#endif
    QN_UNROLL for (int g = g0; g < g1; g++) {
        lanes_i w[QN_PAIR];
        QN_UNROLL for (int n = 0; n < QN_PAIR; n++) w[n] = unpack_group(form, p->unit[n], b, g);
        QN_UNROLL for (int m = 0; m < mr; m++) {
            const lanes_i x = broadcast_group(p->x.q + (size_t)m * p->x_ld + g * 4);
            QN_UNROLL for (int n = 0; n < QN_PAIR; n++)
#if QN_HAVE_DOT
                acc[m][n] = i_dot(acc[m][n], w[n], x);
#else
                add_group(t, g - g0, w[n], x, times ? &times[n] : NULL, &pairs[m][n], &acc[m][n]);
#endif
        }
    }
}

/* Adds block b of the units to y[mr][2]. scale, neg_min: [2][8][R]. */
QN_INLINE void pair_block(const enum qn_pack form, const struct qn_form_traits t,
                          const struct qn_pair *p, int b, const float *scale, const float *neg_min,
                          lanes_f (*y)[QN_PAIR], const int mr) {
    lanes_i acc[QN_DIRECT_ROWS][QN_PAIR];
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < QN_PAIR; n++) acc[m][n] =
        i_set1(dot_start(t, act_of_row(p->x, p->x_ld, m), 0));
    pair_dots(form, t, p, b, 0, 8, NULL, acc, mr);
    lanes_f sc[QN_PAIR], nm[QN_PAIR];
    QN_UNROLL for (int n = 0; n < QN_PAIR; n++) {
        sc[n] = dot_scale(t, f_load(scale + (n * 8 + b) * QN_R));
        nm[n] = t.mins ? f_load(neg_min + (n * 8 + b) * QN_R) : f_zero();
    }
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < QN_PAIR; n++) y[m][n] =
        add_dot(t, acc[m][n], act_of_row(p->x, p->x_ld, m).block, sc[n], nm[n], y[m][n]);
}

#if QN_HAVE_DOT
/* The dots of a block of a form with halves, scaled, to the units' sums. */
QN_INLINE void pair_halves_dots(const enum qn_pack form, const struct qn_form_traits t,
                                const struct qn_pair *p, int b, lanes_f (*sum)[QN_PAIR],
                                const int mr) {
    struct half_scales scales[QN_PAIR];
    QN_UNROLL for (int n = 0; n < QN_PAIR; n++) scales[n] = half_scales_of(
        half_scale(form, p->unit[n], 2 * b), half_scale(form, p->unit[n], 2 * b + 1));
    lanes_f low[QN_DIRECT_ROWS][QN_PAIR];
    QN_UNROLL for (int h = 0; h < 2; h++) {
        lanes_i dots[QN_DIRECT_ROWS][QN_PAIR];
        QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < QN_PAIR; n++)
            dots[m][n] = i_set1(dot_start(t, act_of_row(p->x, p->x_ld, m), h));
        pair_dots(form, t, p, b, 4 * h, 4 * h + 4, NULL, dots, mr);
        QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < QN_PAIR; n++) {
            if (h == 0)
                low[m][n] = low_half(dots[m][n], scales[n]);
            else
                sum[m][n] = add_halves(low[m][n], dots[m][n], scales[n],
                                       act_of_row(p->x, p->x_ld, m), sum[m][n]);
        }
    }
}
#else
QN_INLINE void pair_halves_dots(const enum qn_pack form, const struct qn_form_traits t,
                                const struct qn_pair *p, int b, lanes_f (*sum)[QN_PAIR],
                                const int mr) {
    lanes_i times[2][QN_PAIR], dots[QN_DIRECT_ROWS][QN_PAIR];
    QN_UNROLL for (int n = 0; n < QN_PAIR; n++) {
        const lanes_i low = half_scale(form, p->unit[n], 2 * b);
        const lanes_i high = half_scale(form, p->unit[n], 2 * b + 1);
        times[0][n] = half_times(low);
        times[1][n] = half_times(high);
        QN_UNROLL for (int m = 0; m < mr; m++) dots[m][n] =
            halves_start(t, low, high, act_of_row(p->x, p->x_ld, m));
    }
    QN_UNROLL for (int h = 0; h < 2; h++)
        pair_dots(form, t, p, b, 4 * h, 4 * h + 4, times[h], dots, mr);
    QN_UNROLL for (int m = 0; m < mr; m++) {
        const lanes_f scale = f_set1(act_of_row(p->x, p->x_ld, m).block->scale);
        QN_UNROLL for (int n = 0; n < QN_PAIR; n++) sum[m][n] =
            f_fma(f_from_i(dots[m][n]), scale, sum[m][n]);
    }
}
#endif

/* A block of a form with halves, to the units' sums. */
QN_INLINE void pair_halves(const enum qn_pack form, const struct qn_form_traits t,
                           const struct qn_pair *p, int b, lanes_f (*sum)[QN_PAIR],
                           lanes_f (*min_sum)[QN_PAIR], const int mr) {
    pair_halves_dots(form, t, p, b, sum, mr);
    if (!t.mins) return;
    QN_UNROLL for (int n = 0; n < QN_PAIR; n++) {
        const lanes_i mins = half_mins(p->unit[n], b);
        QN_UNROLL for (int m = 0; m < mr; m++) min_sum[m][n] =
            add_half_mins(mins, act_of_row(p->x, p->x_ld, m), min_sum[m][n]);
    }
}

/* Adds a unit of a form with halves to y. */
QN_INLINE void pair_unit_halves(const enum qn_pack form, const struct qn_form_traits t,
                                struct qn_pair p, size_t ahead, lanes_f (*y)[QN_PAIR],
                                const int mr) {
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    lanes_f sum[QN_DIRECT_ROWS][QN_PAIR], min_sum[QN_DIRECT_ROWS][QN_PAIR];
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < QN_PAIR; n++) sum[m][n] =
        min_sum[m][n] = f_zero();
    for (int b = 0; b < QN_UNIT_BLOCKS; b++, p.x = act_further(p.x, 1)) {
        QN_UNROLL for (int n = 0; n < QN_PAIR; n++)
            prefetch_part(p.unit[n], unit_size, b, QN_UNIT_BLOCKS, ahead, 2);
        pair_halves(form, t, &p, b, sum, min_sum, mr);
    }
    QN_UNROLL for (int n = 0; n < QN_PAIR; n++) {
        const lanes_f d = unit_d(form, p.unit[n]);
        const lanes_f dmin = t.mins ? unit_dmin(p.unit[n]) : f_zero();
        QN_UNROLL for (int m = 0; m < mr; m++) y[m][n] =
            add_unit(t, sum[m][n], d, min_sum[m][n], dmin, y[m][n]);
    }
}

/* The same of a form with a scale for each block. */
QN_INLINE void pair_unit(const enum qn_pack form, const struct qn_form_traits t, struct qn_pair p,
                         size_t ahead, lanes_f (*y)[QN_PAIR], const int mr) {
    const int blocks = qn_pack_unit_k(form) / 32;
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    _Alignas(64) float scale[QN_PAIR * 8 * QN_R], neg_min[QN_PAIR * 8 * QN_R];
    QN_UNROLL for (int i = 0; i < QN_PAIR; i++)
        unit_scales(form, p.unit[i], scale + i * 8 * QN_R, neg_min + i * 8 * QN_R, QN_R);
    for (int b = 0; b < blocks; b++, p.x = act_further(p.x, 1)) {
        QN_UNROLL for (int i = 0; i < QN_PAIR; i++)
            prefetch_part(p.unit[i], unit_size, b, blocks, ahead, 2);
        pair_block(form, t, &p, b, scale, neg_min, y, mr);
    }
}

/* mr = a->m rows by the two tiles from output n on. */
QN_INLINE void pair_tiles(const enum qn_pack form, const struct qn_form_traits t,
                          const struct qn_matmul *a, int n, const int mr) {
    const int unit_k = qn_pack_unit_k(form), blocks = unit_k / 32;
    const int units = (a->k + unit_k - 1) / unit_k;
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const uint8_t *const tile = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
    struct qn_pair p = {
        .unit = {tile, tile + tile_size}, .x = qn_act_at(a->x, a->k, 0), .x_ld = a->x_ld};
    lanes_f y[QN_DIRECT_ROWS][QN_PAIR];
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int i = 0; i < QN_PAIR; i++) y[m][i] =
        f_zero();
    for (int left = units - 1; left >= 0; left--, p.x = act_further(p.x, blocks)) {
        const size_t ahead =
            ahead_in_stream(reading_of(form, mr, QN_PAIR, a->amd).l2, tile_size, left * unit_size,
                            tile_size, a->n1 - n > QN_PAIR * QN_R);
        (has_halves(t) ? pair_unit_halves : pair_unit)(form, t, p, ahead, y, mr);
        QN_UNROLL for (int i = 0; i < QN_PAIR; i++) p.unit[i] += unit_size;
    }
    finish_tiles(a, 0, n, y[0], QN_PAIR, mr, QN_PAIR);
}

/* A strip of mr = a->m rows, 2 or more, by the two tiles from output n on, or the last one. Of
 * forms with halves, pairs of more rows would take more sums and dots than there are registers. */
enum { HALVES_ROWS = 4 };
QN_INLINE void pair_strip(const enum qn_pack form, const struct qn_form_traits t,
                          const struct qn_matmul *a, int n, const int mr) {
    const bool two = a->n1 - n > QN_R;
    if (two && !(has_halves(t) && mr > HALVES_ROWS)) {
        pair_tiles(form, t, a, n, mr);
        return;
    }
    direct_tiles(form, t, a, n, mr, 1);
    if (two) direct_tiles(form, t, a, n + QN_R, mr, 1);
}

#endif
