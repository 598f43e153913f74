/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of floats to stored blocks: the 16-bit floats and the types with blocks of 32.
 */
#include "kernels/quantize.h"

#include <assert.h>

#include "kernels/quantize_private.h"
#include "kernels/round_i16.h"

enum { BLOCK = 32 };

/* ---- elements --------------------------------------------------------------------------- */

/* Infinities stay what they are. */
static void quantize_f16(const float *x, size_t k, uint8_t *dst) {
    for (size_t i = 0; i < k; i++) {
        const uint32_t bits = qn_float_bits(x[i]);
        const bool is_infinite = (bits & 0x7fffffff) == 0x7f800000;
        store_u16(dst + 2 * i,
                  is_infinite ? (bits >> 16 & 0x8000) | 0x7c00 : qn_half_from_float(x[i]));
    }
}

/* Adding just under half of the last place kept, or half where that place is odd; a NaN stays one
 * by a bit that cannot be cut off. */
static void quantize_bf16(const float *x, size_t k, uint8_t *dst) {
    for (size_t i = 0; i < k; i++) {
        const uint32_t bits = qn_float_bits(x[i]);
        const bool is_nan = (bits & 0x7fffffff) > 0x7f800000;
        const uint32_t rounded = is_nan ? bits | 0x400000 : bits + 0x7fff + (bits >> 16 & 1);
        store_u16(dst + 2 * i, rounded >> 16);
    }
}

static void quantize_f32(const float *x, size_t k, uint8_t *dst) {
    memcpy(dst, x, k * sizeof *x);
}

/* ---- blocks of 32 ----------------------------------------------------------------------- */

/* q [32]: 4-bit codes; the first 16 are the low nibbles. */
static void store_nibbles(const uint8_t *q, uint8_t *dst) {
    for (int i = 0; i < 16; i++) dst[i] = (uint8_t)((q[i] & 15) | (q[16 + i] & 15) << 4);
}

static void store_fifth_bits(const uint8_t *q, uint8_t *dst) {
    uint32_t bits = 0;
    for (int i = 0; i < BLOCK; i++) bits |= (uint32_t)(q[i] >> 4 & 1) << i;
    store_u16(dst, bits);
    store_u16(dst + 2, bits >> 16);
}

/* Codes of the blocks, apart. */
struct codes {
    uint8_t q[QN_LANES][BLOCK];
};

static inline void put_codes(struct codes *codes, int i, lane_bits q) {
    for (int l = 0; l < QN_LANES; l++) codes->q[l][i] = (uint8_t)q[l];
}

/* d f16; int8 [32] */
static void quantize_q8_0(const lanes *x, int n, uint8_t *dst) {
    static const struct codebook book = {.lo = -127, .hi = 127};
    const lanes d = lanes_round_half(lanes_abs(signed_extreme(x, BLOCK)) / 127);
    const lanes inverse = lanes_divide(lanes_of(1), d);
    struct codes codes;
    for (int i = 0; i < BLOCK; i++) put_codes(&codes, i, book_code(x[i] * inverse, &book) - 127);
    for (int l = 0; l < n; l++, dst += 34) {
        store_half(dst, d[l]);
        memcpy(dst + 2, codes.q[l], BLOCK);
    }
}

/* The scales, as halves hold them, and the codes for them. */
QN_INLINE lanes quantize_signed(const lanes *x, const struct codebook *book, struct codes *codes) {
    const lanes d = lanes_round_half(fit_signed(x, BLOCK, book).scale);
    const lanes inverse = lanes_divide(lanes_of(1), d);
    for (int i = 0; i < BLOCK; i++) put_codes(codes, i, book_code(x[i] * inverse, book));
    return d;
}

/* d f16; nibbles [16], biased by 8 */
static void quantize_q4_0(const lanes *x, int n, uint8_t *dst) {
    static const float tries[] = {-8, -7, -6, -5, -4, -3, -2,    -1,    1,
                                  2,  3,  4,  5,  6,  7,  -8.5f, -7.5f, 7.5f};
    static const struct codebook book = {-8, 7, false, tries, sizeof tries / sizeof *tries};
    struct codes codes;
    const lanes d = quantize_signed(x, &book, &codes);
    for (int l = 0; l < n; l++, dst += 18) {
        store_half(dst, d[l]);
        store_nibbles(codes.q[l], dst + 2);
    }
}

