/* SPDX-License-Identifier: Apache-2.0
 *
 * Floats to blocks of 64 integers of 16 bits with one scale, of weights and of activations: one
 * function, so that every instruction set writes the same bytes. The compiler makes vectors of it;
 * each float operation is rounded once, and integers are added in any order.
 *
 * A dot of two blocks has to fit 32 bits. By Cauchy and Schwarz it is at most the product of their
 * norms, so a norm may reach sqrt(2^31) = 46340; a single number may reach 32767. With 64 normal
 * numbers the norm is what binds: they come to 5793 in the mean, so that rounding, 0.29, is 5e-5 of
 * them.
 */
#ifndef QN_KERNELS_ROUND_I16_H
#define QN_KERNELS_ROUND_I16_H

#include <float.h>
#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

/* A block whose largest magnitude is below this counts as zeros: all factors are normal floats. */
#define QN_I16_AMAX_MIN 0x1p-100f

/* x to the nearest whole number, ties to even; |x| < 2^22. */
static inline int32_t qn_i16_nearest(float x) {
    return (int32_t)((x + 0x1.8p23f) - 0x1.8p23f);
}

/* The largest magnitude, by bits, which are in the order of magnitudes; a NaN is above all. */
static inline float qn_i16_amax(const float x[QN_I16_BLOCK]) {
    int32_t bits[QN_I16_BLOCK], most = 0;
    float amax;
    memcpy(bits, x, sizeof bits);
    for (int i = 0; i < QN_I16_BLOCK; i++) {
        const int32_t magnitude = bits[i] & 0x7fffffff;
        most = magnitude > most ? magnitude : most;
    }
    memcpy(&amax, &most, sizeof amax);
    return amax;
}

/* The scale of a block of the largest magnitude amax, of 8 significant bits, so that its products
 * with integers of 16 are exact in float. Rounded to 12 bits the squares of the block's numbers add
 * up exactly; their norm is off by sqrt(64) / 2 at most, and so is that of the result: (46200 +
 * 4)^2 < 2^31. 16 * 2047 < 32767. */
static inline float qn_i16_scale(const float x[QN_I16_BLOCK], float amax) {
    const float to_12 = 2047.0f / amax;
    int32_t squares = 0;
    for (int i = 0; i < QN_I16_BLOCK; i++) {
        const int32_t q = qn_i16_nearest(x[i] * to_12);
        squares += q * q;
    }
    const float more = 46200.0f / (sqrtf((float)squares) + 4.0f);
    const float exact = 1.0f / (to_12 * (more < 16.0f ? more : 16.0f));
    uint32_t bits;
    memcpy(&bits, &exact, sizeof bits);
    bits = (bits + 0xffff) & 0xffff0000; /* up */
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

/* x -> q; returns the scale. A block with an infinity or a NaN gets a scale of NaN. */
static inline float qn_round_i16(const float x[QN_I16_BLOCK], int16_t q[QN_I16_BLOCK]) {
    const float amax = qn_i16_amax(x);
    if (!(amax >= QN_I16_AMAX_MIN && amax <= FLT_MAX)) {
        memset(q, 0, QN_I16_BLOCK * sizeof *q);
        return amax < QN_I16_AMAX_MIN ? 0 : NAN;
    }
    const float scale = qn_i16_scale(x, amax), factor = 1.0f / scale;
    for (int i = 0; i < QN_I16_BLOCK; i++) q[i] = (int16_t)qn_i16_nearest(x[i] * factor);
    return scale;
}

/* x float [K] -> a row of I16 activations. */
static inline void qn_round_i16_row(const float *x, int k, void *row) {
    int16_t *const q = row;
    const int blocks = qn_i16_blocks(k), whole = k / QN_I16_BLOCK;
    float *const scales = (float *)(void *)(q + blocks * QN_I16_BLOCK);
    for (int b = 0; b < whole; b++)
        scales[b] = qn_round_i16(x + b * QN_I16_BLOCK, q + b * QN_I16_BLOCK);
    if (whole < blocks) {
        float part[QN_I16_BLOCK] = {0};
        memcpy(part, x + whole * QN_I16_BLOCK, (size_t)(k - whole * QN_I16_BLOCK) * sizeof *part);
        scales[whole] = qn_round_i16(part, q + whole * QN_I16_BLOCK);
    }
    char *const end = (char *)(scales + blocks);
    memset(end, 0, qn_act_row_size(QN_ACT_I16, k) - (size_t)(end - (char *)row));
}

#endif
