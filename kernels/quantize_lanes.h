/* SPDX-License-Identifier: Apache-2.0
 *
 * Four blocks side by side: lane l of every vector belongs to block l, so that a sum over a block
 * is a sum of vectors in the order of its elements, with nothing across lanes. Vectors are the
 * compilers' own, for any instruction set. Private to kernels/quantize*.c.
 */
#ifndef QN_KERNELS_QUANTIZE_LANES_H
#define QN_KERNELS_QUANTIZE_LANES_H

#include <stdint.h>

enum { QN_LANES = 4 };

typedef float lanes __attribute__((vector_size(4 * QN_LANES)));
typedef int32_t lane_bits __attribute__((vector_size(4 * QN_LANES)));

static inline lanes lanes_of(float x) {
    return (lanes){x, x, x, x};
}

/* mask: all ones or zeros a lane, as comparisons give. */
static inline lanes lanes_select(lane_bits mask, lanes yes, lanes no) {
    return (lanes)(((lane_bits)yes & mask) | ((lane_bits)no & ~mask));
}

static inline lanes lanes_max(lanes a, lanes b) {
    return lanes_select(a > b, a, b);
}

static inline lanes lanes_min(lanes a, lanes b) {
    return lanes_select(a < b, a, b);
}

static inline lanes lanes_abs(lanes x) {
    return (lanes)((lane_bits)x & 0x7fffffff);
}

/* The nearest whole number, ties to even; |x| < 2^22. */
static inline lanes lanes_round(lanes x) {
    return (x + 0x1.8p23f) - 0x1.8p23f;
}

/* a / b, or 0 where b is 0. */
static inline lanes lanes_divide(lanes a, lanes b) {
    const lane_bits is_zero = b == 0;
    return lanes_select(is_zero, lanes_of(0), a / lanes_select(is_zero, lanes_of(1), b));
}

/* The float that the nearest half stands for; saturates at 65504. */
static inline lanes lanes_round_half(lanes x) {
    const lane_bits sign = (lane_bits)x & (int32_t)0x80000000;
    const lanes size = lanes_min(lanes_abs(x), lanes_of(65504));
    const lane_bits bits = (lane_bits)size;
    const lanes normal = (lanes)((bits + 0xfff + (bits >> 13 & 1)) & ~0x1fff);
    const lanes subnormal = (size + 0.5f) - 0.5f; /* multiples of 2^-24 */
    const lanes rounded = lanes_select(size < 0x1p-14f, subnormal, normal);
    return (lanes)((lane_bits)lanes_min(rounded, lanes_of(65504)) | sign);
}

/* Lane 0 + lane 1 + ..., in this order. */
static inline float lanes_sum(lanes x) {
    float sum = 0;
    for (int l = 0; l < QN_LANES; l++) sum += x[l];
    return sum;
}

#endif
