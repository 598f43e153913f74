/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of R = 8 lanes of 32 bits, one lane a weight row, for the matmul bodies of this folder.
 * Same names as lanes_avx512.h: a body includes one of them.
 */
#ifndef QN_KERNELS_TILES_LANES_H
#define QN_KERNELS_TILES_LANES_H

#include <immintrin.h>
#include <stdint.h>

#define QN_INLINE static inline __attribute__((always_inline))

/* Before a loop of few, constant rounds over an array of vectors: unrolled in full, the array is
 * registers. */
#ifdef __clang__
#define QN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define QN_UNROLL _Pragma("GCC unroll 80")
#endif

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

QN_INLINE lanes_f f_zero(void) {
    return _mm256_setzero_ps();
}
QN_INLINE lanes_f f_load(const float *p) {
    return _mm256_loadu_ps(p);
}
QN_INLINE void f_store(float *p, lanes_f v) {
    _mm256_storeu_ps(p, v);
}
QN_INLINE lanes_f f_set1(float x) {
    return _mm256_set1_ps(x);
}
QN_INLINE lanes_f f_add(lanes_f a, lanes_f b) {
    return _mm256_add_ps(a, b);
}
QN_INLINE lanes_f f_sub(lanes_f a, lanes_f b) {
    return _mm256_sub_ps(a, b);
}
QN_INLINE lanes_f f_mul(lanes_f a, lanes_f b) {
    return _mm256_mul_ps(a, b);
}
QN_INLINE lanes_f f_fma(lanes_f a, lanes_f b, lanes_f c) {
    return _mm256_fmadd_ps(a, b, c);
}
QN_INLINE lanes_f f_neg(lanes_f a) {
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}
QN_INLINE lanes_f f_from_i(lanes_i a) {
    return _mm256_cvtepi32_ps(a);
}

QN_INLINE lanes_f f_from_bits(lanes_i a) {
    return _mm256_castsi256_ps(a);
}

/* R values of u8 or s8, as lanes; of f16, u8 or s8, as floats. */
QN_INLINE lanes_i i_load_u8(const void *p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
QN_INLINE lanes_i i_load_s8(const void *p) {
    return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p));
}
QN_INLINE lanes_f f_load_half(const void *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
QN_INLINE lanes_f f_load_u8(const void *p) {
    return f_from_i(i_load_u8(p));
}
QN_INLINE lanes_f f_load_s8(const void *p) {
    return f_from_i(i_load_s8(p));
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

QN_INLINE lanes_i i_zero(void) {
    return _mm256_setzero_si256();
}
QN_INLINE lanes_i i_set1(int x) {
    return _mm256_set1_epi32(x);
}
QN_INLINE lanes_i i_set1_8(int x) {
    return _mm256_set1_epi8((char)x);
}
QN_INLINE lanes_i i_load(const void *p) {
    return _mm256_loadu_si256((const __m256i *)p);
}
QN_INLINE void i_store(void *p, lanes_i v) {
    _mm256_storeu_si256((__m256i *)p, v);
}
QN_INLINE lanes_i i_and(lanes_i a, lanes_i b) {
    return _mm256_and_si256(a, b);
}
QN_INLINE lanes_i i_or(lanes_i a, lanes_i b) {
    return _mm256_or_si256(a, b);
}
QN_INLINE lanes_i i_xor(lanes_i a, lanes_i b) {
    return _mm256_xor_si256(a, b);
}
QN_INLINE lanes_i i_add8(lanes_i a, lanes_i b) {
    return _mm256_add_epi8(a, b);
}
QN_INLINE lanes_i i_sub8(lanes_i a, lanes_i b) {
    return _mm256_sub_epi8(a, b);
}
/* The low 16 bits of the products of 16-bit numbers. */
QN_INLINE lanes_i i_mul16(lanes_i a, lanes_i b) {
    return _mm256_mullo_epi16(a, b);
}
/* a's two 16-bit numbers times b's, summed. */
QN_INLINE lanes_i i_dot16(lanes_i a, lanes_i b) {
    return _mm256_madd_epi16(a, b);
}
QN_INLINE lanes_i i_shl32(lanes_i a, int n) {
    return _mm256_slli_epi32(a, n);
}
/* Shift right by n, or left by -n, in lanes of 16 bits. */
QN_INLINE lanes_i i_shift16(lanes_i a, int n) {
    return n >= 0 ? _mm256_srli_epi16(a, n) : _mm256_slli_epi16(a, -n);
}
/* The high nibble of each byte. */
QN_INLINE lanes_i i_high_nibbles(lanes_i a) {
    return i_and(i_shift16(a, 4), i_set1_8(15));
}
/* t[index[i]] of each byte, indices below 16. */
QN_INLINE lanes_i i_lookup(const int8_t t[16], lanes_i index) {
    const __m128i table = _mm_loadu_si128((const __m128i *)t);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), index);
}
/* a, with those bits of b that the mask has, where a has zeros. */
QN_INLINE lanes_i i_insert(lanes_i a, lanes_i b, lanes_i mask) {
    return i_or(a, i_and(b, mask));
}

