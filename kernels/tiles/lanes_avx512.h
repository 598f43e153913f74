/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of R = 16 lanes of 32 bits, one lane a weight row, for the matmul bodies of this folder.
 * Same names as lanes_avx2.h: a body includes one of them.
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

QN_INLINE lanes_f f_zero(void) {
    return _mm512_setzero_ps();
}
QN_INLINE lanes_f f_load(const float *p) {
    return _mm512_loadu_ps(p);
}
QN_INLINE void f_store(float *p, lanes_f v) {
    _mm512_storeu_ps(p, v);
}
QN_INLINE lanes_f f_set1(float x) {
    return _mm512_set1_ps(x);
}
QN_INLINE lanes_f f_add(lanes_f a, lanes_f b) {
    return _mm512_add_ps(a, b);
}
QN_INLINE lanes_f f_sub(lanes_f a, lanes_f b) {
    return _mm512_sub_ps(a, b);
}
QN_INLINE lanes_f f_mul(lanes_f a, lanes_f b) {
    return _mm512_mul_ps(a, b);
}
QN_INLINE lanes_f f_fma(lanes_f a, lanes_f b, lanes_f c) {
    return _mm512_fmadd_ps(a, b, c);
}
QN_INLINE lanes_f f_neg(lanes_f a) {
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
QN_INLINE lanes_f f_from_i(lanes_i a) {
    return _mm512_cvtepi32_ps(a);
}

QN_INLINE lanes_f f_from_bits(lanes_i a) {
    return _mm512_castsi512_ps(a);
}

/* R values of u8 or s8, as lanes; of f16, u8 or s8, as floats. */
QN_INLINE lanes_i i_load_u8(const void *p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
}
QN_INLINE lanes_i i_load_s8(const void *p) {
    return _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
}
QN_INLINE lanes_f f_load_half(const void *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
QN_INLINE lanes_f f_load_u8(const void *p) {
    return f_from_i(i_load_u8(p));
}
QN_INLINE lanes_f f_load_s8(const void *p) {
    return f_from_i(i_load_s8(p));
}

/* The first `rows` lanes only; the others read as 0, or are left alone. */
QN_INLINE lanes_f f_load_rows(const float *p, int rows) {
    return _mm512_maskz_loadu_ps((__mmask16)((1u << rows) - 1), p);
}
QN_INLINE void f_store_rows(float *p, lanes_f v, int rows) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << rows) - 1), v);
}

QN_INLINE lanes_i i_zero(void) {
    return _mm512_setzero_si512();
}
QN_INLINE lanes_i i_set1(int x) {
    return _mm512_set1_epi32(x);
}
QN_INLINE lanes_i i_set1_8(int x) {
    return _mm512_set1_epi8((char)x);
}
QN_INLINE lanes_i i_load(const void *p) {
    return _mm512_loadu_si512(p);
}
QN_INLINE void i_store(void *p, lanes_i v) {
    _mm512_storeu_si512(p, v);
}
QN_INLINE lanes_i i_and(lanes_i a, lanes_i b) {
    return _mm512_and_si512(a, b);
}
QN_INLINE lanes_i i_or(lanes_i a, lanes_i b) {
    return _mm512_or_si512(a, b);
}
QN_INLINE lanes_i i_xor(lanes_i a, lanes_i b) {
    return _mm512_xor_si512(a, b);
}
QN_INLINE lanes_i i_add8(lanes_i a, lanes_i b) {
    return _mm512_add_epi8(a, b);
}
QN_INLINE lanes_i i_sub8(lanes_i a, lanes_i b) {
    return _mm512_sub_epi8(a, b);
}
/* The low 16 bits of the products of 16-bit numbers. */
QN_INLINE lanes_i i_mul16(lanes_i a, lanes_i b) {
    return _mm512_mullo_epi16(a, b);
}
/* a's two 16-bit numbers times b's, summed. */
QN_INLINE lanes_i i_dot16(lanes_i a, lanes_i b) {
    return _mm512_madd_epi16(a, b);
}
QN_INLINE lanes_i i_shl32(lanes_i a, int n) {
    return _mm512_slli_epi32(a, (unsigned)n);
}
/* Shift right by n, or left by -n, in lanes of 16 bits. */
QN_INLINE lanes_i i_shift16(lanes_i a, int n) {
    return n >= 0 ? _mm512_srli_epi16(a, (unsigned)n) : _mm512_slli_epi16(a, (unsigned)-n);
}
/* The high nibble of each byte. */
QN_INLINE lanes_i i_high_nibbles(lanes_i a) {
    return i_and(i_shift16(a, 4), i_set1_8(15));
}
/* t[index[i]] of each byte, indices below 16. */
QN_INLINE lanes_i i_lookup(const int8_t t[16], lanes_i index) {
    const __m128i table = _mm_loadu_si128((const __m128i *)t);
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index);
}
/* a, with those bits of b that the mask has, where a has zeros. */
QN_INLINE lanes_i i_insert(lanes_i a, lanes_i b, lanes_i mask) {
    return i_or(a, i_and(b, mask));
}

