/* SPDX-License-Identifier: Apache-2.0
 *
 * Places of the elements of K and V blocks, for the reference kernels.
 */
#ifndef QN_KERNELS_REF_KV_REF_H
#define QN_KERNELS_REF_KV_REF_H

#include "kernels/half.h"
#include "kernels/kernels.h"

/* Tile s / 16 of slot s begins at byte s / 16 * qn_k_tile_size(). Scales follow the values: of K
 * those of the tile, of V those of the block. */
static inline size_t qn_k_tile_size(enum qn_kv kv, int d) {
    return qn_kv_k_block_size(kv, d) / (QN_KV_BLOCK / QN_KV_TILE);
}

/* The number of element i of a slot among its tile's values, and of its scale among the scales. */
static inline size_t qn_k_place(enum qn_kv kv, int slot, int i) {
    const int column = slot % QN_KV_TILE;
    if (kv == QN_KV_I16) return (size_t)((i / 2 * QN_KV_TILE + column) * 2 + i % 2);
    return (size_t)(i * QN_KV_TILE + column);
}
static inline size_t qn_k_scale(enum qn_kv kv, int slot, int i) {
    return (size_t)((kv == QN_KV_I16 ? 0 : i / 32 * QN_KV_TILE) + slot % QN_KV_TILE);
}

/* Elements of a V row. */
static inline size_t qn_v_row(int d) {
    return (size_t)((d + 15) / 16 * 16);
}

/* The same of V. */
static inline size_t qn_v_place(enum qn_kv kv, int d, int slot, int i) {
    const size_t row = qn_v_row(d), s = (size_t)slot;
    return kv == QN_KV_I16 ? (s / 2 * row + (size_t)i) * 2 + s % 2 : s * row + (size_t)i;
}
static inline size_t qn_v_scale(enum qn_kv kv, int d, int slot, int i) {
    return (size_t)(kv == QN_KV_I16 ? slot : slot * (d / 32) + i / 32);
}

/* Value number `place`, of `values` in the run; scale number `scale` where there are scales. */
static inline double qn_kv_load(enum qn_kv kv, const char *run, size_t values, size_t place,
                                size_t scale) {
    uint16_t half;
    int16_t integer;
    float x;
    switch (kv) {
    case QN_KV_F16:
        memcpy(&half, run + place * 2, 2);
        return (double)qn_half_to_float(half);
    case QN_KV_F32:
        memcpy(&x, run + place * 4, 4);
        return (double)x;
    case QN_KV_I16:
        memcpy(&integer, run + place * 2, 2);
        memcpy(&x, run + values * 2 + scale * 4, 4);
        return (double)integer * (double)x;
    default:
        memcpy(&half, run + values + scale * 2, 2);
        return (double)qn_half_to_float(half) * (double)((const int8_t *)run)[place];
    }
}

static inline double qn_k_load(enum qn_kv kv, const char *block, int d, int slot, int i) {
    return qn_kv_load(kv, block + (size_t)(slot / QN_KV_TILE) * qn_k_tile_size(kv, d),
                      (size_t)d * QN_KV_TILE, qn_k_place(kv, slot, i), qn_k_scale(kv, slot, i));
}

static inline double qn_v_load(enum qn_kv kv, const char *block, int d, int slot, int i) {
    return qn_kv_load(kv, block, QN_KV_BLOCK * qn_v_row(d), qn_v_place(kv, d, slot, i),
                      qn_v_scale(kv, d, slot, i));
}

#endif
