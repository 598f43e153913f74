/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation rows for AVX-512.
 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/act_block.h"
#include "kernels/inventory.h"

void qn_prepare_f32__avx512(const float *x, int k, void *dst) {
    assert(k > 0 && (uintptr_t)dst % 64 == 0);
    const size_t size = (size_t)k * sizeof *x;
    memcpy(dst, x, size);
    qn_act_row_end(QN_ACT_F32, k, size, dst);
}

/* Block b of a row, 32 elements. */
static inline void quantize_block(__m512 lo, __m512 hi, struct qn_act_row row, int b) {
    int8_t *const q = row.q + b * 32;
    const float amax = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(lo), _mm512_abs_ps(hi)));
    if (amax < QN_ACT_AMAX_MIN) {
        _mm256_store_si256((__m256i *)q, _mm256_setzero_si256());
        qn_act_block_set(row, b, 0, 0, 0);
        return;
    }
    const __m512 inverse = _mm512_set1_ps(127.0f / amax);
    const __m512i q_lo = _mm512_cvtps_epi32(_mm512_mul_ps(lo, inverse));
    const __m512i q_hi = _mm512_cvtps_epi32(_mm512_mul_ps(hi, inverse));
    _mm_store_si128((__m128i *)q, _mm512_cvtsepi32_epi8(q_lo));
    _mm_store_si128((__m128i *)(q + 16), _mm512_cvtsepi32_epi8(q_hi));
    const int sum_lo = _mm512_reduce_add_epi32(q_lo), sum_hi = _mm512_reduce_add_epi32(q_hi);
    qn_act_block_set(row, b, amax, sum_lo, sum_hi);
}

void qn_prepare_q8__avx512(const float *x, int k, void *dst) {
    assert(k > 0 && (uintptr_t)dst % 64 == 0);
    const int padded = (k + 255) / 256 * 256;
    const struct qn_act_row row = qn_act_row_of(dst, k);
    int i = 0;
    for (; i + 32 <= k; i += 32)
        quantize_block(_mm512_loadu_ps(x + i), _mm512_loadu_ps(x + i + 16), row, i / 32);
    for (; i < padded; i += 32) {
        const uint32_t mask = i < k ? (1u << (k - i)) - 1 : 0;
        quantize_block(_mm512_maskz_loadu_ps((__mmask16)mask, x + i),
                       _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + i + 16), row, i / 32);
    }
    qn_act_q8_end(k, dst);
}