#ifdef __AVX512F__
#define QN_ANYWHERE "+v"
#else /* emulated in tests: a vector lies in memory */
#define QN_ANYWHERE "+m"
#endif
/* A number that the compiler has to have ready where it stands: it would begin the products of a
 * whole register tile early and spill them. */
QN_INLINE lanes_i i_here(lanes_i a) {
    __asm__ volatile("" : QN_ANYWHERE(a));
    return a;
}

#ifdef __AVX512VNNI__
#define QN_HAVE_DPBUSD 1
#define QN_HAVE_DOT    1
QN_INLINE lanes_i i_dot(lanes_i acc, lanes_i u, lanes_i s) {
    return _mm512_dpbusd_epi32(acc, u, s);
}
/* acc + i_dot16(a, b) */
QN_INLINE lanes_i i_add_dot16(lanes_i acc, lanes_i a, lanes_i b) {
    return _mm512_dpwssd_epi32(acc, a, b);
}
#else
#define QN_HAVE_DPBUSD 0
#define QN_HAVE_DOT    0
QN_INLINE lanes_i i_add_dot16(lanes_i acc, lanes_i a, lanes_i b) {
    return _mm512_add_epi32(acc, i_dot16(a, b));
}
QN_INLINE lanes_i i_maddubs(lanes_i u, lanes_i s) {
    return _mm512_maddubs_epi16(u, s);
}
/* A sum that the compiler cannot see through: it would turn a chain of sums into a tree, keep every
 * product of a block for it, and spill them. */
QN_INLINE lanes_i i_add16(lanes_i a, lanes_i b) {
    lanes_i sum = _mm512_add_epi16(a, b);
    __asm__("" : QN_ANYWHERE(sum));
    return sum;
}
/* acc + pairs of 16-bit sums, each `times`. */
QN_INLINE lanes_i i_add_pairs(lanes_i acc, lanes_i pairs, const int times) {
    lanes_i sum = _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16((short)times)));
    __asm__("" : QN_ANYWHERE(sum));
    return sum;
}
/* The same, each times its own number. */
QN_INLINE lanes_i i_add_times(lanes_i acc, lanes_i pairs, lanes_i times) {
    lanes_i sum = _mm512_add_epi32(acc, i_dot16(pairs, times));
    __asm__("" : QN_ANYWHERE(sum));
    return sum;
}
QN_INLINE lanes_i i_abs8(lanes_i a) {
    return _mm512_abs_epi8(a);
}
/* All bits of the bytes that are negative. */
QN_INLINE lanes_i i_negative8(lanes_i a) {
    return _mm512_movm_epi8(_mm512_movepi8_mask(a));
}
/* Signed weights in -128..127 times activations in -127..127: |w| times the activation with w's
 * sign. A pair of products is at most 2 * 128 * 127 = 32512. */
QN_INLINE lanes_i i_dot_s8(lanes_i acc, lanes_i w, lanes_i a) {
    const lanes_i signed_a =
        _mm512_mask_sub_epi8(a, _mm512_movepi8_mask(w), _mm512_setzero_si512(), a);
    return i_add_pairs(acc, _mm512_maddubs_epi16(_mm512_abs_epi8(w), signed_a), 1);
}
#endif

#endif
