/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define QN_PEAK_REGISTER "v"
#include "kernels/tmpl/peak.inc"

QN_PEAK_LOOP(qn_peak_int8__avx512vnni, __m512i, _mm512_setzero_si512(),
             _mm512_dpbusd_epi32(x, a, b))
