/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define QN_PEAK_REGISTER "v"
#include "kernels/tmpl/peak.inc"

QN_PEAK_LOOP(qn_peak_f32__avx512, __m512, _mm512_setzero_ps(), _mm512_fmadd_ps(a, b, x))
QN_PEAK_LOOP(qn_peak_int8__avx512, __m512i, _mm512_setzero_si512(),
             _mm512_add_epi32(x, _mm512_madd_epi16(_mm512_maddubs_epi16(a, x), b)))
