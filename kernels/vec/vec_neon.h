/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector of vec_math.h for AArch64 NEON: 4 floats in a q register.
 */
#ifndef QN_KERNELS_VEC_NEON_H
#define QN_KERNELS_VEC_NEON_H

#include <arm_neon.h>
#include <sleef.h>
#include <stdint.h>
#include <string.h>

#define QN_VEC_NAME(function) function##__neon
#define QN_VEC_WIDTH          4
/* Accumulators of a strip of attention: with a row of b vectors they leave spares of 32. */
#define QN_VEC_ACCUMULATORS 24

typedef float32x4_t vec;

static inline vec vec_load(const float *p) {
    return vld1q_f32(p);
}
static inline void vec_store(float *p, vec x) {
    vst1q_f32(p, x);
}

/* There are no masked loads: a tail passes through memory of its own. */
static inline vec vec_load_tail(const float *p, int n) {
    float lanes[QN_VEC_WIDTH] = {0};
    for (int i = 0; i < n; i++) lanes[i] = p[i];
    return vld1q_f32(lanes);
}
static inline void vec_store_tail(float *p, vec x, int n) {
    float lanes[QN_VEC_WIDTH];
    vst1q_f32(lanes, x);
    for (int i = 0; i < n; i++) p[i] = lanes[i];
}
static inline vec vec_first(int n, vec a, vec b) {
    const uint32x4_t lane = {0, 1, 2, 3};
    return vbslq_f32(vcltq_u32(lane, vdupq_n_u32((uint32_t)n)), a, b);
}

static inline vec vec_set1(float x) {
    return vdupq_n_f32(x);
}
static inline vec vec_add(vec a, vec b) {
    return vaddq_f32(a, b);
}
static inline vec vec_sub(vec a, vec b) {
    return vsubq_f32(a, b);
}
static inline vec vec_mul(vec a, vec b) {
    return vmulq_f32(a, b);
}
static inline vec vec_div(vec a, vec b) {
    return vdivq_f32(a, b);
}
static inline vec vec_fma(vec a, vec b, vec c) {
    return vfmaq_f32(c, a, b);
}
static inline vec vec_fnma(vec a, vec b, vec c) {
    return vfmsq_f32(c, a, b);
}
/* FMAX and FMIN would keep the NaN of a. */
static inline vec vec_max(vec a, vec b) {
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
static inline vec vec_min(vec a, vec b) {
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
static inline vec vec_round(vec x) {
    return vrndnq_f32(x);
}
static inline vec vec_select_less(vec x, vec y, vec a, vec b) {
    return vbslq_f32(vcltq_f32(x, y), a, b);
}
static inline vec vec_add_exponent(vec x, vec biased) {
    const int32x4_t n = vshlq_n_s32(vreinterpretq_s32_f32(biased), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(x), n));
}

static inline float vec_reduce_add(vec x) {
    return vaddvq_f32(x);
}
static inline float vec_reduce_max(vec x) {
    return vmaxvq_f32(x);
}

static inline vec vec_load_f16(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline void vec_store_f16(uint16_t *p, vec x) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x)));
}
static inline vec vec_load_i8(const int8_t *p) {
    int32_t four;
    memcpy(&four, p, sizeof four);
    const int16x8_t wide = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(wide)));
}

static inline void vec_store_i16(int16_t *p, vec x) {
    vst1_s16(p, vqmovn_s32(vcvtnq_s32_f32(x)));
}

static inline void vec_spread_i16(int16_t *p, const int16_t *q) {
    for (int i = 0; i < QN_VEC_WIDTH; i++) p[i * 2] = q[i];
}

typedef int32x4_t ivec;

static inline ivec ivec_zero(void) {
    return vdupq_n_s32(0);
}
static inline ivec ivec_load(const void *p) {
    return vld1q_s32(p);
}
static inline ivec ivec_set1(int32_t x) {
    return vdupq_n_s32(x);
}
static inline ivec ivec_dot(ivec c, ivec a, ivec b) {
    const int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    const int32x4_t low = vmull_s16(vget_low_s16(x), vget_low_s16(y));
    return vaddq_s32(c, vpaddq_s32(low, vmull_high_s16(x, y)));
}
static inline vec vec_from_i(ivec x) {
    return vcvtq_f32_s32(x);
}

static inline void vec_unzip(vec lo, vec hi, vec *even, vec *odd) {
    *even = vuzp1q_f32(lo, hi);
    *odd = vuzp2q_f32(lo, hi);
}
static inline void vec_zip(vec even, vec odd, vec *lo, vec *hi) {
    *lo = vzip1q_f32(even, odd);
    *hi = vzip2q_f32(even, odd);
}

static inline vec vec_erf(vec x) {
    return Sleef_erff4_u10advsimd(x);
}
static inline vec vec_tanh(vec x) {
    return Sleef_tanhf4_u10advsimd(x);
}

#include "kernels/vec/vec_math.h"

#endif
