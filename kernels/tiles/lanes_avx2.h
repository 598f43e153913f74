/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of R = 8 lanes of 32 bits, one lane a weight row, for the matmul bodies of this folder.
 * Same names as lanes_avx512.h: a body includes one of them.
 */
#ifndef QN_KERNELS_TILES_LANES_H
#define QN_KERNELS_TILES_LANES_H

#include <stdint.h>

#include "kernels/tiles/unroll.h"
#include "kernels/vec/mm_avx2.h"

enum { QN_R = 8 };
/* Register tiles: QN_TILE_M rows of activations by QN_PANEL_TILES tiles of integer weights, which
 * share each broadcast of activations; QN_TILE_M_HALVES rows where scaled dots of first halves, or
 * sums of 16 bits, wait beside them; and QN_FLOAT_M rows by two tiles of floats. Without VNNI, sums
 * of floats wait in memory while a block's integers have the registers. */
#define QN_DIRECT_ROWS 4 /* up to so many rows of activations are a strip, which shares weights */
#define QN_FLOAT_M     6
#define QN_PANEL_TILES 2
#ifdef __AVXVNNI__
#define QN_STRIP_TILES   1 /* tiles of weights that strips take at a time */
#define QN_TILE_M        3
#define QN_TILE_M_HALVES 2
#else
#define QN_STRIP_TILES   2
#define QN_TILE_M        4
#define QN_TILE_M_HALVES 3
#endif

typedef __m256 lanes_f;
typedef __m256i lanes_i;

QN_INLINE lanes_f f_from_bits(lanes_i a) {
    return _mm256_castsi256_ps(a);
}

/* The first `rows` lanes only; the others read as 0, or are left alone. */
QN_INLINE __m256i lanes_mask(int rows) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(rows), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
QN_INLINE lanes_f f_load_rows(const float *p, int rows) {
    return _mm256_maskload_ps(p, lanes_mask(rows));
}
QN_INLINE void f_store_rows(float *p, lanes_f v, int rows) {
    _mm256_maskstore_ps(p, lanes_mask(rows), v);
}

/* t[index[i]] of each byte, indices below 16. */
QN_INLINE lanes_i i_lookup(const int8_t t[16], lanes_i index) {
    const __m128i table = _mm_loadu_si128((const __m128i *)t);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), index);
}
/* All bits of the bytes that are negative. */
QN_INLINE lanes_i i_negative8(lanes_i a) {
    return _mm256_cmpgt_epi8(_mm256_setzero_si256(), a);
}
/* a with the signs of w, in bytes; anything where w is 0. */
QN_INLINE lanes_i i_with_sign8(lanes_i a, lanes_i w) {
    return _mm256_sign_epi8(a, w);
}

#include "kernels/tiles/lanes_x86.h"

#endif