/* A number that the compiler has to have ready where it stands: it would begin the products of a
 * whole register tile early and spill them. */
QN_INLINE lanes_i i_here(lanes_i a) {
    __asm__ volatile("" : "+x"(a));
    return a;
}

#ifdef __AVXVNNI__
#define QN_HAVE_DPBUSD 1
#define QN_HAVE_DOT    1
QN_INLINE lanes_i i_dot(lanes_i acc, lanes_i u, lanes_i s) {
    return _mm256_dpbusd_avx_epi32(acc, u, s);
}
/* acc + i_dot16(a, b) */
QN_INLINE lanes_i i_add_dot16(lanes_i acc, lanes_i a, lanes_i b) {
    return _mm256_dpwssd_avx_epi32(acc, a, b);
}
#else
#define QN_HAVE_DPBUSD 0
#define QN_HAVE_DOT    0
QN_INLINE lanes_i i_add_dot16(lanes_i acc, lanes_i a, lanes_i b) {
    return _mm256_add_epi32(acc, i_dot16(a, b));
}
QN_INLINE lanes_i i_maddubs(lanes_i u, lanes_i s) {
    return _mm256_maddubs_epi16(u, s);
}
/* A sum that the compiler cannot see through: it would turn a chain of sums into a tree, keep every
 * product of a block for it, and spill them. */
QN_INLINE lanes_i i_add16(lanes_i a, lanes_i b) {
    lanes_i sum = _mm256_add_epi16(a, b);
    __asm__("" : "+x"(sum));
    return sum;
}
/* acc + pairs of 16-bit sums, each `times`. */
QN_INLINE lanes_i i_add_pairs(lanes_i acc, lanes_i pairs, const int times) {
    lanes_i sum = _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16((short)times)));
    __asm__("" : "+x"(sum));
    return sum;
}
/* The same, each times its own number. */
QN_INLINE lanes_i i_add_times(lanes_i acc, lanes_i pairs, lanes_i times) {
    lanes_i sum = _mm256_add_epi32(acc, i_dot16(pairs, times));
    __asm__("" : "+x"(sum));
    return sum;
}
QN_INLINE lanes_i i_abs8(lanes_i a) {
    return _mm256_abs_epi8(a);
}
/* All bits of the bytes that are negative. */
QN_INLINE lanes_i i_negative8(lanes_i a) {
    return _mm256_cmpgt_epi8(_mm256_setzero_si256(), a);
}
/* Signed weights in -128..127 times activations in -127..127: |w| times the activation with w's
 * sign. A pair of products is at most 2 * 128 * 127 = 32512. */
QN_INLINE lanes_i i_dot_s8(lanes_i acc, lanes_i w, lanes_i a) {
    return i_add_pairs(acc, _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(a, w)), 1);
}
#endif

#endif
