/* SPDX-License-Identifier: Apache-2.0
 *
 * A row of activations rounded to bf16 (QN_ACT_BF16), for the instruction sets that convert.
 */
#ifndef QN_KERNELS_AVX512_ROUND_BF16_H
#define QN_KERNELS_AVX512_ROUND_BF16_H

#include <immintrin.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* 16 floats, to the nearest bf16; subnormal numbers become zero. */
static inline __m256i round_16(__m512 x) {
    return (__m256i)_mm512_cvtneps_pbh(x);
}

/* The next 16 of `left` floats at x, and zeros. */
static inline __m512 load_16(const float *x, int left) {
    const uint32_t mask = left >= 16 ? 0xffff : left > 0 ? (1u << left) - 1 : 0;
    return _mm512_maskz_loadu_ps((__mmask16)mask, x);
}

static inline void round_row(const float *x, int k, void *dst) {
    const int all = (int)(qn_act_row_size(QN_ACT_BF16, k) / sizeof(uint16_t));
    for (int i = 0; i < all; i += 16)
        _mm256_store_si256((__m256i *)((uint16_t *)dst + i), round_16(load_16(x + i, k - i)));
}

#endif
