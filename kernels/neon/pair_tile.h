/* SPDX-License-Identifier: Apache-2.0
 *
 * The register tile of SMMLA: up to 3 pairs of activation rows by the 4 pairs of rows of a weight
 * tile. A sum is a vector of (x0 w0, x0 w1, x1 w0, x1 w1), from the first product until it is
 * stored; scales and mins are multiplied in that shape, in the order that kernels.h fixes.
 */
#ifndef QN_KERNELS_NEON_PAIR_TILE_H
#define QN_KERNELS_NEON_PAIR_TILE_H

#include "kernels/neon/act_pairs.h"

enum {
    PAIRS_M = 3,        /* 12 sums and 12 accumulators of 32 registers */
    PAIRS_N = QN_R / 2, /* pairs of rows of a weight tile */
};

/* A block of a weight tile. In a panel: operands int8 [4 k / 8][PAIRS_N][2 rows][8 k], then float
 * [PAIRS_N][4] each: scales and negated mins; of forms with halves the scales of both, the mins of
 * both, d and dmin, the mins only where the form has them. Or in registers as unpack_block leaves
 * groups, with these numbers of rows, which are brought into that shape at use. */
struct pair_weights {
    const int8_t *panel;   /* or NULL */
    const lanes_i *groups; /* [8], or NULL */
    const float *factors;  /* [pair_factor_count][R], alike in order */
};

QN_INLINE int pair_factor_count(const struct qn_form_traits t) {
    return (has_halves(t) ? 3 : 1) * (t.mins ? 2 : 1);
}
QN_INLINE size_t pair_block_size(const struct qn_form_traits t) {
    return 256 + 64 * (size_t)pair_factor_count(t);
}

/* Operand j (8 k) of pair n. Two groups hold rows (0, 1, 2, 3), (4, 5, 6, 7) at 4 k each. */
QN_INLINE int8x16_t pair_operand(const struct pair_weights w, const int j, const int n) {
    if (!w.groups) return vld1q_s8(w.panel + (j * PAIRS_N + n) * 16);
    const lanes_i even = w.groups[2 * j], odd = w.groups[2 * j + 1];
    const int32x4_t a = vreinterpretq_s32_s8(n < 2 ? even.low : even.high);
    const int32x4_t b = vreinterpretq_s32_s8(n < 2 ? odd.low : odd.high);
    return vreinterpretq_s8_s32(n % 2 == 0 ? vzip1q_s32(a, b) : vzip2q_s32(a, b));
}

/* Factor i of the 8 rows, as sums want it: (w0, w1, w0, w1) of pair n. */
QN_INLINE float32x4_t pair_factor(const struct pair_weights w, const int i, const int n) {
    if (!w.groups) return vld1q_f32((const float *)(w.panel + 256) + (i * PAIRS_N + n) * 4);
    const float64x1_t two = vreinterpret_f64_f32(vld1_f32(w.factors + i * QN_R + 2 * n));
    return vreinterpretq_f32_f64(vdupq_lane_f64(two, 0));
}

/* Started dots of operands [j0, j1) with pairs [n0, n1) of weight rows, to dot [mp][n1 - n0]; h:
 * the half that they are of, or 0. x: the block of pair 0, x_ld blocks a pair. */
QN_INLINE void pair_dots(const struct qn_form_traits t, const struct pair_weights w,
                         const struct qn_act_pair *x, size_t x_ld, const int h, const int j0,
                         const int j1, const int n0, const int n1, int32x4_t (*dot)[PAIRS_N],
                         const int mp) {
    QN_UNROLL for (int m = 0; m < mp; m++) {
        const struct qn_act_pair *const xm = x + (size_t)m * x_ld;
        const int32x4_t start = t.mins ? vdupq_n_s32(QN_ACT_ZERO_BITS) : vld1q_s32(xm->start[h]);
        QN_UNROLL for (int n = n0; n < n1; n++) dot[m][n - n0] = start;
    }
    QN_UNROLL for (int j = j0; j < j1; j++) {
        int8x16_t q[PAIRS_M];
        QN_UNROLL for (int m = 0; m < mp; m++) q[m] = vld1q_s8((x + (size_t)m * x_ld)->q[j][0]);
        QN_UNROLL for (int n = n0; n < n1; n++) {
            const int8x16_t operand = pair_operand(w, j, n);
            QN_UNROLL for (int m = 0; m < mp; m++) dot[m][n - n0] =
                vmmlaq_s32(dot[m][n - n0], q[m], operand);
        }
    }
}

