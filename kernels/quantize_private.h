/* SPDX-License-Identifier: Apache-2.0
 *
 * What the quantizers of blocks share. Private to kernels/quantize*.c.
 */
#ifndef QN_KERNELS_QUANTIZE_PRIVATE_H
#define QN_KERNELS_QUANTIZE_PRIVATE_H

#include "kernels/half.h"
#include "kernels/quantize_fit.h"

/* Four blocks of 32 floats at x, of which the first n are wanted, -> stored blocks at dst. */
typedef void qn_quantize_32_fn(const lanes *x /* [32] */, int n, uint8_t *dst);
/* One super-block of 256 -> its stored block. */
typedef void qn_quantize_256_fn(const float *x /* [256] */, uint8_t *dst);

qn_quantize_256_fn qn_quantize_q2_k, qn_quantize_q3_k, qn_quantize_q4_k, qn_quantize_q5_k,
    qn_quantize_q6_k, qn_quantize_iq4_xs;

/* Tries of types with 16 and 32 codes and an offset: among {s, e} for starts s and ends e from -1.2
 * to 2, the few that left the least error on normal weights. Starts help no more than ends do:
 * least squares moves both. */
enum { QN_QUANTIZE_TRIES = 7 };
extern const float qn_quantize_tries[QN_QUANTIZE_TRIES][2];

/* The levels of the IQ4 types, of which one has blocks of 32 and one super-blocks. */
extern const struct codebook qn_quantize_iq4_book;

static inline void store_u16(uint8_t *p, unsigned x) {
    p[0] = (uint8_t)x;
    p[1] = (uint8_t)(x >> 8);
}

static inline void store_half(uint8_t *p, float x) {
    store_u16(p, qn_half_from_float(x));
}

#endif
