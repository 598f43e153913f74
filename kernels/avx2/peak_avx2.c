/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define QN_PEAK_REGISTER "v"
#include "kernels/tmpl/peak.inc"

QN_PEAK_LOOP(qn_peak_f32__avx2, __m256, _mm256_setzero_ps(), _mm256_fmadd_ps(a, b, x))
QN_PEAK_LOOP(qn_peak_int8__avx2, __m256i, _mm256_setzero_si256(),
             _mm256_add_epi32(x, _mm256_madd_epi16(_mm256_maddubs_epi16(a, x), b)))
