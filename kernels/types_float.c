/* SPDX-License-Identifier: Apache-2.0
 *
 * Stored blocks to floats: the meaning of each type. Every product of a half-precision scale, an
 * integer scale and a weight has at most 24 significant bits, so that only the addition of a
 * minimum rounds.
 */
#include <assert.h>

#include "kernels/half.h"
#include "kernels/kernels.h"

enum { LEGACY_BLOCK = 32, K_BLOCK = 256 };

static uint16_t load_u16(const uint8_t *p) {
    return (uint16_t)(p[0] | p[1] << 8);
}

static float load_half(const uint8_t *p) {
    return qn_half_to_float(load_u16(p));
}

static uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
}

/* d f16; int8 [32] */
static void q8_0_block(const uint8_t *src, float *dst) {
    const float d = load_half(src);
    for (int i = 0; i < LEGACY_BLOCK; i++) dst[i] = d * (float)(int8_t)src[2 + i];
}

/* The 4-bit weight i of a block of 32: low nibbles hold the first 16, high ones the rest. */
static int nibble(const uint8_t *quants, int i) {
    return i < 16 ? quants[i] & 15 : quants[i - 16] >> 4;
}

/* d f16; nibbles [16], biased by 8 */
static void q4_0_block(const uint8_t *src, float *dst) {
    const float d = load_half(src);
    for (int i = 0; i < LEGACY_BLOCK; i++) dst[i] = d * (float)(nibble(src + 2, i) - 8);
}

/* d f16; m f16; nibbles [16] */
static void q4_1_block(const uint8_t *src, float *dst) {
    const float d = load_half(src), m = load_half(src + 2);
    for (int i = 0; i < LEGACY_BLOCK; i++) dst[i] = d * (float)nibble(src + 4, i) + m;
}

/* d f16; fifth bits u32; nibbles [16], biased by 16 */
static void q5_0_block(const uint8_t *src, float *dst) {
    const float d = load_half(src);
    const uint32_t fifth = load_u32(src + 2);
    for (int i = 0; i < LEGACY_BLOCK; i++) {
        const int high = (int)(fifth >> i & 1) << 4;
        dst[i] = d * (float)((nibble(src + 6, i) | high) - 16);
    }
}

/* d f16; m f16; fifth bits u32; nibbles [16] */
static void q5_1_block(const uint8_t *src, float *dst) {
    const float d = load_half(src), m = load_half(src + 2);
    const uint32_t fifth = load_u32(src + 4);
    for (int i = 0; i < LEGACY_BLOCK; i++) {
        const int high = (int)(fifth >> i & 1) << 4;
        dst[i] = d * (float)(nibble(src + 8, i) | high) + m;
    }
}

/* scale and min nibbles [16]; 2-bit weights [64]; d f16; dmin f16. Weight i of a half of 128 lies
 * in byte i % 32 of the half, at bits 2 * (i / 32). */
