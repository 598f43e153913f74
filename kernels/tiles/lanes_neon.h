/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of R = 8 lanes of 32 bits for AArch64, in two registers, one lane a weight row. Same
 * names as lanes_avx2.h: a matmul body includes one of them.
 */
#ifndef QN_KERNELS_TILES_LANES_H
#define QN_KERNELS_TILES_LANES_H

#include <arm_neon.h>
#include <stdint.h>

#include "kernels/tiles/unroll.h"

enum { QN_R = 8 };
/* Register tiles: QN_TILE_M rows of activations by QN_PANEL_TILES tiles of integer weights, which
 * takes as many accumulators as sums; QN_TILE_M_HALVES rows where scaled dots of first halves, or
 * sums of 16 bits, wait beside them; and QN_FLOAT_M rows by two tiles of floats. */
#define QN_DIRECT_ROWS   4 /* up to so many rows of activations are a strip, which shares weights */
#define QN_STRIP_TILES   1 /* tiles of weights that strips take at a time */
#define QN_FLOAT_M       6
#define QN_PANEL_TILES   1
#define QN_TILE_M        6
#define QN_TILE_M_HALVES 4

typedef struct {
    float32x4_t low, high;
} lanes_f;
typedef struct {
    int8x16_t low, high;
} lanes_i;

/* ---- floats ---- */

QN_INLINE lanes_f f_set1(float x) {
    return (lanes_f){vdupq_n_f32(x), vdupq_n_f32(x)};
}
QN_INLINE lanes_f f_zero(void) {
    return f_set1(0);
}
QN_INLINE lanes_f f_load(const float *p) {
    return (lanes_f){vld1q_f32(p), vld1q_f32(p + 4)};
}
QN_INLINE void f_store(float *p, lanes_f v) {
    vst1q_f32(p, v.low);
    vst1q_f32(p + 4, v.high);
}
QN_INLINE lanes_f f_add(lanes_f a, lanes_f b) {
    return (lanes_f){vaddq_f32(a.low, b.low), vaddq_f32(a.high, b.high)};
}
QN_INLINE lanes_f f_sub(lanes_f a, lanes_f b) {
    return (lanes_f){vsubq_f32(a.low, b.low), vsubq_f32(a.high, b.high)};
}
QN_INLINE lanes_f f_mul(lanes_f a, lanes_f b) {
    return (lanes_f){vmulq_f32(a.low, b.low), vmulq_f32(a.high, b.high)};
}
QN_INLINE lanes_f f_fma(lanes_f a, lanes_f b, lanes_f c) {
    return (lanes_f){vfmaq_f32(c.low, a.low, b.low), vfmaq_f32(c.high, a.high, b.high)};
}
QN_INLINE lanes_f f_neg(lanes_f a) {
    return (lanes_f){vnegq_f32(a.low), vnegq_f32(a.high)};
}
QN_INLINE lanes_f f_from_i(lanes_i a) {
    return (lanes_f){vcvtq_f32_s32(vreinterpretq_s32_s8(a.low)),
                     vcvtq_f32_s32(vreinterpretq_s32_s8(a.high))};
}
QN_INLINE lanes_f f_from_bits(lanes_i a) {
    return (lanes_f){vreinterpretq_f32_s8(a.low), vreinterpretq_f32_s8(a.high)};
}

/* R values of u8 or s8, as lanes; of f16, u8 or s8, as floats. */
QN_INLINE lanes_i i_load_u8(const void *p) {
    const uint16x8_t wide = vmovl_u8(vld1_u8(p));
    return (lanes_i){vreinterpretq_s8_u32(vmovl_u16(vget_low_u16(wide))),
                     vreinterpretq_s8_u32(vmovl_high_u16(wide))};
}
QN_INLINE lanes_i i_load_s8(const void *p) {
    const int16x8_t wide = vmovl_s8(vld1_s8(p));
    return (lanes_i){vreinterpretq_s8_s32(vmovl_s16(vget_low_s16(wide))),
                     vreinterpretq_s8_s32(vmovl_high_s16(wide))};
}
QN_INLINE lanes_f f_load_half(const void *p) {
    const float16x8_t halves = vreinterpretq_f16_u16(vld1q_u16(p));
    return (lanes_f){vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves)};
}
QN_INLINE lanes_f f_load_u8(const void *p) {
    return f_from_i(i_load_u8(p));
}
QN_INLINE lanes_f f_load_s8(const void *p) {
    return f_from_i(i_load_s8(p));
}

