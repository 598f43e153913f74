/* SPDX-License-Identifier: Apache-2.0
 *
 * Floats to stored blocks: the inverse of qn_type_to_float, for weights that are quantized while
 * they are loaded.
 *
 * What is minimised is the plain sum of squared differences of a block. A product's error is
 * sum_k (w_k - v_k) a_k; over inputs a of which nothing is known but that they are uncorrelated and
 * of one variance s^2, its expected square is s^2 sum_k (w_k - v_k)^2.
 *
 *   F16, BF16        nearest, ties to even; beyond F16's 65504 a finite value becomes 65504
 *   I16              as activations are (round_i16.h), from 2^-100 on
 *   Q8_0             scale amax / 127, as everywhere
 *   Q4_0, Q5_0, IQ4_NL   the best of scales extreme / n, improved by least squares
 *   Q4_1, Q5_1       the best of (scale, min) around the block's range, improved likewise
 *   K types, IQ4_XS  the same for each sub-block, then the super-block's scales searched for least
 *                    error of all its sub-blocks, then both improved in turn
 *
 * A block that holds an infinity or a NaN gets a scale of NaN, so all of it reads as NaN: a broken
 * model stays visibly broken. Magnitudes beyond 2^30, more than any type's range, count as 2^30;
 * those below 2^-30 as 0, for the least scale is 2^-24.
 */
#ifndef QN_KERNELS_QUANTIZE_H
#define QN_KERNELS_QUANTIZE_H

#include "kernels/types.h"

/* x [k] -> one row of `type` at dst, qn_type_row_size(type, k) bytes; k is a multiple of the type's
 * block. A block's bytes are a function of its own floats, the same with every compiler. */
void qn_quantize_row(enum qn_type type, const float *x, size_t k, void *dst);

#endif
