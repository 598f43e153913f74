/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with few rows of activations (decode): streams the packed tiles once, unpacking in
 * registers.
 */
#ifndef QN_KERNELS_TILES_MATMUL_DIRECT_H
#define QN_KERNELS_TILES_MATMUL_DIRECT_H

#include "kernels/tiles/matmul_forms.h"

/* Adds block b of a unit to y[mr]. q, act: block b's activations of row 0, x_ld bytes a row. */
QN_INLINE void direct_block(const enum qn_pack form, const struct qn_form_traits t,
                            const uint8_t *unit, int b, const float *scale, const float *neg_min,
                            const int8_t *q, const struct qn_act_block *act, size_t x_ld,
                            lanes_f *y, const int mr) {
    lanes_i w[8];
    unpack_block(form, unit, b, w);
    const int halves = 32 / t.sub;
    QN_UNROLL for (int h = 0; h < halves; h++) {
        const int s = b * halves + h;
        const lanes_f sc = f_load(scale + s * QN_R);
        const lanes_f nm = t.mins ? f_load(neg_min + s * QN_R) : f_zero();
        QN_UNROLL for (int m = 0; m < mr; m++) {
            const int8_t *const qm = q + (size_t)m * x_ld + h * 16;
            const struct qn_act_block *const am =
                (const void *)((const char *)act + (size_t)m * x_ld);
            lanes_i dot = i_set1(dot_start(t, am, h));
            dot_groups(t, &dot, w + h * 4, &qm, t.sub / 4, 1);
            y[m] = add_dot(t, dot, am, h, sc, nm, y[m]);
        }
    }
}

/* The product with mr = a->m rows, at most QN_DIRECT_ROWS. */
QN_INLINE void direct_rows(const enum qn_pack form, const struct qn_form_traits t,
                           const struct qn_matmul *a, const int mr) {
    const int unit_k = qn_pack_unit_k(form), unit_size = qn_pack_unit_bytes(form) * QN_R;
    const int units = (a->k + unit_k - 1) / unit_k, padded = (a->k + 255) / 256 * 256;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const int8_t *const x = a->x;
    const uint8_t *tile = (const uint8_t *)a->w + (size_t)(a->n0 / QN_R) * tile_size;
    for (int n = a->n0; n < a->n1; n += QN_R, tile += tile_size) {
        const uint8_t *unit = tile;
        const int8_t *q = x;
        const struct qn_act_block *act = (const void *)(x + padded);
        lanes_f y[QN_DIRECT_ROWS];
        for (int m = 0; m < mr; m++) y[m] = f_zero();
        for (int u = 0; u < units; u++) {
            _Alignas(64) float scale[16 * QN_R], neg_min[16 * QN_R];
            prefetch_unit(unit, unit_size);
            unit_scales(form, unit, scale, neg_min, QN_R);
            QN_UNROLL for (int b = 0; b < unit_k / 32; b++, q += 32, act++)
                direct_block(form, t, unit, b, scale, neg_min, q, act, a->x_ld, y, mr);
            unit += unit_size;
        }
        for (int m = 0; m < mr; m++) finish_tile(a, m, n, y[m]);
    }
}

#endif
