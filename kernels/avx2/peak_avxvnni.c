/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define QN_PEAK_REGISTER "v"
#include "kernels/tmpl/peak.inc"

QN_PEAK_LOOP(qn_peak_int8__avxvnni, __m256i, _mm256_setzero_si256(),
             _mm256_dpbusd_avx_epi32(x, a, b))
