/* SPDX-License-Identifier: Apache-2.0
 *
 * What lanes_avx2.h and lanes_avx512.h share, over the intrinsics of their width (vec/mm_avx2.h and
 * vec/mm_avx512.h). They include it at their end.
 */
#ifndef QN_KERNELS_TILES_LANES_X86_H
#define QN_KERNELS_TILES_LANES_X86_H

#include "kernels/tiles/unroll.h"

/* ---- floats ---- */

QN_INLINE lanes_f f_zero(void) {
    return MM(setzero_ps)();
}
QN_INLINE lanes_f f_load(const float *p) {
    return MM(loadu_ps)(p);
}
QN_INLINE void f_store(float *p, lanes_f v) {
    MM(storeu_ps)(p, v);
}
QN_INLINE lanes_f f_set1(float x) {
    return MM(set1_ps)(x);
}
QN_INLINE lanes_f f_add(lanes_f a, lanes_f b) {
    return MM(add_ps)(a, b);
}
QN_INLINE lanes_f f_sub(lanes_f a, lanes_f b) {
    return MM(sub_ps)(a, b);
}
QN_INLINE lanes_f f_mul(lanes_f a, lanes_f b) {
    return MM(mul_ps)(a, b);
}
QN_INLINE lanes_f f_fma(lanes_f a, lanes_f b, lanes_f c) {
    return MM(fmadd_ps)(a, b, c);
}
QN_INLINE lanes_f f_neg(lanes_f a) {
    return MM(xor_ps)(a, MM(set1_ps)(-0.0f));
}
QN_INLINE lanes_f f_from_i(lanes_i a) {
    return MM(cvtepi32_ps)(a);
}

/* R values of u8 or s8, as lanes; of f16, u8 or s8, as floats. */
QN_INLINE lanes_i i_load_u8(const void *p) {
    return MM(cvtepu8_epi32)(MM_LOAD_BYTES(p));
}
QN_INLINE lanes_i i_load_s8(const void *p) {
    return MM(cvtepi8_epi32)(MM_LOAD_BYTES(p));
}
QN_INLINE lanes_f f_load_half(const void *p) {
    return MM(cvtph_ps)(MM_LOAD_HALVES(p));
}
QN_INLINE lanes_f f_load_u8(const void *p) {
    return f_from_i(i_load_u8(p));
}
QN_INLINE lanes_f f_load_s8(const void *p) {
    return f_from_i(i_load_s8(p));
}

/* ---- integers ---- */

QN_INLINE lanes_i i_zero(void) {
    return MM_SI(setzero)();
}
QN_INLINE lanes_i i_set1(int x) {
    return MM(set1_epi32)(x);
}
QN_INLINE lanes_i i_set1_8(int x) {
    return MM(set1_epi8)((char)x);
}
QN_INLINE lanes_i i_load(const void *p) {
    return MM_SI(loadu)(p);
}
QN_INLINE void i_store(void *p, lanes_i v) {
    MM_SI(storeu)(p, v);
}
QN_INLINE lanes_i i_and(lanes_i a, lanes_i b) {
    return MM_SI(and)(a, b);
}
QN_INLINE lanes_i i_or(lanes_i a, lanes_i b) {
    return MM_SI(or)(a, b);
}
QN_INLINE lanes_i i_xor(lanes_i a, lanes_i b) {
    return MM_SI(xor)(a, b);
}
QN_INLINE lanes_i i_add8(lanes_i a, lanes_i b) {
    return MM(add_epi8)(a, b);
}
QN_INLINE lanes_i i_sub8(lanes_i a, lanes_i b) {
    return MM(sub_epi8)(a, b);
}
/* 2 R values of s8, as 16-bit numbers. */
QN_INLINE lanes_i i_load_words(const void *p) {
    return MM(cvtepi8_epi16)(MM_LOAD_HALVES(p));
}
QN_INLINE lanes_i i_sub16(lanes_i a, lanes_i b) {
    return MM(sub_epi16)(a, b);
}
/* The low 16 bits of the products of 16-bit numbers. */
QN_INLINE lanes_i i_mul16(lanes_i a, lanes_i b) {
    return MM(mullo_epi16)(a, b);
}
/* a's two 16-bit numbers times b's, summed. */
QN_INLINE lanes_i i_dot16(lanes_i a, lanes_i b) {
    return MM(madd_epi16)(a, b);
}
QN_INLINE lanes_i i_shl32(lanes_i a, int n) {
    return MM(slli_epi32)(a, n);
}
/* Shift right by n, or left by -n, in lanes of 16 bits. */
QN_INLINE lanes_i i_shift16(lanes_i a, int n) {
    return n >= 0 ? MM(srli_epi16)(a, n) : MM(slli_epi16)(a, -n);
}
/* The high nibble of each byte. */
QN_INLINE lanes_i i_high_nibbles(lanes_i a) {
    return i_and(i_shift16(a, 4), i_set1_8(15));
}
/* a, with those bits of b that the mask has, where a has zeros. */
QN_INLINE lanes_i i_insert(lanes_i a, lanes_i b, lanes_i mask) {
    return i_or(a, i_and(b, mask));
}

