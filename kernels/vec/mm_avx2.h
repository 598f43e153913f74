/* SPDX-License-Identifier: Apache-2.0
 *
 * AVX2 by names that have no width in them, for what vec_x86.h and tiles/lanes_x86.h write once.
 */
#ifndef QN_KERNELS_VEC_MM_H
#define QN_KERNELS_VEC_MM_H

#include <immintrin.h>

#define MM(name)    _mm256_##name
#define MM_SI(name) _mm256_##name##_si256
/* As many bytes, or halves, as a vector has lanes of 32 bits. */
#define MM_LOAD_BYTES(p)  _mm_loadl_epi64((const __m128i *)(p))
#define MM_LOAD_HALVES(p) _mm_loadu_si128((const __m128i *)(p))
#ifdef __AVXVNNI__ /* dots of four bytes, or of two integers of 16 bits */
#define MM_VNNI(name) _mm256_##name##_avx_epi32
#endif
/* Where empty assembly takes a vector. */
#define MM_PLACE "+x"

#endif
