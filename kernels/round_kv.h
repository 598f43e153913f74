/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of a KV cache of type I16, and the queries that meet them: floats to integers of 16 bits
 * with one scale for all of a row, such that sums of products fit 32 bits. Of a query and a row of
 * K they do by Cauchy and Schwarz if both norms are below sqrt(2^31) = 46340. A sum over a block's
 * positions, weights times rows of V, does if the weights' sum is below 2^31 over the largest of V.
 *
 * The functions that round are in ref/kv_store_ref.c and, over vectors, in tmpl/round_kv.inc; every
 * instruction set gives the same bytes.
 */
#ifndef QN_KERNELS_ROUND_KV_H
#define QN_KERNELS_ROUND_KV_H

#include <math.h>

/* Numbers beyond the first are the first; a row whose largest magnitude is below the second counts
 * as zeros. So every scale, its inverse and their products with integers are normal floats. */
#define QN_KV_MAX      0x1p80f
#define QN_KV_AMAX_MIN 0x1p-80f

/* The largest integer of a row of V; what a row's weights add up to at the most, and the largest of
 * them. 64 equal weights are 4096 each, so both are rounded by 1e-4 of their largest number.
 * 8191 * (262000 + 64 / 2) < 2^31. */
enum { QN_KV_V_MAX = 8191, QN_KV_WEIGHTS_MAX = 262000, QN_KV_WEIGHT_MAX = 32760 };

/* For the norm of K a row is rounded to 8 bits first: the squares of up to 256 such numbers, and
 * every sum of them, are exact as floats. */
enum { QN_KV_NORM_MAX = 255, QN_KV_K_NORM = 46300 };

/* What a row of K with the largest magnitude amax > 0 is multiplied with. squares: of its numbers
 * times QN_KV_NORM_MAX / amax, rounded, whose norm is off by sqrt(256) / 2 at the most, and so is
 * that of the result: (46300 + 8)^2 < 2^31. 128 * 255 < 32767. */
static inline float qn_kv_k_factor(float amax, float squares) {
    const float more = (float)QN_KV_K_NORM / (sqrtf(squares) + 8.0f);
    return (float)QN_KV_NORM_MAX / amax * (more < 128.0f ? more : 128.0f);
}

#endif
