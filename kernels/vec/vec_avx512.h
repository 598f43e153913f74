/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector of vec_math.h for AVX-512 F + BW + VL + DQ: 16 floats in a zmm register.
 */
#ifndef QN_KERNELS_VEC_AVX512_H
#define QN_KERNELS_VEC_AVX512_H

#include <sleef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec/mm_avx512.h"

#ifndef QN_VEC_NAME
#define QN_VEC_NAME(function) function##__avx512
#endif
#define QN_VEC_WIDTH 16
/* Accumulators of a strip of attention: with a row of b vectors they leave spares of 32. */
#define QN_VEC_ACCUMULATORS 24

typedef __m512 vec;
typedef __m512i ivec;

#include "kernels/vec/vec_x86.h"

static inline __mmask16 vec_tail_mask(int n) {
    return (__mmask16)((1u << n) - 1);
}
static inline vec vec_load_tail(const float *p, int n) {
    return _mm512_maskz_loadu_ps(vec_tail_mask(n), p);
}
static inline void vec_store_tail(float *p, vec x, int n) {
    _mm512_mask_storeu_ps(p, vec_tail_mask(n), x);
}
static inline vec vec_first(int n, vec a, vec b) {
    return _mm512_mask_blend_ps(vec_tail_mask(n), b, a);
}

static inline vec vec_round(vec x) {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline vec vec_select_less(vec x, vec y, vec a, vec b) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), b, a);
}
static inline vec vec_add_exponent(vec x, vec biased) {
    const __m512i n = _mm512_slli_epi32(_mm512_castps_si512(biased), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(x), n));
}

static inline float vec_reduce_add(vec x) {
    return _mm512_reduce_add_ps(x);
}
static inline float vec_reduce_max(vec x) {
    return _mm512_reduce_max_ps(x);
}

static inline void vec_store_f16(uint16_t *p, vec x) {
    const __m256i h = _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256((__m256i *)p, h);
}

static inline void vec_store_i16(int16_t *p, vec x) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(x)));
}

static inline void vec_spread_i16(int16_t *p, const int16_t *q) {
    const __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)q));
    _mm512_mask_storeu_epi16(p, 0x55555555, x);
}

static inline void vec_unzip(vec lo, vec hi, vec *even, vec *odd) {
    const __m512i pick =
        _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    *even = _mm512_permutex2var_ps(lo, pick, hi);
    *odd = _mm512_permutex2var_ps(lo, _mm512_add_epi32(pick, _mm512_set1_epi32(1)), hi);
}
static inline void vec_zip(vec even, vec odd, vec *lo, vec *hi) {
    const __m512i pick = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    *lo = _mm512_permutex2var_ps(even, pick, odd);
    *hi = _mm512_permutex2var_ps(even, _mm512_add_epi32(pick, _mm512_set1_epi32(8)), odd);
}

static inline vec vec_erf(vec x) {
    return Sleef_erff16_u10avx512f(x);
}
static inline vec vec_tanh(vec x) {
    return Sleef_tanhf16_u10avx512f(x);
}

#include "kernels/vec/vec_math.h"

#endif
