/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed units back to numbers, straight from the description in pack.h. A product of a half, a
 * scale and a quant is exact in double, and so is its sum with a min.
 */
#include "kernels/ref/unpack_ref.h"

#include "kernels/half.h"
#include "kernels/pack.h"

/* A unit of r rows, and the row of it that is read. */
struct unit {
    const uint8_t *bytes;
    int r, row;
};

/* Element `i` of an array [..][R] of halves at byte `offset` * R of the unit. */
static double load_half(struct unit u, int offset, int i) {
    uint16_t half;
    memcpy(&half, u.bytes + offset * u.r + (i * u.r + u.row) * 2, sizeof half);
    return (double)qn_half_to_float(half);
}

/* The same of bytes, and of an array [..][R][4] of them. */
static int load_byte(struct unit u, int offset, int i) {
    return u.bytes[offset * u.r + i * u.r + u.row];
}

static int load_byte4(struct unit u, int offset, int i, int j) {
    return u.bytes[offset * u.r + (i * u.r + u.row) * 4 + j];
}

/* Element [i][row][j] of an array [..][R][2] of 16-bit numbers at byte `offset` * R. */
static uint16_t load_word(struct unit u, int offset, int i, int j) {
    uint16_t word;
    memcpy(&word, u.bytes + offset * u.r + ((i * u.r + u.row) * 2 + j) * 2, sizeof word);
    return word;
}

/* Two bits of quant k; `pairs` is where the unit's stand. */
static int pair(struct unit u, int pairs, int k) {
    return load_byte4(u, pairs, k / 16, k % 4) >> k % 16 / 4 * 2 & 3;
}

/* Its highest bit; `bits` is where the unit's stand. */
static int high_bit(struct unit u, int bits, int k) {
    return load_byte4(u, bits, k / 32, k % 4) >> k % 32 / 4 & 1;
}

static int quant8(struct unit u, int k) {
    return (int8_t)load_byte4(u, 0, k / 4, k % 4);
}

static int nibble(struct unit u, int k) {
    const int block = k / 32, j = k % 32 / 4;
    return load_byte4(u, 0, block * 4 + j % 4, k % 4) >> j / 4 * 4 & 15;
}

static int quant5(struct unit u, int bits, int k) {
    return nibble(u, k) | high_bit(u, bits, k) << 4;
}

/* The six-bit scale and min of block b; `low` is where their low nibbles stand. */
static void scale_and_min(struct unit u, int low, int b, int *scale, int *min) {
    const int bits = load_byte(u, low, b), high = load_byte(u, low + 8, b % 4) >> b / 4 * 4;
    *scale = (bits & 15) | (high & 3) << 4;
    *min = bits >> 4 | (high >> 2 & 3) << 4;
}

static double weight_f32(struct unit u, int k) {
    float x;
    memcpy(&x, u.bytes + (k * u.r + u.row) * 4, sizeof x);
    return (double)x;
}

static double weight_f16(struct unit u, int k) {
    return load_half(u, 0, k);
}

static double weight_bf16(struct unit u, int k) {
    return (double)qn_bfloat_to_float(load_word(u, 0, k / 2, k % 2));
}

static double weight_i16(struct unit u, int k) {
    float d;
    memcpy(&d, u.bytes + (32 * u.r + u.row) * 4, sizeof d);
    return (double)d * (int16_t)load_word(u, 0, k / 2, k % 2);
}

static double weight_q8_i16(struct unit u, int k) {
    return load_half(u, 64, k / 32) * (int8_t)u.bytes[(k / 2 * u.r + u.row) * 2 + k % 2];
}

static double weight_q8_0(struct unit u, int k) {
    return load_half(u, 64, k / 32) * quant8(u, k);
}

static double weight_q4_0(struct unit u, int k) {
    return load_half(u, 32, k / 32) * (nibble(u, k) - 8);
}

static double weight_q4_1(struct unit u, int k) {
    return load_half(u, 32, k / 32) * nibble(u, k) + load_half(u, 36, k / 32);
}

