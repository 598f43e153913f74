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

static int quant8(struct unit u, int k) {
    return (int8_t)load_byte4(u, 0, k / 4, k % 4);
}

static int nibble(struct unit u, int k) {
    const int block = k / 32, j = k % 32 / 4;
    return load_byte4(u, 0, block * 4 + j % 4, k % 4) >> j / 4 * 4 & 15;
}

/* Five-bit quants: `bits` is where the fifth ones stand. */
static int quant5(struct unit u, int bits, int k) {
    return nibble(u, k) | (load_byte4(u, bits, k / 32, k % 4) >> k % 32 / 4 & 1) << 4;
}

static int quant6(struct unit u, int k) {
    return nibble(u, k) | (load_byte4(u, 128, k / 16, k % 4) >> k % 16 / 4 * 2 & 3) << 4;
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
    uint16_t bits;
    memcpy(&bits, u.bytes + ((k / 2 * u.r + u.row) * 2 + k % 2) * 2, sizeof bits);
    return (double)qn_bfloat_to_float(bits);
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
    return load_half(u, 208, 0) * scale * (quant6(u, k) - 32);
}

static double weight_int8(struct unit u, int k) {
    const int scale = (int8_t)load_byte(u, 256, k / 16), min = load_byte(u, 272, k / 16);
    return load_half(u, 288, 0) * scale * quant8(u, k) - load_half(u, 290, 0) * min;
}

void qn_unpack_unit_row__ref(enum qn_pack form, int r, const uint8_t *unit, int row, double *dst) {
    static double (*const weights[QN_PACK_COUNT])(struct unit u, int k) = {
        [QN_PACK_F32] = weight_f32,   [QN_PACK_F16] = weight_f16,   [QN_PACK_BF16] = weight_bf16,
        [QN_PACK_Q8_0] = weight_q8_0, [QN_PACK_Q4_0] = weight_q4_0, [QN_PACK_Q4_1] = weight_q4_1,
        [QN_PACK_Q5_0] = weight_q5_0, [QN_PACK_Q5_1] = weight_q5_1, [QN_PACK_Q4_K] = weight_q4_k,
        [QN_PACK_Q5_K] = weight_q5_k, [QN_PACK_Q6_K] = weight_q6_k, [QN_PACK_INT8] = weight_int8,
    };
    const int unit_k = qn_pack_unit_k(form);
    for (int k = 0; k < unit_k; k++) dst[k] = weights[form]((struct unit){unit, r, row}, k);
}
