/* SPDX-License-Identifier: Apache-2.0
 *
 * Forms with a scale, and a min, for each half of a block (16 k): Q2_K, Q3_K and Q6_K. Scales and
 * mins are integers, times one d and dmin for a unit of 8 blocks, so a unit's sums are made of
 * exact integers times the scales of activations, and are added to y at its end, in the order that
 * kernels.h fixes.
 */
#ifndef QN_KERNELS_TILES_MATMUL_HALVES_H
#define QN_KERNELS_TILES_MATMUL_HALVES_H

#include "kernels/tiles/matmul_forms.h"

enum { QN_UNIT_BLOCKS = 8 };

QN_INLINE bool has_halves(const struct qn_form_traits t) {
    return t.sub == 16;
}

/* ---- what a unit brings (pack.h) --------------------------------------------------------- */

/* The integer scales of half s = 2 b + h. */
QN_INLINE lanes_i half_scale(const enum qn_pack form, const uint8_t *unit, int s) {
    if (form == QN_PACK_Q2_K) return i_and(i_load_u8(unit + (64 + s) * QN_R), i_set1(15));
    return i_load_s8(unit + ((form == QN_PACK_Q3_K ? 96 : 192) + s) * QN_R);
}

/* Two 16-bit numbers a lane. */
QN_INLINE lanes_i i_pair(lanes_i low, lanes_i high) {
    return i_or(i_and(low, i_set1(0xffff)), i_shl32(high, 16));
}

/* The mins of half s of a Q2_K unit, and of both of block b as pairs. */
QN_INLINE lanes_i half_min(const uint8_t *unit, int s) {
    return i_shift16(i_load_u8(unit + (64 + s) * QN_R), 4);
}
QN_INLINE lanes_i half_mins(const uint8_t *unit, int b) {
    return i_pair(half_min(unit, 2 * b), half_min(unit, 2 * b + 1));
}

QN_INLINE lanes_f unit_d(const enum qn_pack form, const uint8_t *unit) {
    const int at = form == QN_PACK_Q2_K ? 80 : form == QN_PACK_Q3_K ? 112 : 208;
    return f_load_half(unit + at * QN_R);
}

/* Of Q2_K. */
QN_INLINE lanes_f unit_dmin(const uint8_t *unit) {
    return f_load_half(unit + 82 * QN_R);
}

/* ---- sums of a unit ---------------------------------------------------------------------- */

/* Minus the sums of q of both halves, as pairs. */
QN_INLINE lanes_i neg_sums(struct qn_act_at x) {
    int32_t both;
    __builtin_memcpy(&both, qn_act_halves(x)->neg_sums, sizeof both);
    return i_set1(both);
}

#if QN_HAVE_DOT
/* Dots of the two halves are scaled as floats. owed: -QN_ACT_ZERO * low. Every number and sum here
 * is exact. */
struct half_scales {
    lanes_f low, high, owed;
};

QN_INLINE struct half_scales half_scales_of(lanes_i low, lanes_i high) {
    const lanes_f first = f_from_i(low);
    return (struct half_scales){first, f_from_i(high), f_mul(first, f_set1(-(float)QN_ACT_ZERO))};
}

/* The started dot of a block's first half, scaled. */
QN_INLINE lanes_f low_half(lanes_i dot, const struct half_scales s) {
    return f_fma(f_from_bits(dot), s.low, s.owed);
}
/* Adds a block; dot: of its second half. */
QN_INLINE lanes_f add_halves(lanes_f low, lanes_i dot, const struct half_scales s,
                             struct qn_act_at x, lanes_f sum) {
    const lanes_f high = f_sub(f_from_bits(dot), f_set1(QN_ACT_ZERO));
    return f_fma(f_fma(high, s.high, low), f_set1(x.block->scale), sum);
}

/* Adds a block of one row. */
QN_INLINE lanes_f add_halves_block(const struct qn_form_traits t, const lanes_i w[8],
                                   struct qn_act_at x, lanes_i scale_low, lanes_i scale_high,
                                   lanes_f sum) {
    const struct half_scales scales = half_scales_of(scale_low, scale_high);
    lanes_i dots[2];
    QN_UNROLL for (int h = 0; h < 2; h++) dots[h] =
        dot_groups(t, i_set1(dot_start(t, x, h)), w + h * 4, x.q + h * 16, 4, NULL);
    return add_halves(low_half(dots[0], scales), dots[1], scales, x, sum);
}
#else
/* Sums of pairs of products pass through a multiplication anyway: by their scale. */
QN_INLINE lanes_i half_times(lanes_i scale) {
    return i_pair(scale, scale);
}
/* What is multiplied with neg_sums() for the bias of a form's quants. */
QN_INLINE lanes_i halves_owed(const struct qn_form_traits t, lanes_i low, lanes_i high) {
    return i_pair(i_shl32(low, t.shift), i_shl32(high, t.shift));
}

/* Where the scaled dot of a block starts. */
QN_INLINE lanes_i halves_start(const struct qn_form_traits t, lanes_i low, lanes_i high,
                               struct qn_act_at x) {
    return t.mins ? i_zero() : i_dot16(halves_owed(t, low, high), neg_sums(x));
}

/* Adds a block of one row. */
QN_INLINE lanes_f add_halves_block(const struct qn_form_traits t, const lanes_i w[8],
                                   struct qn_act_at x, lanes_i scale_low, lanes_i scale_high,
                                   lanes_f sum) {
    const lanes_i times[2] = {half_times(scale_low), half_times(scale_high)};
    lanes_i dot = halves_start(t, scale_low, scale_high, x);
    QN_UNROLL for (int h = 0; h < 2; h++) dot =
        dot_groups(t, dot, w + h * 4, x.q + h * 16, 4, &times[h]);
    return f_fma(f_from_i(dot), f_set1(x.block->scale), sum);
}
#endif

QN_INLINE lanes_f add_half_mins(lanes_i mins, struct qn_act_at x, lanes_f sum) {
    return f_fma(f_from_i(i_dot16(mins, neg_sums(x))), f_set1(x.block->scale), sum);
}

/* y and a unit's sums. */
QN_INLINE lanes_f add_unit(const struct qn_form_traits t, lanes_f sum, lanes_f d, lanes_f min_sum,
                           lanes_f dmin, lanes_f y) {
    y = f_fma(sum, d, y);
    return t.mins ? f_fma(min_sum, dmin, y) : y;
}

#endif