static double weight_q5_0(struct unit u, int k) {
    return load_half(u, 40, k / 32) * (quant5(u, 32, k) - 16);
}

static double weight_q5_1(struct unit u, int k) {
    return load_half(u, 40, k / 32) * quant5(u, 32, k) + load_half(u, 44, k / 32);
}

static double weight_q4_k(struct unit u, int k) {
    int scale, min;
    scale_and_min(u, 128, k / 32, &scale, &min);
    return load_half(u, 140, 0) * scale * nibble(u, k) - load_half(u, 142, 0) * min;
}

static double weight_q5_k(struct unit u, int k) {
    int scale, min;
    scale_and_min(u, 160, k / 32, &scale, &min);
    return load_half(u, 172, 0) * scale * quant5(u, 128, k) - load_half(u, 174, 0) * min;
}

static double weight_q6_k(struct unit u, int k) {
    const int scale = (int8_t)load_byte(u, 192, k / 16);
    return load_half(u, 208, 0) * scale * ((nibble(u, k) | pair(u, 128, k) << 4) - 32);
}

static double weight_q6_i16(struct unit u, int k) {
    const int low = load_word(u, 0, k / 8, k % 2) >> k % 8 / 2 * 4 & 15;
    const int high = load_word(u, 128, k / 16, k % 2) >> k % 16 / 2 * 2 & 3;
    const int scale = (int8_t)load_byte(u, 192, k / 16);
    return load_half(u, 208, 0) * scale * ((low | high << 4) - 32);
}

static double weight_iq4_nl(struct unit u, int k) {
    return load_half(u, 32, k / 32) * qn_pack_iq4_values[nibble(u, k)];
}

static double weight_iq4_xs(struct unit u, int k) {
    const int scale = (int8_t)load_byte(u, 128, k / 32);
    return load_half(u, 136, 0) * scale * qn_pack_iq4_values[nibble(u, k)];
}

static double weight_q2_k(struct unit u, int k) {
    const int both = load_byte(u, 64, k / 16), scale = both & 15, min = both >> 4;
    return load_half(u, 80, 0) * scale * pair(u, 0, k) - load_half(u, 82, 0) * min;
}

static double weight_q3_k(struct unit u, int k) {
    const int scale = (int8_t)load_byte(u, 96, k / 16);
    return load_half(u, 112, 0) * scale * ((pair(u, 0, k) | high_bit(u, 64, k) << 2) - 4);
}

void qn_unpack_unit_row__ref(enum qn_pack form, int r, const uint8_t *unit, int row, double *dst) {
    static double (*const weights[QN_PACK_COUNT])(struct unit u, int k) = {
        [QN_PACK_F32] = weight_f32,       [QN_PACK_F16] = weight_f16,
        [QN_PACK_BF16] = weight_bf16,     [QN_PACK_Q8_0] = weight_q8_0,
        [QN_PACK_Q4_0] = weight_q4_0,     [QN_PACK_Q4_1] = weight_q4_1,
        [QN_PACK_Q5_0] = weight_q5_0,     [QN_PACK_Q5_1] = weight_q5_1,
        [QN_PACK_IQ4_NL] = weight_iq4_nl, [QN_PACK_Q2_K] = weight_q2_k,
        [QN_PACK_Q3_K] = weight_q3_k,     [QN_PACK_Q4_K] = weight_q4_k,
        [QN_PACK_Q5_K] = weight_q5_k,     [QN_PACK_Q6_K] = weight_q6_k,
        [QN_PACK_IQ4_XS] = weight_iq4_xs, [QN_PACK_I16] = weight_i16,
        [QN_PACK_Q8_I16] = weight_q8_i16, [QN_PACK_Q6_I16] = weight_q6_i16,
    };
    const int unit_k = qn_pack_unit_k(form);
    for (int k = 0; k < unit_k; k++) dst[k] = weights[form]((struct unit){unit, r, row}, k);
}
