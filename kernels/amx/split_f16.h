/* SPDX-License-Identifier: Apache-2.0
 *
 * Float weights as bf16 parts, in float registers: bf16 as they are; the 11 bits of a half exactly
 * as the sum of its upper 8 and its lower 3, whatever its exponent.
 */
#ifndef QN_KERNELS_AMX_SPLIT_F16_H
#define QN_KERNELS_AMX_SPLIT_F16_H

#include "kernels/tiles/lanes_avx512.h"

/* Weights of one tile at two k: part [high, low][k]. */
struct split_pair {
    lanes_f high[2], low[2];
};

/* p: f16 [2][R]. */
QN_INLINE struct split_pair split_f16_pair(const void *p) {
    const lanes_i upper = i_set1((int)0xffff0000);
    struct split_pair s;
    QN_UNROLL for (int i = 0; i < 2; i++) {
        const lanes_f w = f_load_half((const char *)p + i * QN_R * 2);
        s.high[i] = f_from_bits(i_and(_mm512_castps_si512(w), upper));
        s.low[i] = _mm512_sub_ps(w, s.high[i]);
    }
    return s;
}

/* p: bf16 [R][2]; no low parts. */
QN_INLINE struct split_pair split_bf16_pair(const void *p) {
    const lanes_i pair = i_load(p);
    struct split_pair s;
    s.high[0] = f_from_bits(i_shl32(pair, 16));
    s.high[1] = f_from_bits(i_and(pair, i_set1((int)0xffff0000)));
    s.low[0] = s.low[1] = f_zero();
    return s;
}

/* The lower of two floats that are bf16 in the lower half of each lane. */
QN_INLINE lanes_i join_pair(const lanes_f pair[2]) {
    return i_or(_mm512_castps_si512(pair[1]), _mm512_srli_epi32(_mm512_castps_si512(pair[0]), 16));
}

#endif
