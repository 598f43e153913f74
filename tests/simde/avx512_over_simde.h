/* SPDX-License-Identifier: Apache-2.0
 *
 * Test only, forced before each AVX-512 source by -Dsimde=true: the AVX-512 intrinsics as SIMDe
 * writes them in AVX2, and the few that SIMDe 0.7.4 lacks as pairs of 256-bit ones. The compiler's
 * own intrinsics cannot slip in: without their target flags a use of one does not compile.
 */
#ifndef QN_TESTS_SIMDE_AVX512_OVER_SIMDE_H
#define QN_TESTS_SIMDE_AVX512_OVER_SIMDE_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <sleef.h>
#include <stdint.h>
#include <string.h>

/* SIMDe 0.7.4 gives this alias the parameters of the masked one. */
#undef _mm512_madd_epi16
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)

/* ---- halves ---- */

static inline __m256 qn_half_ps(__m512 x, int half) {
    __m256 result;
    memcpy(&result, (const char *)&x + 32 * half, sizeof result);
    return result;
}

static inline __m256i qn_half_si(__m512i x, int half) {
    __m256i result;
    memcpy(&result, (const char *)&x + 32 * half, sizeof result);
    return result;
}

static inline __m512 qn_join_ps(__m256 low, __m256 high) {
    __m512 result;
    memcpy(&result, &low, sizeof low);
    memcpy((char *)&result + 32, &high, sizeof high);
    return result;
}

static inline __m512i qn_join_si(__m256i low, __m256i high) {
    __m512i result;
    memcpy(&result, &low, sizeof low);
    memcpy((char *)&result + 32, &high, sizeof high);
    return result;
}

static inline __m128i qn_upper_half(__m128i x) {
    return _mm_srli_si128(x, 8);
}

/* ---- arithmetic ---- */

/* Bytes at even and at odd places apart, each in 16 bits: sums of two products are exact in 32.
 * SIMDe has this one, but as loops that take the compiler minutes. */
static inline __m256i qn_dpbusd_half(__m256i sum, __m256i a, __m256i b) {
    const __m256i a_even = _mm256_and_si256(a, _mm256_set1_epi16(0xff));
    const __m256i b_even = _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8);
    const __m256i even = _mm256_madd_epi16(a_even, b_even);
    const __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

static inline __m512i qn_dpbusd_epi32(__m512i sum, __m512i a, __m512i b) {
    return qn_join_si(qn_dpbusd_half(qn_half_si(sum, 0), qn_half_si(a, 0), qn_half_si(b, 0)),
                      qn_dpbusd_half(qn_half_si(sum, 1), qn_half_si(a, 1), qn_half_si(b, 1)));
}
#undef _mm512_dpbusd_epi32
#define _mm512_dpbusd_epi32(sum, a, b) qn_dpbusd_epi32(sum, a, b)

/* Products of the upper and of the lower bfloats of each lane, exact in float, added in this
 * order. */
static inline __m256 qn_dpbf16_half(__m256 sum, __m256i a, __m256i b) {
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000);
    sum = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(a, upper)),
                          _mm256_castsi256_ps(_mm256_and_si256(b, upper)), sum);
    return _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)),
                           _mm256_castsi256_ps(_mm256_slli_epi32(b, 16)), sum);
}

static inline __m512 qn_dpbf16_ps(__m512 sum, __m512i a, __m512i b) {
    return qn_join_ps(qn_dpbf16_half(qn_half_ps(sum, 0), qn_half_si(a, 0), qn_half_si(b, 0)),
                      qn_dpbf16_half(qn_half_ps(sum, 1), qn_half_si(a, 1), qn_half_si(b, 1)));
}
#undef _mm512_dpbf16_ps
#define _mm512_dpbf16_ps(sum, a, b) qn_dpbf16_ps(sum, (__m512i)(a), (__m512i)(b))

static inline __m512i qn_srai_epi32(__m512i x, int n) {
    return qn_join_si(_mm256_srai_epi32(qn_half_si(x, 0), n),
                      _mm256_srai_epi32(qn_half_si(x, 1), n));
}
#undef _mm512_srai_epi32
#define _mm512_srai_epi32(x, n) qn_srai_epi32(x, n)

/* ---- conversions ---- */

static inline __m512 qn_cvtepi32_ps(__m512i x) {
    return qn_join_ps(_mm256_cvtepi32_ps(qn_half_si(x, 0)), _mm256_cvtepi32_ps(qn_half_si(x, 1)));
}
#undef _mm512_cvtepi32_ps
#define _mm512_cvtepi32_ps(x) qn_cvtepi32_ps(x)

static inline __m512i qn_cvtps_epi32(__m512 x) {
    return qn_join_si(_mm256_cvtps_epi32(qn_half_ps(x, 0)), _mm256_cvtps_epi32(qn_half_ps(x, 1)));
}
#undef _mm512_cvtps_epi32
#define _mm512_cvtps_epi32(x) qn_cvtps_epi32(x)

static inline __m512i qn_cvtepi8_epi32(__m128i x) {
    return qn_join_si(_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(qn_upper_half(x)));
}
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32(x) qn_cvtepi8_epi32(x)

static inline __m512i qn_cvtepu8_epi32(__m128i x) {
    return qn_join_si(_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(qn_upper_half(x)));
}
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32(x) qn_cvtepu8_epi32(x)

static inline __m512i qn_cvtepu16_epi32(__m256i x) {
    return qn_join_si(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)),
                      _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1)));
}
#undef _mm512_cvtepu16_epi32
#define _mm512_cvtepu16_epi32(x) qn_cvtepu16_epi32(x)