/* d f16; fifth bits u32; nibbles [16], biased by 16 */
static void quantize_q5_0(const lanes *x, int n, uint8_t *dst) {
    static const float tries[] = {-16,    -15,    -14,   15,    14,   -16.5f,
                                  -15.5f, -14.5f, 14.5f, 15.5f, 16.5f};
    static const struct codebook book = {-16, 15, false, tries, sizeof tries / sizeof *tries};
    struct codes codes;
    const lanes d = quantize_signed(x, &book, &codes);
    for (int l = 0; l < n; l++, dst += 22) {
        store_half(dst, d[l]);
        store_fifth_bits(codes.q[l], dst + 2);
        store_nibbles(codes.q[l], dst + 6);
    }
}

static const float iq4_tries[] = {-127, 113, -134, -120, -112, -104, -94, 120, 106, 98, 89, 80};
const struct codebook qn_quantize_iq4_book = {-127, 113, true, iq4_tries,
                                              sizeof iq4_tries / sizeof *iq4_tries};

/* d f16; nibbles [16] that number the levels */
static void quantize_iq4_nl(const lanes *x, int n, uint8_t *dst) {
    struct codes codes;
    const lanes d = quantize_signed(x, &qn_quantize_iq4_book, &codes);
    for (int l = 0; l < n; l++, dst += 18) {
        store_half(dst, d[l]);
        store_nibbles(codes.q[l], dst + 2);
    }
}

const float qn_quantize_tries[QN_QUANTIZE_TRIES][2] = {{0, 0},     {0, 0.4f},  {0, 0.8f}, {0, 1.2f},
                                                       {0, -0.4f}, {0, -0.8f}, {0, -1.2f}};

/* The offset is rounded to a half first, and the scale is then the best for that offset. */
QN_INLINE lanes quantize_affine(const lanes *x, const struct code_range *range, struct codes *codes,
                                lanes *m) {
    const struct affine_fit fit = fit_affine(x, BLOCK, range);
    *m = lanes_round_half(fit.lo + fit.offset);
    const lanes best = lanes_divide(fit.tq - (*m - fit.lo) * fit.q, fit.qq);
    const lanes d = lanes_round_half(best);
    const lanes inverse = lanes_divide(lanes_of(1), d);
    for (int i = 0; i < BLOCK; i++) {
        const lanes code = range_code((x[i] - *m) * inverse, range);
        put_codes(codes, i, __builtin_convertvector(code, lane_bits));
    }
    return d;
}

/* d f16; m f16; nibbles [16] */
static void quantize_q4_1(const lanes *x, int n, uint8_t *dst) {
    static const struct code_range range = {15, false, qn_quantize_tries, QN_QUANTIZE_TRIES};
    struct codes codes;
    lanes m;
    const lanes d = quantize_affine(x, &range, &codes, &m);
    for (int l = 0; l < n; l++, dst += 20) {
        store_half(dst, d[l]);
        store_half(dst + 2, m[l]);
        store_nibbles(codes.q[l], dst + 4);
    }
}

/* d f16; m f16; fifth bits u32; nibbles [16] */
static void quantize_q5_1(const lanes *x, int n, uint8_t *dst) {
    static const struct code_range range = {31, false, qn_quantize_tries, QN_QUANTIZE_TRIES};
    struct codes codes;
    lanes m;
    const lanes d = quantize_affine(x, &range, &codes, &m);
    for (int l = 0; l < n; l++, dst += 24) {
        store_half(dst, d[l]);
        store_half(dst + 2, m[l]);
        store_fifth_bits(codes.q[l], dst + 4);
        store_nibbles(codes.q[l], dst + 8);
    }
}

/* ---- rows ------------------------------------------------------------------------------- */

/* x with magnitudes of 2^-30 .. 2^30 or 0, so that no square or quotient leaves a float's range. */
static float tame(float x) {
    const float size = qn_float_from_bits(qn_float_bits(x) & 0x7fffffff);
    if (!(size >= 0x1p-30f)) return 0;
    return size > 0x1p30f ? (x < 0 ? -0x1p30f : 0x1p30f) : x;
}

