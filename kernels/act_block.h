/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers of a quantized activation block (kernels.h), for the kernels that prepare rows: one
 * scalar function, so that every instruction set writes the same bytes.
 */
#ifndef QN_KERNELS_ACT_BLOCK_H
#define QN_KERNELS_ACT_BLOCK_H

#include <string.h>

#include "kernels/kernels.h"

/* amax / 127 less its two lowest bits, so that scale * QN_ACT_ZERO is exact in float. */
static inline float qn_act_scale(float amax) {
    const float scale = amax / 127.0f;
    uint32_t bits;
    memcpy(&bits, &scale, sizeof bits);
    bits &= ~(uint32_t)3;
    float rounded;
    memcpy(&rounded, &bits, sizeof rounded);
    return rounded;
}

/* sum_lo, sum_hi: of the first and the last 16 of the block's q. amax is 0 for a block of zeros. */
static inline void qn_act_block_set(struct qn_act_block *block, float amax, int sum_lo,
                                    int sum_hi) {
    const float scale = qn_act_scale(amax);
    *block = (struct qn_act_block){
        .scale = scale,
        .zero = scale * (float)-QN_ACT_ZERO,
        .scale_sum = scale * (float)(sum_lo + sum_hi),
        .start = QN_ACT_ZERO_BITS - 128 * (sum_lo + sum_hi),
        .start_lo = QN_ACT_ZERO_BITS - 128 * sum_lo,
        .start_hi = QN_ACT_ZERO_BITS - 128 * sum_hi,
        .neg_sums = {(int16_t)-sum_lo, (int16_t)-sum_hi},
    };
}

/* Writes the zeros that follow the first `used` bytes of a row of K activations. */
static inline void qn_act_row_end(enum qn_act act, int k, size_t used, void *row) {
    memset((char *)row + used, 0, qn_act_row_size(act, k) - used);
}

#endif