static inline __m512 qn_cvtph_ps(__m256i x) {
    return qn_join_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(x)),
                      _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1)));
}
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps(x) qn_cvtph_ps(x)

/* Numbers only: to the nearest bfloat, ties to even; subnormal ones to zero. */
static inline __m256i qn_cvtneps_pbh(__m512 x) {
    uint32_t bits[16];
    uint16_t bfloats[16];
    memcpy(bits, &x, sizeof bits);
    for (int i = 0; i < 16; i++) {
        if ((bits[i] & 0x7f800000) == 0) bits[i] &= 0x80000000;
        bfloats[i] = (uint16_t)((bits[i] + 0x7fff + (bits[i] >> 16 & 1)) >> 16);
    }
    __m256i result;
    memcpy(&result, bfloats, sizeof result);
    return result;
}
#undef _mm512_cvtneps_pbh
#define _mm512_cvtneps_pbh(x) qn_cvtneps_pbh(x)

static inline __m512i qn_cvtne2ps_pbh(__m512 high, __m512 low) {
    return qn_join_si(qn_cvtneps_pbh(low), qn_cvtneps_pbh(high));
}
#undef _mm512_cvtne2ps_pbh
#define _mm512_cvtne2ps_pbh(high, low) qn_cvtne2ps_pbh(high, low)

/* The rounding must be a constant, so it stays in the macro. */
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph(x, rounding)                                                               \
    _mm256_set_m128i(_mm256_cvtps_ph(qn_half_ps(x, 1), (rounding)&7),                              \
                     _mm256_cvtps_ph(qn_half_ps(x, 0), (rounding)&7))

/* ---- memory ---- */

static inline __m512 qn_maskz_loadu_ps(uint16_t mask, const void *p) {
    float x[16] = {0};
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy(x + i, (const char *)p + 4 * i, 4);
    return _mm512_loadu_ps(x);
}
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps(mask, p) qn_maskz_loadu_ps(mask, p)

static inline void qn_mask_storeu_ps(void *p, uint16_t mask, __m512 x) {
    for (int i = 0; i < 16; i++)
        if (mask >> i & 1) memcpy((char *)p + 4 * i, (const char *)&x + 4 * i, 4);
}
#undef _mm512_mask_storeu_ps
#define _mm512_mask_storeu_ps(p, mask, x) qn_mask_storeu_ps(p, mask, x)

/* ---- reductions, in the compiler's order: halves, quarters, and so on ---- */

static inline float qn_reduce_add_ps(__m512 x) {
    const __m256 a = _mm256_add_ps(qn_half_ps(x, 0), qn_half_ps(x, 1));
    const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
#undef _mm512_reduce_add_ps
#define _mm512_reduce_add_ps(x) qn_reduce_add_ps(x)

static inline float qn_reduce_max_ps(__m512 x) {
    const __m256 a = _mm256_max_ps(qn_half_ps(x, 0), qn_half_ps(x, 1));
    const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
    return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}
#undef _mm512_reduce_max_ps
#define _mm512_reduce_max_ps(x) qn_reduce_max_ps(x)

static inline int qn_reduce_add_epi32(__m512i x) {
    int32_t lanes[16], sum = 0;
    memcpy(lanes, &x, sizeof lanes);
    for (int i = 0; i < 16; i++) sum += lanes[i];
    return sum;
}
#undef _mm512_reduce_add_epi32
#define _mm512_reduce_add_epi32(x) qn_reduce_add_epi32(x)

static inline __m256i qn_cvtepi32_epi16(__m512i x) {
    int32_t lanes[16];
    int16_t low[16];
    __m256i result;
    memcpy(lanes, &x, sizeof lanes);
    for (int i = 0; i < 16; i++) low[i] = (int16_t)lanes[i];
    memcpy(&result, low, sizeof low);
    return result;
}
#undef _mm512_cvtepi32_epi16
#define _mm512_cvtepi32_epi16(x) qn_cvtepi32_epi16(x)

static inline void qn_mask_storeu_epi16(void *p, uint32_t mask, __m512i x) {
    int16_t lanes[32];
    memcpy(lanes, &x, sizeof lanes);
    for (int i = 0; i < 32; i++)
        if (mask >> i & 1) memcpy((char *)p + i * 2, lanes + i, 2);
}
#undef _mm512_mask_storeu_epi16
#define _mm512_mask_storeu_epi16(p, mask, x) qn_mask_storeu_epi16(p, mask, x)

/* ---- SLEEF ---- */

static inline __m512 qn_erf(__m512 x) {
    return qn_join_ps(Sleef_erff8_u10avx2(qn_half_ps(x, 0)), Sleef_erff8_u10avx2(qn_half_ps(x, 1)));
}
#define Sleef_erff16_u10avx512f(x) qn_erf(x)

static inline __m512 qn_tanh(__m512 x) {
    return qn_join_ps(Sleef_tanhf8_u10avx2(qn_half_ps(x, 0)),
                      Sleef_tanhf8_u10avx2(qn_half_ps(x, 1)));
}
#define Sleef_tanhf16_u10avx512f(x) qn_tanh(x)

/* What the compiler would define for the bundle; only now, because SIMDe would believe it. */
#if defined QN_HAVE_AVX512VNNI || defined QN_HAVE_AMXINT8
#define __AVX512VNNI__ 1
#endif
#ifdef QN_HAVE_AVX512BF16
#define __AVX512VNNI__ 1
#define __AVX512BF16__ 1
#endif

#endif