static bool is_finite_block(const float *x, int n) {
    uint32_t highest = 0;
    for (int i = 0; i < n; i++) {
        const uint32_t size = qn_float_bits(x[i]) & 0x7fffffff;
        highest = size > highest ? size : highest;
    }
    return highest < 0x7f800000;
}

/* n <= QN_LANES blocks of 32, of a type whose block begins with its scale. */
static void quantize_32(qn_quantize_32_fn *quantize, size_t block_size, const float *x, int n,
                        uint8_t *dst) {
    lanes t[BLOCK] = {0};
    for (int l = 0; l < n; l++)
        for (int i = 0; i < BLOCK; i++) t[i][l] = tame(x[l * BLOCK + i]);
    quantize(t, n, dst);
    for (int l = 0; l < n; l++)
        if (!is_finite_block(x + l * BLOCK, BLOCK)) store_u16(dst + (size_t)l * block_size, 0x7e00);
}

enum { K_BLOCK = 256 };

/* d_at: where the block holds its scale. */
static void quantize_256(qn_quantize_256_fn *quantize, size_t d_at, const float *x, uint8_t *dst) {
    float t[K_BLOCK];
    for (int i = 0; i < K_BLOCK; i++) t[i] = tame(x[i]);
    quantize(t, dst);
    if (!is_finite_block(x, K_BLOCK)) store_u16(dst + d_at, 0x7e00);
}

struct quantizer {
    void (*row)(const float *x, size_t k, uint8_t *dst);
    qn_quantize_32_fn *blocks; /* or */
    qn_quantize_256_fn *super_block;
    size_t d_at;
};

static void quantize_i16(const float *x, size_t k, uint8_t *dst) {
    for (size_t i = 0; i < k; i += QN_I16_BLOCK, dst += 4 + 2 * QN_I16_BLOCK) {
        int16_t q[QN_I16_BLOCK];
        const float d = qn_round_i16(x + i, q);
        memcpy(dst, &d, sizeof d);
        memcpy(dst + 4, q, sizeof q);
    }
}

static const struct quantizer quantizers[QN_TYPE_COUNT] = {
    [QN_TYPE_F32] = {.row = quantize_f32},
    [QN_TYPE_F16] = {.row = quantize_f16},
    [QN_TYPE_BF16] = {.row = quantize_bf16},
    [QN_TYPE_I16] = {.row = quantize_i16},
    [QN_TYPE_Q8_0] = {.blocks = quantize_q8_0},
    [QN_TYPE_Q4_0] = {.blocks = quantize_q4_0},
    [QN_TYPE_Q4_1] = {.blocks = quantize_q4_1},
    [QN_TYPE_Q5_0] = {.blocks = quantize_q5_0},
    [QN_TYPE_Q5_1] = {.blocks = quantize_q5_1},
    [QN_TYPE_IQ4_NL] = {.blocks = quantize_iq4_nl},
    [QN_TYPE_Q2_K] = {.super_block = qn_quantize_q2_k, .d_at = 80},
    [QN_TYPE_Q3_K] = {.super_block = qn_quantize_q3_k, .d_at = 108},
    [QN_TYPE_Q4_K] = {.super_block = qn_quantize_q4_k},
    [QN_TYPE_Q5_K] = {.super_block = qn_quantize_q5_k},
    [QN_TYPE_Q6_K] = {.super_block = qn_quantize_q6_k, .d_at = 208},
    [QN_TYPE_IQ4_XS] = {.super_block = qn_quantize_iq4_xs},
};

void qn_quantize_row(enum qn_type type, const float *x, size_t k, void *dst) {
    const struct quantizer *const quantizer = &quantizers[type];
    const size_t size = (size_t)qn_type_infos[type].block_size;
    uint8_t *to = dst;
    assert(k % (size_t)qn_type_infos[type].block == 0);
    if (quantizer->row) {
        quantizer->row(x, k, to);
    } else if (quantizer->blocks) {
        for (size_t b = 0, n_blocks = k / BLOCK; b < n_blocks; b += QN_LANES) {
            const int n = n_blocks - b < QN_LANES ? (int)(n_blocks - b) : QN_LANES;
            quantize_32(quantizer->blocks, size, x + b * BLOCK, n, to + b * size);
        }
    } else {
        for (size_t b = 0; b < k / K_BLOCK; b++)
            quantize_256(quantizer->super_block, quantizer->d_at, x + b * K_BLOCK, to + b * size);
    }
}
