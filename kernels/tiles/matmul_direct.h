/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with few rows of activations (decode): streams the packed tiles once, unpacking in
 * registers.
 */
#ifndef QN_KERNELS_TILES_MATMUL_DIRECT_H
#define QN_KERNELS_TILES_MATMUL_DIRECT_H

#include "kernels/tiles/matmul_halves.h"

/* Adds block b of a unit to y[mr]. x: the block of row 0, x_ld bytes a row. */
QN_INLINE void direct_block(const enum qn_pack form, const struct qn_form_traits t,
                            const uint8_t *unit, int b, const float *scale, const float *neg_min,
                            struct qn_act_at x, size_t x_ld, lanes_f *y, const int mr) {
    lanes_i w[8];
    unpack_block(form, unit, b, w);
    const lanes_f sc = dot_scale(t, f_load(scale + b * QN_R));
    const lanes_f nm = t.mins ? f_load(neg_min + b * QN_R) : f_zero();
    QN_UNROLL for (int m = 0; m < mr; m++) {
        const struct qn_act_at xm = act_of_row(x, x_ld, m);
        const lanes_i dot = dot_groups(t, i_set1(dot_start(t, xm, 0)), w, xm.q, 8, NULL);
        y[m] = add_dot(t, dot, xm.block, sc, nm, y[m]);
    }
}

/* The same of a form with halves, to the unit's sums. */
QN_INLINE void direct_halves(const enum qn_pack form, const struct qn_form_traits t,
                             const uint8_t *unit, int b, struct qn_act_at x, size_t x_ld,
                             lanes_f *sum, lanes_f *min_sum, const int mr) {
    lanes_i w[8];
    unpack_block(form, unit, b, w);
    const lanes_i low = half_scale(form, unit, 2 * b), high = half_scale(form, unit, 2 * b + 1);
    const lanes_i mins = t.mins ? half_mins(unit, b) : i_zero();
    QN_UNROLL for (int m = 0; m < mr; m++) {
        const struct qn_act_at xm = act_of_row(x, x_ld, m);
        sum[m] = add_halves_block(t, w, xm, low, high, sum[m]);
        if (t.mins) min_sum[m] = add_half_mins(mins, xm, min_sum[m]);
    }
}

/* The unit's sums to y. */
QN_INLINE void direct_unit_end(const enum qn_pack form, const struct qn_form_traits t,
                               const uint8_t *unit, const lanes_f *sum, const lanes_f *min_sum,
                               lanes_f *y, const int mr) {
    const lanes_f d = unit_d(form, unit), dmin = t.mins ? unit_dmin(unit) : f_zero();
    QN_UNROLL for (int m = 0; m < mr; m++) y[m] = add_unit(t, sum[m], d, min_sum[m], dmin, y[m]);
}

/* mr = a->m rows by the nt tiles from output n on, each a stream. */
QN_INLINE void direct_tiles(const enum qn_pack form, const struct qn_form_traits t,
                            const struct qn_matmul *a, int n, const int mr, const int nt) {
    const int unit_k = qn_pack_unit_k(form), blocks = unit_k / 32;
    const int units = (a->k + unit_k - 1) / unit_k;
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const bool next = a->n1 - n > nt * QN_R;
    const uint8_t *unit = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
    struct qn_act_at x = qn_act_at(a->x, a->k, 0);
    const struct qn_reading reading = reading_of(form, mr, nt, a->amd);
    lanes_f y[QN_STREAMS_MAX][QN_DIRECT_ROWS];
    QN_UNROLL for (int i = 0; i < nt * mr; i++) y[i / mr][i % mr] = f_zero();
    for (int left = units - 1; left >= 0; left--, unit += unit_size) {
        const size_t bytes_left = left * unit_size, jump = (nt - 1) * tile_size;
        const size_t l1 = ahead_in_stream(reading.l1, tile_size, bytes_left, jump, next);
        const size_t l2 = ahead_in_stream(reading.l2, tile_size, bytes_left, jump, next);
        _Alignas(64) float scale[QN_STREAMS_MAX][8 * QN_R], neg_min[QN_STREAMS_MAX][8 * QN_R];
        lanes_f sum[QN_STREAMS_MAX][QN_DIRECT_ROWS], min_sum[QN_STREAMS_MAX][QN_DIRECT_ROWS];
        QN_UNROLL for (int i = 0; i < nt; i++) {
            if (!has_halves(t)) unit_scales(form, unit + i * tile_size, scale[i], neg_min[i], QN_R);
            QN_UNROLL for (int m = 0; m < mr; m++) sum[i][m] = min_sum[i][m] = f_zero();
        }
        /* By pairs of blocks: all 8 of a K-quant take the compiler twice as long, for nothing. */
        for (int pair = 0; pair < blocks; pair += 2, x = act_further(x, 2))
            QN_UNROLL for (int part = 0; part < 2 * nt; part++) {
                const int b = pair + part / nt, i = part % nt;
                const uint8_t *const stream = unit + i * tile_size;
                if (reading.l1 > 0) prefetch_part(stream, unit_size, b, blocks, l1, 1);
                if (reading.l2 > 0) prefetch_part(stream, unit_size, b, blocks, l2, 2);
                const struct qn_act_at xb = act_further(x, part / nt);
                if (has_halves(t))
                    direct_halves(form, t, stream, b, xb, a->x_ld, sum[i], min_sum[i], mr);
                else
                    direct_block(form, t, stream, b, scale[i], neg_min[i], xb, a->x_ld, y[i], mr);
            }
        if (has_halves(t))
            QN_UNROLL for (int i = 0; i < nt; i++)
                direct_unit_end(form, t, unit + i * tile_size, sum[i], min_sum[i], y[i], mr);
    }
    QN_UNROLL for (int i = 0; i < nt * mr; i++)
        finish_tile(a, i % mr, n + i / mr * QN_R, y[i / mr][i % mr]);
}

/* The product with a single row, which is bound by memory, and this gives more to several
 * streams. */
QN_INLINE void direct_row(const enum qn_pack form, const struct qn_form_traits t,
                          const struct qn_matmul *a) {
    const int streams = streams_of(form, qn_pack_form_tile_size(form, QN_R, a->k));
    int n = a->n0;
    if (streams == 4)
        for (; a->n1 - n > 3 * QN_R; n += 4 * QN_R) direct_tiles(form, t, a, n, 1, 4);
    if (streams > 1)
        for (; a->n1 - n > QN_R; n += 2 * QN_R) direct_tiles(form, t, a, n, 1, 2);
    for (; n < a->n1; n += QN_R) direct_tiles(form, t, a, n, 1, 1);
}

/* mr = a->m rows, at most QN_DIRECT_ROWS, by the tile from output n on. */
QN_INLINE void direct_strip(const enum qn_pack form, const struct qn_form_traits t,
                            const struct qn_matmul *a, int n, const int mr) {
    direct_tiles(form, t, a, n, mr, 1);
}

#endif