/* The first `rows` lanes only; the others read as 0, or are left alone. */
QN_INLINE lanes_f f_load_rows(const float *p, int rows) {
    float lanes[QN_R] = {0};
    for (int i = 0; i < rows; i++) lanes[i] = p[i];
    return f_load(lanes);
}
QN_INLINE void f_store_rows(float *p, lanes_f v, int rows) {
    float lanes[QN_R];
    f_store(lanes, v);
    for (int i = 0; i < rows; i++) p[i] = lanes[i];
}

/* ---- integers ---- */

QN_INLINE lanes_i i_set1(int x) {
    const int8x16_t v = vreinterpretq_s8_s32(vdupq_n_s32(x));
    return (lanes_i){v, v};
}
QN_INLINE lanes_i i_set1_8(int x) {
    return (lanes_i){vdupq_n_s8((int8_t)x), vdupq_n_s8((int8_t)x)};
}
QN_INLINE lanes_i i_zero(void) {
    return i_set1_8(0);
}
QN_INLINE lanes_i i_load(const void *p) {
    return (lanes_i){vld1q_s8(p), vld1q_s8((const int8_t *)p + 16)};
}
QN_INLINE void i_store(void *p, lanes_i v) {
    vst1q_s8(p, v.low);
    vst1q_s8((int8_t *)p + 16, v.high);
}
QN_INLINE lanes_i i_and(lanes_i a, lanes_i b) {
    return (lanes_i){vandq_s8(a.low, b.low), vandq_s8(a.high, b.high)};
}
QN_INLINE lanes_i i_or(lanes_i a, lanes_i b) {
    return (lanes_i){vorrq_s8(a.low, b.low), vorrq_s8(a.high, b.high)};
}
QN_INLINE lanes_i i_xor(lanes_i a, lanes_i b) {
    return (lanes_i){veorq_s8(a.low, b.low), veorq_s8(a.high, b.high)};
}
QN_INLINE lanes_i i_add8(lanes_i a, lanes_i b) {
    return (lanes_i){vaddq_s8(a.low, b.low), vaddq_s8(a.high, b.high)};
}

QN_INLINE lanes_i i_sub8(lanes_i a, lanes_i b) {
    return (lanes_i){vsubq_s8(a.low, b.low), vsubq_s8(a.high, b.high)};
}
QN_INLINE int8x16_t mul16(int8x16_t a, int8x16_t b) {
    return vreinterpretq_s8_s16(vmulq_s16(vreinterpretq_s16_s8(a), vreinterpretq_s16_s8(b)));
}
/* The low 16 bits of the products of 16-bit numbers. */
QN_INLINE lanes_i i_mul16(lanes_i a, lanes_i b) {
    return (lanes_i){mul16(a.low, b.low), mul16(a.high, b.high)};
}
QN_INLINE int8x16_t dot16(int8x16_t a, int8x16_t b) {
    const int16x8_t x = vreinterpretq_s16_s8(a), y = vreinterpretq_s16_s8(b);
    return vreinterpretq_s8_s32(
        vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}
/* a's two 16-bit numbers times b's, summed. */
QN_INLINE lanes_i i_dot16(lanes_i a, lanes_i b) {
    return (lanes_i){dot16(a.low, b.low), dot16(a.high, b.high)};
}
QN_INLINE lanes_i i_shl32(lanes_i a, int n) {
    return (lanes_i){vreinterpretq_s8_u32(vreinterpretq_u32_s8(a.low) << n),
                     vreinterpretq_s8_u32(vreinterpretq_u32_s8(a.high) << n)};
}
/* By the compilers' own operators, which take the count of a constant into the instruction. */
QN_INLINE int8x16_t shift16(int8x16_t a, const int n) {
    const uint16x8_t v = vreinterpretq_u16_s8(a);
    return vreinterpretq_s8_u16(n >= 0 ? v >> n : v << -n);
}
/* Shift right by n, or left by -n, in lanes of 16 bits. */
QN_INLINE lanes_i i_shift16(lanes_i a, const int n) {
    return (lanes_i){shift16(a.low, n), shift16(a.high, n)};
}
/* The high nibble of each byte. */
QN_INLINE lanes_i i_high_nibbles(lanes_i a) {
    return (lanes_i){vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(a.low), 4)),
                     vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(a.high), 4))};
}
/* t[index[i]] of each byte, indices below 16. */
QN_INLINE lanes_i i_lookup(const int8_t t[16], lanes_i index) {
    const int8x16_t table = vld1q_s8(t);
    return (lanes_i){vqtbl1q_s8(table, vreinterpretq_u8_s8(index.low)),
                     vqtbl1q_s8(table, vreinterpretq_u8_s8(index.high))};
}
/* a, with those bits of b that the mask has, where a has zeros. */
QN_INLINE lanes_i i_insert(lanes_i a, lanes_i b, lanes_i mask) {
    return (lanes_i){vbslq_s8(vreinterpretq_u8_s8(mask.low), b.low, a.low),
                     vbslq_s8(vreinterpretq_u8_s8(mask.high), b.high, a.high)};
}

