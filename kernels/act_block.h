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

/* The parts of a row of K Q8 activations. */
struct qn_act_row {
    int8_t *q;                    /* [Kp] */
    struct qn_act_block *blocks;  /* [Kp / 32] */
    struct qn_act_halves *halves; /* alike */
};
static inline struct qn_act_row qn_act_row_of(void *row, int k) {
    int8_t *const q = (int8_t *)row;
    struct qn_act_block *const blocks = (struct qn_act_block *)(q + qn_act_blocks(k) * 32);
    return (struct qn_act_row){q, blocks, (struct qn_act_halves *)(blocks + qn_act_blocks(k))};
}

/* Sets the numbers of block b. sum_lo, sum_hi: of the first and the last 16 of its q. amax is 0 for
 * a block of zeros. */
static inline void qn_act_block_set(struct qn_act_row row, int b, float amax, int sum_lo,
                                    int sum_hi) {
    const float scale = qn_act_scale(amax);
    row.blocks[b] = (struct qn_act_block){
        .scale = scale,
        .zero = scale * (float)-QN_ACT_ZERO,
        .scale_sum = scale * (float)(sum_lo + sum_hi),
        .start = QN_ACT_ZERO_BITS - 128 * (sum_lo + sum_hi),
    };
    row.halves[b] = (struct qn_act_halves){
        .start = {QN_ACT_ZERO_BITS - 128 * sum_lo, QN_ACT_ZERO_BITS - 128 * sum_hi},
        .neg_sums = {(int16_t)-sum_lo, (int16_t)-sum_hi},
    };
}

/* Writes the zeros that follow the first `used` bytes of a row of K activations. */
static inline void qn_act_row_end(enum qn_act act, int k, size_t used, void *row) {
    memset((char *)row + used, 0, qn_act_row_size(act, k) - used);
}

/* The same of a Q8 row. */
static inline void qn_act_q8_end(int k, void *row) {
    const char *const end = (const char *)(qn_act_row_of(row, k).halves + qn_act_blocks(k));
    qn_act_row_end(QN_ACT_Q8, k, (size_t)(end - (const char *)row), row);
}

#endif
