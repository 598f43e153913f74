/* SPDX-License-Identifier: Apache-2.0 */
#include <immintrin.h>

#define QN_PEAK_REGISTER "v"
#include "kernels/tmpl/peak.inc"

QN_PEAK_LOOP(qn_peak_bf16__avx512bf16, __m512, _mm512_setzero_ps(),
             _mm512_dpbf16_ps(x, (__m512bh)_mm512_castps_si512(a),
                              (__m512bh)_mm512_castps_si512(b)))
