/* SPDX-License-Identifier: Apache-2.0
 *
 * Places of the elements of K and V blocks, for the reference kernels.
 */
#ifndef QN_KERNELS_REF_KV_REF_H
#define QN_KERNELS_REF_KV_REF_H

#include "kernels/half.h"
#include "kernels/kernels.h"

/* Element i of slot s is number qn_k_place() of the values of its tile, and tile s / 16 begins at
 * byte s / 16 * qn_k_tile_size(). Q8_0 scales follow the values of a tile. */
static inline size_t qn_k_tile_size(enum qn_kv kv, int d) {
    return qn_kv_k_block_size(kv, d) / (QN_KV_BLOCK / QN_KV_TILE);
}

static inline size_t qn_k_place(int slot, int i) {
    return (size_t)i * QN_KV_TILE + (size_t)(slot % QN_KV_TILE);
}

/* Elements of a V row. */
static inline size_t qn_v_row(int d) {
    return (size_t)((d + 15) / 16 * 16);
}

/* Value number `place`, of `values` in the run; scale number `scale` where there are scales. */
static inline double qn_kv_load(enum qn_kv kv, const char *run, size_t values, size_t place,
                                size_t scale) {
    uint16_t half;
    float x;
    switch (kv) {
    case QN_KV_F16:
        memcpy(&half, run + place * 2, 2);
        return (double)qn_half_to_float(half);
    case QN_KV_F32:
        memcpy(&x, run + place * 4, 4);
        return (double)x;
    default:
        memcpy(&half, run + values + scale * 2, 2);
        return (double)qn_half_to_float(half) * (double)((const int8_t *)run)[place];
    }
}

static inline double qn_k_load(enum qn_kv kv, const char *block, int d, int slot, int i) {
    return qn_kv_load(kv, block + (size_t)(slot / QN_KV_TILE) * qn_k_tile_size(kv, d),
                      (size_t)d * QN_KV_TILE, qn_k_place(slot, i), qn_k_place(slot, i / 32));
}

static inline double qn_v_load(enum qn_kv kv, const char *block, int d, int slot, int i) {
    return qn_kv_load(kv, block, QN_KV_BLOCK * qn_v_row(d), (size_t)slot * qn_v_row(d) + (size_t)i,
                      (size_t)slot * (size_t)(d / 32) + (size_t)(i / 32));
}

#endif
