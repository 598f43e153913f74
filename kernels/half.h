/* SPDX-License-Identifier: Apache-2.0
 *
 * Scalar conversions between float and the 16-bit formats, for code compiled without F16C.
 */
#ifndef QN_KERNELS_HALF_H
#define QN_KERNELS_HALF_H

#include <stdint.h>
#include <string.h>

static inline float qn_float_from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t qn_float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Exact, for subnormals, infinities and NaNs too. */
static inline float qn_half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    const uint32_t magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00) return qn_float_from_bits(sign | 0x7f800000 | magnitude << 13);
    if (magnitude < 0x0400) { /* subnormal: a multiple of 2^-24 */
        const float x = (float)magnitude * 0x1p-24f;
        return sign ? -x : x;
    }
    return qn_float_from_bits(sign | ((magnitude << 13) + (112u << 23))); /* bias 127 - 15 */
}

/* Nearest, ties to even; beyond the largest finite half gives that one, NaN stays NaN. */
static inline uint16_t qn_half_from_float(float x) {
    const uint32_t bits = qn_float_bits(x);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477fe000) return (uint16_t)(sign | 0x7bff); /* 65504 */
    if (magnitude < 0x38800000) { /* below 2^-14: adding 0.5 leaves multiples of 2^-24 */
        const uint32_t shifted = qn_float_bits(qn_float_from_bits(magnitude) + 0.5f);
        return (uint16_t)(sign | (shifted - 0x3f000000));
    }
    const uint32_t odd = magnitude >> 13 & 1;
    return (uint16_t)(sign | ((magnitude - (112u << 23) + 0xfff + odd) >> 13));
}

/* Nearest, ties to even, as the instructions do it: subnormal numbers become zero, and a NaN stays
 * one. */
static inline uint16_t qn_bfloat_from_float(float x) {
    const uint32_t bits = qn_float_bits(x), magnitude = bits & 0x7fffffff;
    if (magnitude < 0x00800000) return (uint16_t)(bits >> 16 & 0x8000);
    if (magnitude > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float qn_bfloat_to_float(uint16_t b) {
    return qn_float_from_bits((uint32_t)b << 16);
}

#endif
