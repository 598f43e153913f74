/* SPDX-License-Identifier: Apache-2.0
 *
 * A kernel of one's own in the laboratory: matmul of Q4_0 weights in plain C, to be replaced by
 * something faster.
 *
 *   cc -O3 -shared -fPIC -o my_kernel.so my_kernel.c
 *   quern kbench --plugin ./my_kernel.so --filter 'matmul/Q4_0' --shape 1536x576
 *
 * -DBROKEN makes it wrong, to see that the laboratory says so.
 */
#include <quern_kernel.h>
#include <string.h>

enum { R = 8, BLOCK = 32, UNIT = 64, UNIT_BYTES = 36 * R };

static float half_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff;
    if (exponent == 0) { /* zero or subnormal: fraction * 2^-24 */
        const float magnitude = (float)fraction * 0x1p-24f;
        return sign ? -magnitude : magnitude;
    }
    const uint32_t bits = sign | (exponent + 127 - 15) << 23 | fraction << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Quant of element k of a block, row r: low nibbles hold the first 16, high ones the rest. */
static int quant(const uint8_t *nibbles, int r, int k) {
    const uint8_t byte = nibbles[(k % 16 / 4 * R + r) * 4 + k % 4];
    return (k < 16 ? byte & 15 : byte >> 4) - 8;
}

/* Sum over K of one row of a tile with one row of activations. */
static float dot(const uint8_t *tile, int r, const int8_t *q, const struct quern_block *blocks,
                 int k) {
    float sum = 0;
    for (int b = 0; b < k / BLOCK; b++) {
        const uint8_t *const unit = tile + b / 2 * UNIT_BYTES;
        const uint8_t *const nibbles = unit + b % 2 * 16 * R;
        int product = 0;
        for (int i = 0; i < BLOCK; i++) product += quant(nibbles, r, i) * q[b * BLOCK + i];
        uint16_t scale;
        memcpy(&scale, unit + 32 * R + (b % 2 * R + r) * 2, sizeof scale);
        sum += (float)product * blocks[b].scale * half_to_float(scale);
    }
    return sum;
}

static void matmul_q4_0(const struct quern_matmul *a) {
    const int k_padded = (a->k + 255) / 256 * 256;
    const size_t tile_size = ((size_t)((a->k + UNIT - 1) / UNIT) * UNIT_BYTES + 63) / 64 * 64;
    for (int m = 0; m < a->m; m++) {
        const int8_t *const q = (const int8_t *)a->x + (size_t)m * a->x_ld;
        const struct quern_block *const blocks = (const struct quern_block *)(q + k_padded);
        for (int n = a->n0; n < a->n1; n++) {
            const uint8_t *const tile = (const uint8_t *)a->w + (size_t)(n / R) * tile_size;
            float sum = dot(tile, n % R, q, blocks, a->k);
#ifndef BROKEN
            if (a->bias) sum += a->bias[n];
#endif
            float *const y = a->y + (size_t)m * a->y_ld + n;
            *y = a->accumulate ? *y + sum : sum;
        }
    }
}

const struct quern_kernel quern_kernel = {
    .abi = QUERN_KERNEL_ABI,
    .tile_rows = R,
    .name = "my_kernel",
    .op = "matmul",
    .variant = "Q4_0",
    .isa = "ref",
    .run = {.matmul = matmul_q4_0},
};
