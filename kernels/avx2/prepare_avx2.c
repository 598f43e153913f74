/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation rows for AVX2.
 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/act_block.h"
#include "kernels/inventory.h"

static inline float reduce_max(__m256 v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

static inline float block_amax(const __m256 v[4]) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 m[4];
    for (int j = 0; j < 4; j++) m[j] = _mm256_andnot_ps(sign, v[j]);
    return reduce_max(_mm256_max_ps(_mm256_max_ps(m[0], m[1]), _mm256_max_ps(m[2], m[3])));
}

/* The sums of the first and the last 16 bytes of q. */
static inline void half_sums(__m256i q, int *lo, int *hi) {
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q);
    const __m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); /* [lo 4][hi 4] */
    const __m256i two = _mm256_add_epi32(quads, _mm256_shuffle_epi32(quads, 0x4e));
    const __m256i one = _mm256_add_epi32(two, _mm256_shuffle_epi32(two, 0xb1));
    *lo = _mm256_cvtsi256_si32(one);
    *hi = _mm_cvtsi128_si32(_mm256_extracti128_si256(one, 1));
}

enum { UNIT = 32 };

/* Block b of a row. */
static inline void quantize_unit(const float *x, struct qn_act_row row, int b) {
    int8_t *const q = row.q + b * 32;
    const __m256 v[4] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), _mm256_loadu_ps(x + 16),
                         _mm256_loadu_ps(x + 24)};
    const float amax = block_amax(v);
    if (amax < QN_ACT_AMAX_MIN) {
        _mm256_store_si256((__m256i *)q, _mm256_setzero_si256());
        qn_act_block_set(row, b, 0, 0, 0);
        return;
    }
    const __m256 inverse = _mm256_set1_ps(127.0f / amax);
    __m256i i[4];
    for (int j = 0; j < 4; j++) i[j] = _mm256_cvtps_epi32(_mm256_mul_ps(v[j], inverse));
    /* The packs work in halves of 128 bits; one permutation of dwords puts them in order. */
    const __m256i packed =
        _mm256_packs_epi16(_mm256_packs_epi32(i[0], i[1]), _mm256_packs_epi32(i[2], i[3]));
    const __m256i bytes =
        _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_store_si256((__m256i *)q, bytes);
    int sum_lo, sum_hi;
    half_sums(bytes, &sum_lo, &sum_hi);
    qn_act_block_set(row, b, amax, sum_lo, sum_hi);
}

#define QN_PREPARE_NAME(function) function##__avx2
#define QN_PREPARE_I16            1
#include "kernels/tmpl/prepare.inc"
