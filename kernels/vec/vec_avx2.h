/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector of vec_math.h for AVX2 + FMA + F16C: 8 floats in a ymm register.
 */
#ifndef QN_KERNELS_VEC_AVX2_H
#define QN_KERNELS_VEC_AVX2_H

#include <sleef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec/mm_avx2.h"

#ifndef QN_VEC_NAME
#define QN_VEC_NAME(function) function##__avx2
#endif
#define QN_VEC_WIDTH 8
/* Accumulators of a strip of attention: with a row of b vectors they fill 16 registers. */
#define QN_VEC_ACCUMULATORS 12

typedef __m256 vec;
typedef __m256i ivec;

#include "kernels/vec/vec_x86.h"

static inline __m256i vec_tail_mask(int n) {
    static const int32_t ones_then_zeros[2 * QN_VEC_WIDTH] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(ones_then_zeros + QN_VEC_WIDTH - n));
}
static inline vec vec_load_tail(const float *p, int n) {
    return _mm256_maskload_ps(p, vec_tail_mask(n));
}
static inline void vec_store_tail(float *p, vec x, int n) {
    _mm256_maskstore_ps(p, vec_tail_mask(n), x);
}
static inline vec vec_first(int n, vec a, vec b) {
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(vec_tail_mask(n)));
}

static inline vec vec_round(vec x) {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vec vec_select_less(vec x, vec y, vec a, vec b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, y, _CMP_LT_OQ));
}
static inline vec vec_add_exponent(vec x, vec biased) {
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(biased), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(x), n));
}

static inline float vec_reduce_add(vec x) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
static inline float vec_reduce_max(vec x) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

static inline void vec_store_f16(uint16_t *p, vec x) {
    const __m128i h = _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128((__m128i *)p, h);
}

static inline void vec_store_i16(int16_t *p, vec x) {
    const __m256i n = _mm256_cvtps_epi32(x);
    _mm_storeu_si128((__m128i *)p,
                     _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1)));
}

static inline void vec_spread_i16(int16_t *p, const int16_t *q) {
    for (int i = 0; i < QN_VEC_WIDTH; i++) p[i * 2] = q[i];
}

static inline void vec_unzip(vec lo, vec hi, vec *even, vec *odd) {
    const __m256 e = _mm256_shuffle_ps(lo, hi, 0x88), o = _mm256_shuffle_ps(lo, hi, 0xdd);
    *even = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(e), 0xd8));
    *odd = _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(o), 0xd8));
}
static inline void vec_zip(vec even, vec odd, vec *lo, vec *hi) {
    const __m256 l = _mm256_unpacklo_ps(even, odd), h = _mm256_unpackhi_ps(even, odd);
    *lo = _mm256_permute2f128_ps(l, h, 0x20);
    *hi = _mm256_permute2f128_ps(l, h, 0x31);
}

static inline vec vec_erf(vec x) {
    return Sleef_erff8_u10avx2(x);
}
static inline vec vec_tanh(vec x) {
    return Sleef_tanhf8_u10avx2(x);
}

#include "kernels/vec/vec_math.h"

#endif
