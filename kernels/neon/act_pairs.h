/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation rows two by two, as SMMLA takes them: 8 bytes of one row, then the same 8 of the next.
 * Factors lie as its four sums do: for (row 0, row 0, row 1, row 1).
 */
#ifndef QN_KERNELS_NEON_ACT_PAIRS_H
#define QN_KERNELS_NEON_ACT_PAIRS_H

#include "kernels/tiles/lanes_neon.h"

#include "kernels/tiles/matmul_halves.h"

/* A block of 32 k of two rows. A form has mins or a bias to correct, never both. Mins of halves are
 * multiplied with the negated sums of q, as numbers, others with the sum of x. */
struct qn_act_pair {
    int8_t q[4][2][8];       /* [k / 8][row][k % 8] */
    float scale[4], zero[4]; /* kernels.h */
    union {
        int32_t start[2][4]; /* without mins: where the dots of all 32 k, or of each 16, start */
        float sums[2][4];    /* with mins: what the mins are multiplied with, alike */
    };
};
_Static_assert(sizeof(struct qn_act_pair) == 128, "QN_PAIR_ROWS (panel_size.h) counts on it");

QN_INLINE int32x4_t pair_of_ints(int32_t row0, int32_t row1) {
    return vcombine_s32(vdup_n_s32(row0), vdup_n_s32(row1));
}

/* One block of two rows. */
QN_INLINE void pair_block_load(const struct qn_form_traits t, struct qn_act_at x0,
                               struct qn_act_at x1, struct qn_act_pair *out) {
    QN_UNROLL for (int h = 0; h < 2; h++) {
        const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(x0.q + 16 * h));
        const int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(x1.q + 16 * h));
        vst1q_s8(out->q[2 * h][0], vreinterpretq_s8_s64(vzip1q_s64(a, b)));
        vst1q_s8(out->q[2 * h + 1][0], vreinterpretq_s8_s64(vzip2q_s64(a, b)));
    }
    const float32x4_t a = vld1q_f32(&x0.block->scale), b = vld1q_f32(&x1.block->scale);
    const float32x4_t low = vzip1q_f32(a, b), high = vzip2q_f32(a, b);
    vst1q_f32(out->scale, vzip1q_f32(low, low));
    vst1q_f32(out->zero, vzip2q_f32(low, low));
    if (t.mins && t.sub == 32) vst1q_f32(out->sums[0], vzip1q_f32(high, high));
    QN_UNROLL for (int h = 0; h < 32 / t.sub; h++) {
        if (!t.mins)
            vst1q_s32(out->start[h], pair_of_ints(dot_start(t, x0, h), dot_start(t, x1, h)));
        else if (t.sub == 16)
            vst1q_f32(out->sums[h],
                      vcombine_f32(vdup_n_f32((float)qn_act_halves(x0)->neg_sums[h]),
                                   vdup_n_f32((float)qn_act_halves(x1)->neg_sums[h])));
    }
}

/* Rows [m0, m0 + rows) of a, the first n_blocks blocks of each, to out [(rows + 1) / 2][n_blocks].
 * A row without a second is its own. */
QN_INLINE void act_pairs_load(const struct qn_form_traits t, const struct qn_matmul *a, int m0,
                              int rows, int n_blocks, struct qn_act_pair *out) {
    for (int m = 0; m < rows; m += 2) {
        const char *const x0 = (const char *)a->x + (size_t)(m0 + m) * a->x_ld;
        const char *const x1 = m + 1 < rows ? x0 + a->x_ld : x0;
        for (int b = 0; b < n_blocks; b++, out++)
            pair_block_load(t, qn_act_at(x0, a->k, b), qn_act_at(x1, a->k, b), out);
    }
}

#endif
