/* SPDX-License-Identifier: Apache-2.0
 *
 * What one core can do at the most, measured: the ceilings that kernels are held against.
 */
#ifndef QN_BENCH_PEAK_H
#define QN_BENCH_PEAK_H

#include "kernels/kernels.h"

/* Seconds that this thread has run: other programs on its core do not count. */
double qn_peak_now(void);

/* Arithmetic operations a second (a multiply-add is two) of the best instruction that the ISA has
 * for the kind of weights: integer dots, f32 FMA, or bf16 dots where `bf16` and the ISA has them.
 * 0 where there is no loop for it. */
double qn_peak_ops(enum qn_isa isa, enum qn_act act, bool bf16);

/* Bytes a second of reading `size` bytes of memory in order, the best of some passes. */
double qn_peak_read(const void *p, size_t size);

#endif
