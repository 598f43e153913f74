/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of R = 16 lanes of 32 bits, one lane a weight row, for the matmul bodies of this folder.
 * Same names as lanes_avx2.h: a body includes one of them.
 */
#ifndef QN_KERNELS_TILES_LANES_H
#define QN_KERNELS_TILES_LANES_H

#include <stdint.h>

#include "kernels/tiles/unroll.h"
#include "kernels/vec/mm_avx512.h"

enum { QN_R = 16 };
/* Register tiles: QN_TILE_M rows of activations by QN_PANEL_TILES tiles of integer weights, which
 * takes as many accumulators as sums; QN_TILE_M_HALVES rows where scaled dots of first halves, or
 * sums of 16 bits, wait beside them; and QN_FLOAT_M rows by two tiles of floats. */
#define QN_DIRECT_ROWS 8 /* up to so many rows of activations are a strip, which shares weights */
#ifdef __AVX512VNNI__
#define QN_STRIP_TILES 2 /* tiles of weights that strips take at a time */
#else
#define QN_STRIP_TILES 1
#endif
#define QN_FLOAT_M       12
#define QN_PANEL_TILES   2
#define QN_TILE_M        6
#define QN_TILE_M_HALVES 4

typedef __m512 lanes_f;
typedef __m512i lanes_i;

QN_INLINE lanes_f f_from_bits(lanes_i a) {
    return _mm512_castsi512_ps(a);
}

/* The first `rows` lanes only; the others read as 0, or are left alone. */
QN_INLINE lanes_f f_load_rows(const float *p, int rows) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << rows) - 1), p);
}
QN_INLINE void f_store_rows(float *p, lanes_f v, int rows) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << rows) - 1), v);
}

/* t[index[i]] of each byte, indices below 16. */
QN_INLINE lanes_i i_lookup(const int8_t t[16], lanes_i index) {
    const __m128i table = _mm_loadu_si128((const __m128i *)t);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index);
}
/* All bits of the bytes that are negative. */
QN_INLINE lanes_i i_negative8(lanes_i a) {
    return _mm512_movm_epi8(_mm512_movepi8_mask(a));
}
/* a with the signs of w, in bytes; anything where w is 0. */
QN_INLINE lanes_i i_with_sign8(lanes_i a, lanes_i w) {
    return _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(w), _mm512_setzero_si512(), a);
}

#include "kernels/tiles/lanes_x86.h"

#endif
