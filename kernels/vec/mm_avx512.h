/* SPDX-License-Identifier: Apache-2.0
 *
 * AVX-512 by names that have no width in them, for what vec_x86.h and tiles/lanes_x86.h write once.
 */
#ifndef QN_KERNELS_VEC_MM_H
#define QN_KERNELS_VEC_MM_H

#include <immintrin.h>

#define MM(name)    _mm512_##name
#define MM_SI(name) _mm512_##name##_si512
/* As many bytes, or halves, as a vector has lanes of 32 bits. */
#define MM_LOAD_BYTES(p)  _mm_loadu_si128((const __m128i *)(p))
#define MM_LOAD_HALVES(p) _mm256_loadu_si256((const __m256i *)(p))
#ifdef __AVX512VNNI__ /* dots of four bytes, or of two integers of 16 bits */
#define MM_VNNI(name) _mm512_##name##_epi32
#endif
/* Where empty assembly takes a vector. */
#ifdef __AVX512F__
#define MM_PLACE "+v"
#else /* emulated in tests: a vector lies in memory */
#define MM_PLACE "+m"
#endif

#endif
