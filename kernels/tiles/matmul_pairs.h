/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with some rows of activations (sequences that decode together): as matmul_direct.h, but
 * two tiles of weights at a time, group by group. A broadcast group of activations then serves two
 * dots, and there are twice as many chains of dots as rows, which hides their latency.
 */
#ifndef QN_KERNELS_TILES_MATMUL_PAIRS_H
#define QN_KERNELS_TILES_MATMUL_PAIRS_H

#include "kernels/tiles/matmul_direct.h"

enum { QN_PAIR = 2 };

/* Where a pair of tiles and the rows that they multiply are, from unit to unit. */
struct qn_pair {
    const uint8_t *unit[QN_PAIR];
    const int8_t *q;                /* activations of row 0, x_ld bytes a row */
    const struct qn_act_block *act; /* alike */
    size_t x_ld;
};

/* Group g of block b of a unit, as unpack_block gives it. */
QN_INLINE lanes_i unpack_group(const enum qn_pack form, const uint8_t *unit, int b, const int g) {
    const uint8_t *const high = unit + qn_pack_unit_k(form) / 2 * QN_R;
    if (form == QN_PACK_Q8_0) return lift_bytes(i_load(unit + (b * 8 + g) * QN_VEC));
    if (form == QN_PACK_Q2_K || form == QN_PACK_Q3_K) {
        const lanes_i pairs = i_load(unit + (b * 2 + g / 4) * QN_VEC);
        const lanes_i low = i_and(i_shift16(pairs, g % 4 * 2), i_set1_8(3));
        if (form == QN_PACK_Q2_K) return low;
        return i_insert(low, i_shift16(i_load(unit + 64 * QN_R + b * QN_VEC), g - 2), i_set1_8(4));
    }
    const lanes_i nibbles = i_load(unit + (b * 4 + g % 4) * QN_VEC);
    const lanes_i low = g < 4 ? i_and(nibbles, i_set1_8(15)) : i_high_nibbles(nibbles);
    if (form == QN_PACK_Q5_0 || form == QN_PACK_Q5_1 || form == QN_PACK_Q5_K)
        return i_insert(low, i_shift16(i_load(high + b * QN_VEC), g - 4), i_set1_8(16));
    if (form == QN_PACK_Q6_K) {
        const lanes_i pairs = i_load(high + (b * 2 + g / 4) * QN_VEC);
        return i_insert(low, i_shift16(pairs, g % 4 * 2 - 4), i_set1_8(48));
    }
    if (form == QN_PACK_IQ4_NL || form == QN_PACK_IQ4_XS)
        return lift_bytes(i_lookup(qn_pack_iq4_values, low));
    return low;
}

/* Adds block b of the units to y[mr][2]. scale, neg_min: [2][16][R]. */
QN_INLINE void pair_block(const enum qn_pack form, const struct qn_form_traits t,
                          const struct qn_pair *p, int b, const float *scale, const float *neg_min,
                          lanes_f (*y)[QN_PAIR], const int mr) {
    const int halves = 32 / t.sub, groups = t.sub / 4;
    const struct qn_act_block *act[QN_DIRECT_ROWS];
    QN_UNROLL for (int m = 0; m < mr; m++) act[m] =
        (const void *)((const char *)(p->act + b) + (size_t)m * p->x_ld);
    QN_UNROLL for (int h = 0; h < halves; h++) {
        lanes_i acc[QN_DIRECT_ROWS][QN_PAIR];
        QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < QN_PAIR; n++)
            acc[m][n] = i_set1(dot_start(t, act[m], h));
        QN_UNROLL for (int g = h * groups; g < (h + 1) * groups; g++) {
            lanes_i w[QN_PAIR];
            QN_UNROLL for (int n = 0; n < QN_PAIR; n++) w[n] = unpack_group(form, p->unit[n], b, g);
            QN_UNROLL for (int m = 0; m < mr; m++) {
                const lanes_i x = broadcast_group(p->q + (size_t)m * p->x_ld + b * 32 + g * 4);
                QN_UNROLL for (int n = 0; n < QN_PAIR; n++) acc[m][n] = i_dot(acc[m][n], w[n], x);
            }
        }
        lanes_f sc[QN_PAIR], nm[QN_PAIR];
        QN_UNROLL for (int n = 0; n < QN_PAIR; n++) {
            const int s = (n * 16 + b * halves + h) * QN_R;
            sc[n] = f_load(scale + s);
            nm[n] = t.mins ? f_load(neg_min + s) : f_zero();
        }
        QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < QN_PAIR; n++) y[m][n] =
            add_dot(t, acc[m][n], act[m], h, sc[n], nm[n], y[m][n]);
    }
}

/* mr = a->m rows by the two tiles from output n on. */
QN_INLINE void pair_tiles(const enum qn_pack form, const struct qn_form_traits t,
                          const struct qn_matmul *a, int n, const int mr) {
    const int unit_k = qn_pack_unit_k(form), blocks = unit_k / 32;
    const int units = (a->k + unit_k - 1) / unit_k, padded = (a->k + 255) / 256 * 256;
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const uint8_t *const tile = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
    struct qn_pair p = {.unit = {tile, tile + tile_size},
                        .q = a->x,
                        .act = (const void *)((const int8_t *)a->x + padded),
                        .x_ld = a->x_ld};
    lanes_f y[QN_DIRECT_ROWS][QN_PAIR];
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int i = 0; i < QN_PAIR; i++) y[m][i] =
        f_zero();
    for (int left = units - 1; left >= 0; left--, p.q += unit_k, p.act += blocks) {
        const size_t ahead =
            ahead_in_stream(reading_of(form, mr, QN_PAIR).l2, tile_size, left * unit_size,
                            tile_size, a->n1 - n > QN_PAIR * QN_R);
        _Alignas(64) float scale[QN_PAIR * 16 * QN_R], neg_min[QN_PAIR * 16 * QN_R];
        QN_UNROLL for (int i = 0; i < QN_PAIR; i++)
            unit_scales(form, p.unit[i], scale + i * 16 * QN_R, neg_min + i * 16 * QN_R, QN_R);
        for (int b = 0; b < blocks; b++) {
            QN_UNROLL for (int i = 0; i < QN_PAIR; i++)
                prefetch_part(p.unit[i], unit_size, b, blocks, ahead, 2);
            pair_block(form, t, &p, b, scale, neg_min, y, mr);
        }
        QN_UNROLL for (int i = 0; i < QN_PAIR; i++) p.unit[i] += unit_size;
    }
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int i = 0; i < QN_PAIR; i++)
        finish_tile(a, m, n + i * QN_R, y[m][i]);
}

/* The product with mr = a->m rows, 2 to QN_DIRECT_ROWS. */
QN_INLINE void pair_rows(const enum qn_pack form, const struct qn_form_traits t,
                         const struct qn_matmul *a, const int mr) {
    struct qn_matmul rest = *a;
    for (; a->n1 - rest.n0 > QN_R; rest.n0 += QN_PAIR * QN_R) pair_tiles(form, t, a, rest.n0, mr);
    if (rest.n0 < a->n1) direct_rows(form, t, &rest, mr);
}

#endif