static void q2_k_block(const uint8_t *src, float *dst) {
    const float d = load_half(src + 80), dmin = load_half(src + 82);
    for (int i = 0; i < K_BLOCK; i++) {
        const uint8_t scale = src[i / 16];
        const int q = src[16 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        dst[i] = d * (float)(scale & 15) * (float)q - dmin * (float)(scale >> 4);
    }
}

/* third bits [32]; 2-bit weights [64] placed as in Q2_K; 6-bit scales [12] biased by 32; d f16.
 * The weight is its 2 bits, less 4 where the third bit is clear. Scale j has its low nibble in
 * byte j % 8 and its two high bits in byte 8 + j % 4 at bits 2 * (j / 4). */
static void q3_k_block(const uint8_t *src, float *dst) {
    const uint8_t *const scales = src + 96;
    const float d = load_half(src + 108);
    for (int i = 0; i < K_BLOCK; i++) {
        const int j = i / 16;
        const int low = scales[j % 8] >> j / 8 * 4 & 15;
        const int high = scales[8 + j % 4] >> j / 4 * 2 & 3;
        const int bits = src[32 + i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
        const int third = src[i % 32] >> i / 32 & 1;
        dst[i] = d * (float)((low | high << 4) - 32) * (float)(bits - (third ? 0 : 4));
    }
}

/* Q4_K and Q5_K keep 8 six-bit scales and mins in 12 bytes: the first four of each whole, in bytes
 * 0..3 and 4..7; the others have low nibbles in bytes 8..11 and high bits atop bytes 0..7. */
static void scale_and_min(const uint8_t *bytes, int j, int *scale, int *min) {
    if (j < 4) {
        *scale = bytes[j] & 63;
        *min = bytes[j + 4] & 63;
    } else {
        *scale = (bytes[j + 4] & 15) | bytes[j - 4] >> 6 << 4;
        *min = bytes[j + 4] >> 4 | bytes[j] >> 6 << 4;
    }
}

/* d f16; dmin f16; scales and mins [12]; nibbles [128]: blocks 2c and 2c + 1 of 32 weights are the
 * low and the high nibbles of the same 32 bytes. Q5_K has fifth bits [32] before the nibbles: byte
 * i % 32, bit i / 32. */
static void q45_k_block(const uint8_t *src, const uint8_t *fifth, const uint8_t *nibbles,
                        float *dst) {
    const float d = load_half(src), dmin = load_half(src + 2);
    for (int j = 0; j < 8; j++) {
        int scale, min;
        scale_and_min(src + 4, j, &scale, &min);
        for (int i = 0; i < 32; i++) {
            int q = nibbles[j / 2 * 32 + i] >> j % 2 * 4 & 15;
            if (fifth) q |= (fifth[i] >> j & 1) << 4;
            dst[j * 32 + i] = d * (float)scale * (float)q - dmin * (float)min;
        }
    }
}

static void q4_k_block(const uint8_t *src, float *dst) {
    q45_k_block(src, NULL, src + 16, dst);
}
static void q5_k_block(const uint8_t *src, float *dst) {
    q45_k_block(src, src + 16, src + 48, dst);
}

/* low nibbles [128]; high 2 bits [64]; int8 scales [16]; d f16; weights biased by 32. In a half of
 * 128, weight i has its nibble in byte i % 64 (low for i < 64) and its high bits in byte i % 32. */
static void q6_k_block(const uint8_t *src, float *dst) {
    const float d = load_half(src + 208);
    for (int i = 0; i < K_BLOCK; i++) {
        const int half = i / 128, j = i % 128;
        const int low = src[half * 64 + j % 64] >> j / 64 * 4 & 15;
        const int high = src[128 + half * 32 + j % 32] >> j / 32 * 2 & 3;
        const float scale = d * (float)(int8_t)src[192 + i / 16];
        dst[i] = scale * (float)((low | high << 4) - 32);
    }
}

/* The sixteen levels of the IQ4 types, as the format fixes them. */
static const int8_t iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

/* d f16; nibbles [16] that index the levels */
static void iq4_nl_block(const uint8_t *src, float *dst) {
    const float d = load_half(src);
    for (int i = 0; i < LEGACY_BLOCK; i++) dst[i] = d * (float)iq4_levels[nibble(src + 2, i)];
}

/* d f16; high scale bits u16; low scale nibbles [4]; nibbles [128], 16 bytes for each 32 weights.
 * Scales are of 6 bits, biased by 32. */
static void iq4_xs_block(const uint8_t *src, float *dst) {
    const float d = load_half(src);
    const int high = load_u16(src + 2);
    for (int j = 0; j < 8; j++) {
        const int low = src[4 + j / 2] >> j % 2 * 4 & 15;
        const float scale = d * (float)((low | (high >> 2 * j & 3) << 4) - 32);
        for (int i = 0; i < 32; i++)
            dst[j * 32 + i] = scale * (float)iq4_levels[nibble(src + 8 + j * 16, i)];
    }
}

/* d float; q int16 [64] */
static void i16_block(const uint8_t *src, float *dst) {
    float d;
    memcpy(&d, src, sizeof d);
    for (int i = 0; i < QN_I16_BLOCK; i++) dst[i] = d * (float)(int16_t)load_u16(src + 4 + 2 * i);
}

/* Types of single elements, a row at a time. Halves as integers, so that compilers use vectors:
 * shifted into a float's place they have the right significand and an exponent that is 112 too low,
 * and the product by 2^112 sets it right, for subnormals too. The largest exponent of all means
 * infinities and NaNs in either. */
static void f16_row(const uint8_t *src, float *dst, size_t k) {
    for (size_t i = 0; i < k; i++) {
        const uint32_t half = load_u16(src + 2 * i), sign = (half & 0x8000) << 16;
        const uint32_t shifted = (half & 0x7fff) << 13;
        const uint32_t finite = qn_float_bits(qn_float_from_bits(shifted) * 0x1p112f);
        const uint32_t none = -(uint32_t)(shifted >= 0x0f800000); /* a choice would be a branch */
        dst[i] = qn_float_from_bits(sign | finite | (0x7f800000 & none));
    }
}

static void bf16_row(const uint8_t *src, float *dst, size_t k) {
    for (size_t i = 0; i < k; i++) dst[i] = qn_bfloat_to_float(load_u16(src + 2 * i));
}

void qn_type_to_float(enum qn_type type, const void *src, float *dst, size_t k) {
    static void (*const block_fns[QN_TYPE_COUNT])(const uint8_t *src, float *dst) = {
        [QN_TYPE_Q8_0] = q8_0_block,     [QN_TYPE_Q4_0] = q4_0_block,
        [QN_TYPE_Q4_1] = q4_1_block,     [QN_TYPE_Q5_0] = q5_0_block,
        [QN_TYPE_Q5_1] = q5_1_block,     [QN_TYPE_Q2_K] = q2_k_block,
        [QN_TYPE_Q3_K] = q3_k_block,     [QN_TYPE_Q4_K] = q4_k_block,
        [QN_TYPE_Q5_K] = q5_k_block,     [QN_TYPE_Q6_K] = q6_k_block,
        [QN_TYPE_IQ4_NL] = iq4_nl_block, [QN_TYPE_IQ4_XS] = iq4_xs_block,
        [QN_TYPE_I16] = i16_block,
    };
    const size_t block = (size_t)qn_type_infos[type].block;
    const size_t size = (size_t)qn_type_infos[type].block_size;
    assert(k % block == 0);
    const uint8_t *p = src;
    if (type == QN_TYPE_F32) {
        memcpy(dst, src, k * sizeof *dst);
        return;
    }
    if (type == QN_TYPE_F16 || type == QN_TYPE_BF16) {
        (type == QN_TYPE_F16 ? f16_row : bf16_row)(src, dst, k);
        return;
    }
    for (size_t i = 0; i < k; i += block, p += size) block_fns[qn_type_stored(type)](p, dst + i);
}
