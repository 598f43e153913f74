/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation rows for the tile unit: each number as the sum of two bf16.
 */
#include <assert.h>

#include "kernels/avx512/round_bf16.h"
#include "kernels/inventory.h"

static inline __m512 widen_16(__m256i x) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

void qn_prepare_bf16x2__amxbf16(const float *x, int k, void *dst) {
    assert(k > 0 && (uintptr_t)dst % 64 == 0);
    const int padded = (k + 31) / 32 * 32;
    for (int i = 0; i < padded; i += 16) {
        uint16_t *const high_part = (uint16_t *)dst + i / 32 * 64 + i % 32;
        const __m512 value = vec_load_part(x + i, k > i ? k - i : 0);
        const __m256i high = round_16(value);
        const __m256i low = round_16(_mm512_sub_ps(value, widen_16(high)));
        _mm256_store_si256((__m256i *)high_part, high);
        _mm256_store_si256((__m256i *)(high_part + 32), low);
    }
    _mm512_store_si512((uint16_t *)dst + padded * 2, _mm512_setzero_si512());
}

void qn_prepare_bf16__amxbf16(const float *x, int k, void *dst) {
    assert(k > 0 && (uintptr_t)dst % 64 == 0);
    round_row(x, k, dst);
}