/* ---- integer dots: acc + the sums of four products of signed bytes ---- */

#define QN_HAVE_DPBUSD  0
#define QN_HAVE_DOT     1
#define QN_PANEL_SIGNED 1

#ifdef __ARM_FEATURE_DOTPROD
QN_INLINE int8x16_t dot_s8(int8x16_t acc, int8x16_t w, int8x16_t a) {
    return vreinterpretq_s8_s32(vdotq_s32(vreinterpretq_s32_s8(acc), w, a));
}
#else
/* A pair of products is at most 2 * 128 * 127 = 32512, because activations stop at -127. */
QN_INLINE int8x16_t dot_s8(int8x16_t acc, int8x16_t w, int8x16_t a) {
    const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(a)), high = vmull_high_s8(w, a);
    return vreinterpretq_s8_s32(vpadalq_s16(vreinterpretq_s32_s8(acc), vpaddq_s16(low, high)));
}
#endif
QN_INLINE lanes_i i_dot(lanes_i acc, lanes_i w, lanes_i a) {
    return (lanes_i){dot_s8(acc.low, w.low, a.low), dot_s8(acc.high, w.high, a.high)};
}

/* ---- activations, as elements of a register that instructions take one of ---- */

#define QN_HAVE_ELEMENTS 1

typedef int8x16_t act_groups;    /* 4 groups */
typedef float32x4_t act_factors; /* scale, zero, scale_sum and start of a block (kernels.h) */

QN_INLINE act_groups groups_load(const int8_t *p) {
    return vld1q_s8(p);
}
#ifdef __ARM_FEATURE_DOTPROD
#define QN_DOT_ELEMENT(acc, w, x, g)                                                               \
    vreinterpretq_s8_s32(vdotq_laneq_s32(vreinterpretq_s32_s8(acc), w, x, g))
#else
#define QN_DOT_ELEMENT(acc, w, x, g)                                                               \
    dot_s8(acc, w, vreinterpretq_s8_s32(vdupq_laneq_s32(vreinterpretq_s32_s8(x), g)))
#endif
/* acc + the dot of a group with group g of x. */
QN_INLINE lanes_i i_dot_group(lanes_i acc, lanes_i w, act_groups x, const int g) {
    switch (g) {
    case 0:
        return (lanes_i){QN_DOT_ELEMENT(acc.low, w.low, x, 0),
                         QN_DOT_ELEMENT(acc.high, w.high, x, 0)};
    case 1:
        return (lanes_i){QN_DOT_ELEMENT(acc.low, w.low, x, 1),
                         QN_DOT_ELEMENT(acc.high, w.high, x, 1)};
    case 2:
        return (lanes_i){QN_DOT_ELEMENT(acc.low, w.low, x, 2),
                         QN_DOT_ELEMENT(acc.high, w.high, x, 2)};
    default:
        return (lanes_i){QN_DOT_ELEMENT(acc.low, w.low, x, 3),
                         QN_DOT_ELEMENT(acc.high, w.high, x, 3)};
    }
}

QN_INLINE act_factors factors_load(const float *p) {
    return vld1q_f32(p);
}
/* The dot times the block's scale, and the sum of the block's activations times neg_min to y. */
QN_INLINE lanes_f factors_scale(lanes_i dot, act_factors act) {
    const float32x4_t zero = vdupq_laneq_f32(act, 1);
    const lanes_f bits = f_from_bits(dot);
    return (lanes_f){vfmaq_laneq_f32(zero, bits.low, act, 0),
                     vfmaq_laneq_f32(zero, bits.high, act, 0)};
}
QN_INLINE lanes_f factors_add_min(lanes_f neg_min, act_factors act, lanes_f y) {
    return (lanes_f){vfmaq_laneq_f32(y.low, neg_min.low, act, 2),
                     vfmaq_laneq_f32(y.high, neg_min.high, act, 2)};
}

#endif