/* A number that the compiler has to have ready where it stands: it would begin the products of a
 * whole register tile early and spill them. */
QN_INLINE lanes_i i_here(lanes_i a) {
    __asm__ volatile("" : MM_PLACE(a));
    return a;
}
/* A sum that the compiler cannot see through: it would turn a chain of sums into a tree, keep every
 * product of a block for it, and spill them. */
QN_INLINE lanes_i i_opaque(lanes_i a) {
    __asm__("" : MM_PLACE(a));
    return a;
}

/* ---- sums of products ---- */

#ifdef MM_VNNI
#define QN_HAVE_DPBUSD 1
#define QN_HAVE_DOT    1
QN_INLINE lanes_i i_dot(lanes_i acc, lanes_i u, lanes_i s) {
    return MM_VNNI(dpbusd)(acc, u, s);
}
/* acc + i_dot16(a, b) */
QN_INLINE lanes_i i_add_dot16(lanes_i acc, lanes_i a, lanes_i b) {
    return MM_VNNI(dpwssd)(acc, a, b);
}
#else
#define QN_HAVE_DPBUSD 0
#define QN_HAVE_DOT    0
QN_INLINE lanes_i i_add_dot16(lanes_i acc, lanes_i a, lanes_i b) {
    return MM(add_epi32)(acc, i_dot16(a, b));
}
QN_INLINE lanes_i i_maddubs(lanes_i u, lanes_i s) {
    return MM(maddubs_epi16)(u, s);
}
QN_INLINE lanes_i i_add16(lanes_i a, lanes_i b) {
    return i_opaque(MM(add_epi16)(a, b));
}
/* acc + pairs of 16-bit sums, each `times`. */
QN_INLINE lanes_i i_add_pairs(lanes_i acc, lanes_i pairs, const int times) {
    return i_opaque(MM(add_epi32)(acc, MM(madd_epi16)(pairs, MM(set1_epi16)((short)times))));
}
/* The same, each times its own number. */
QN_INLINE lanes_i i_add_times(lanes_i acc, lanes_i pairs, lanes_i times) {
    return i_opaque(MM(add_epi32)(acc, i_dot16(pairs, times)));
}
QN_INLINE lanes_i i_abs8(lanes_i a) {
    return MM(abs_epi8)(a);
}
/* Signed weights in -128..127 times activations in -127..127: |w| times the activation with w's
 * sign. A pair of products is at most 2 * 128 * 127 = 32512. */
QN_INLINE lanes_i i_dot_s8(lanes_i acc, lanes_i w, lanes_i a) {
    return i_add_pairs(acc, i_maddubs(i_abs8(w), i_with_sign8(a, w)), 1);
}
#endif

#endif
