/* SPDX-License-Identifier: Apache-2.0
 *
 * A row of activations rounded to bf16 (QN_ACT_BF16), for the instruction sets that convert.
 */
#ifndef QN_KERNELS_AVX512_ROUND_BF16_H
#define QN_KERNELS_AVX512_ROUND_BF16_H

#include "kernels/kernels.h"
#include "kernels/vec/vec_avx512.h"

/* 16 floats, to the nearest bf16; subnormal numbers become zero. */
static inline __m256i round_16(__m512 x) {
    return (__m256i)_mm512_cvtneps_pbh(x);
}

static inline void round_row(const float *x, int k, void *dst) {
    const int all = (int)(qn_act_row_size(QN_ACT_BF16, k) / sizeof(uint16_t));
    uint16_t *const out = dst;
    int i = 0;
    for (; i + 16 <= k; i += 16)
        _mm256_store_si256((__m256i *)(out + i), round_16(vec_load(x + i)));
    for (; i < all; i += 16)
        _mm256_store_si256((__m256i *)(out + i), round_16(vec_load_part(x + i, k > i ? k - i : 0)));
}

#endif
