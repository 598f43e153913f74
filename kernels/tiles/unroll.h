/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes register tiles of loops: the bodies of this folder are inlined into each form's
 * kernel, whose constants they see.
 */
#ifndef QN_KERNELS_TILES_UNROLL_H
#define QN_KERNELS_TILES_UNROLL_H

#define QN_INLINE static inline __attribute__((always_inline))

/* Before a loop of few, constant rounds over an array of vectors: unrolled in full, the array is
 * registers. */
#ifdef __clang__
#define QN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define QN_UNROLL _Pragma("GCC unroll 80")
#endif

#endif