/* Adds a block of a form with a scale for each to y [mp][PAIRS_N]. */
QN_INLINE void pair_tile_add(const struct qn_form_traits t, const struct pair_weights w,
                             const struct qn_act_pair *x, size_t x_ld, float32x4_t (*y)[PAIRS_N],
                             const int mp) {
    int32x4_t dot[PAIRS_M][PAIRS_N];
    pair_dots(t, w, x, x_ld, 0, 0, 4, 0, PAIRS_N, dot, mp);
    float32x4_t scale[PAIRS_N], neg_min[PAIRS_N];
    QN_UNROLL for (int n = 0; n < PAIRS_N; n++) scale[n] = pair_factor(w, 0, n);
    QN_UNROLL for (int m = 0; m < mp; m++) {
        const struct qn_act_pair *const xm = x + (size_t)m * x_ld;
        const float32x4_t factor = vld1q_f32(xm->scale), zero = vld1q_f32(xm->zero);
        QN_UNROLL for (int n = 0; n < PAIRS_N; n++) {
            const float32x4_t term = vfmaq_f32(zero, vreinterpretq_f32_s32(dot[m][n]), factor);
            y[m][n] = vfmaq_f32(y[m][n], term, scale[n]);
        }
    }
    if (!t.mins) return;
    QN_UNROLL for (int n = 0; n < PAIRS_N; n++) neg_min[n] = pair_factor(w, 1, n);
    QN_UNROLL for (int m = 0; m < mp; m++) {
        const float32x4_t sum = vld1q_f32((x + (size_t)m * x_ld)->sums[0]);
        QN_UNROLL for (int n = 0; n < PAIRS_N; n++) y[m][n] = vfmaq_f32(y[m][n], sum, neg_min[n]);
    }
}

/* Adds a block of a form with halves to the unit's sums [mp][PAIRS_N], two pairs of weight rows at
 * a time: four would take more sums and dots than there are registers. */
QN_INLINE void pair_halves_add(const struct qn_form_traits t, const struct pair_weights w,
                               const struct qn_act_pair *x, size_t x_ld,
                               float32x4_t (*sum)[PAIRS_N], const int mp) {
    const float32x4_t zero = vdupq_n_f32(QN_ACT_ZERO);
    QN_UNROLL for (int n0 = 0; n0 < PAIRS_N; n0 += 2) {
        int32x4_t low[PAIRS_M][PAIRS_N], high[PAIRS_M][PAIRS_N];
        pair_dots(t, w, x, x_ld, 0, 0, 2, n0, n0 + 2, low, mp);
        pair_dots(t, w, x, x_ld, 1, 2, 4, n0, n0 + 2, high, mp);
        QN_UNROLL for (int n = n0; n < n0 + 2; n++) {
            const float32x4_t first = pair_factor(w, 0, n), second = pair_factor(w, 1, n);
            const float32x4_t owed = vmulq_n_f32(first, -(float)QN_ACT_ZERO);
            QN_UNROLL for (int m = 0; m < mp; m++) {
                float32x4_t s = vfmaq_f32(owed, vreinterpretq_f32_s32(low[m][n - n0]), first);
                s = vfmaq_f32(s, vsubq_f32(vreinterpretq_f32_s32(high[m][n - n0]), zero), second);
                sum[m][n] = vfmaq_f32(sum[m][n], s, vld1q_f32((x + (size_t)m * x_ld)->scale));
            }
        }
    }
}

/* The same of its mins. */
QN_INLINE void pair_half_mins_add(const struct pair_weights w, const struct qn_act_pair *x,
                                  size_t x_ld, float32x4_t (*sum)[PAIRS_N], const int mp) {
    QN_UNROLL for (int n = 0; n < PAIRS_N; n++) {
        const float32x4_t first = pair_factor(w, 2, n), second = pair_factor(w, 3, n);
        QN_UNROLL for (int m = 0; m < mp; m++) {
            const struct qn_act_pair *const xm = x + (size_t)m * x_ld;
            const float32x4_t s =
                vfmaq_f32(vmulq_f32(first, vld1q_f32(xm->sums[0])), second, vld1q_f32(xm->sums[1]));
            sum[m][n] = vfmaq_f32(sum[m][n], s, vld1q_f32(xm->scale));
        }
    }
}

/* Adds a unit's sums to y. */
QN_INLINE void pair_halves_end(const struct qn_form_traits t, const struct pair_weights w,
                               float32x4_t (*sum)[PAIRS_N], float32x4_t (*min_sum)[PAIRS_N],
                               float32x4_t (*y)[PAIRS_N], const int mp) {
    QN_UNROLL for (int n = 0; n < PAIRS_N; n++) QN_UNROLL for (int m = 0; m < mp; m++) {
        y[m][n] = vfmaq_f32(y[m][n], sum[m][n], pair_factor(w, t.mins ? 4 : 2, n));
        if (t.mins) y[m][n] = vfmaq_f32(y[m][n], min_sum[m][n], pair_factor(w, 5, n));
    }
}

/* Stores the sums of a pair: row m, and the next if there are two. */
QN_INLINE void pair_finish(const struct qn_matmul *a, int m, int rows, int n,
                           const float32x4_t y[PAIRS_N]) {
    float64x2_t v[PAIRS_N];
    QN_UNROLL for (int i = 0; i < PAIRS_N; i++) v[i] = vreinterpretq_f64_f32(y[i]);
    const lanes_f row0 = {vreinterpretq_f32_f64(vzip1q_f64(v[0], v[1])),
                          vreinterpretq_f32_f64(vzip1q_f64(v[2], v[3]))};
    const lanes_f row1 = {vreinterpretq_f32_f64(vzip2q_f64(v[0], v[1])),
                          vreinterpretq_f32_f64(vzip2q_f64(v[2], v[3]))};
    finish_tile(a, m, n, row0);
    if (rows > 1) finish_tile(a, m + 1, n, row1);
}

#endif
