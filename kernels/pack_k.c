/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing of the types with blocks of 256 (K-quants and IQ4_XS). Stored blocks interleave the
 * 32-blocks of a row by nibble; units give each 32-block nibbles of its own. Four quants, one
 * group, are worked on at a time as the bytes of a word.
 */
#include "kernels/pack_blocks.h"

/* Nibbles of one 32-block whose 8 groups are the words q (4 bits a byte). */
static void put_nibbles(const uint32_t q[8], uint8_t *unit, int b, int r, int row) {
    uint8_t *dst = unit + (b * 4 * r + row) * 4;
    for (int j = 0; j < 4; j++) store_u32(dst + j * r * 4, q[j] | q[j + 4] << 4);
}

/* The pairs of bits of one 32-block whose 8 groups are the words q (2 bits a byte); `pairs` is
 * where the unit's stand. */
static void put_pairs(const uint32_t q[8], uint8_t *pairs, int b, int r, int row) {
    uint32_t words[2] = {0, 0};
    for (int g = 0; g < 8; g++) words[g / 4] |= q[g] << (g % 4 * 2);
    for (int h = 0; h < 2; h++) store_u32(pairs + ((b * 2 + h) * r + row) * 4, words[h]);
}

/* Bit c of each of 32 bytes, as bit g of the byte of k = 4g + i. */
static void put_bits(const uint8_t *stored, int c, uint8_t *bits, int r, int row) {
    uint32_t word = 0;
    for (int g = 0; g < 8; g++) word |= (load_u32(stored + 4 * g) >> c & 0x01010101) << g;
    store_u32(bits + (c * r + row) * 4, word);
}

/* 32-block b of the 128 bytes of Q4_K and Q5_K: blocks 2c and 2c + 1 share 32 bytes. */
static void pack_nibbles_k(const uint8_t *qs, uint8_t *unit, int b, int r, int row) {
    uint32_t q[8];
    for (int g = 0; g < 8; g++)
        q[g] = load_u32(qs + b / 2 * 32 + 4 * g) >> (b % 2 * 4) & 0x0f0f0f0f;
    put_nibbles(q, unit, b, r, row);
}

/* Scales and mins of 6 bits: the 12 stored bytes hold the low parts of blocks 0..3 and, split,
 * the low and high parts of blocks 4..7. */
static void pack_scales_k(const uint8_t *scales, uint8_t *low, int r, int row) {
    uint8_t *high = low + 8 * r;
    for (int b = 0; b < 4; b++) {
        const int sc = scales[b] & 63, mn = scales[b + 4] & 63;
        const int sc4 = (scales[b + 8] & 15) | scales[b] >> 6 << 4;
        const int mn4 = scales[b + 8] >> 4 | scales[b + 4] >> 6 << 4;
        low[b * r + row] = (uint8_t)((sc & 15) | (mn & 15) << 4);
        low[(b + 4) * r + row] = (uint8_t)((sc4 & 15) | (mn4 & 15) << 4);
        high[b * r + row] = (uint8_t)(sc >> 4 | mn >> 4 << 2 | sc4 >> 4 << 4 | mn4 >> 4 << 6);
    }
}

/* Stored: d, dmin, scales [12], qs [128]. */
void qn_pack_block_q4_k(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    (void)b;
    for (int c = 0; c < 8; c++) pack_nibbles_k(src + 16, unit, c, r, row);
    pack_scales_k(src + 4, unit + 128 * r, r, row);
    copy_u16(unit + 140 * r + row * 2, src);
    copy_u16(unit + 142 * r + row * 2, src + 2);
}

/* Stored: d, dmin, scales [12], qh [32], qs [128]; bit c of qh [i] is of element i of block c. */
void qn_pack_block_q5_k(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    (void)b;
    for (int c = 0; c < 8; c++) {
        put_bits(src + 16, c, unit + 128 * r, r, row);
        pack_nibbles_k(src + 48, unit, c, r, row);
    }
    pack_scales_k(src + 4, unit + 160 * r, r, row);
    copy_u16(unit + 172 * r + row * 2, src);
    copy_u16(unit + 174 * r + row * 2, src + 2);
}

/* Q6_K. Stored: ql [128], qh [64], scales int8 [16], d. In each half of 128 elements, 32-blocks c
 * and c + 2 share 32 bytes of ql, all four share 32 bytes of qh. The low four bits of 32-block c
 * and the high two. */
static void load_q6_k(const uint8_t *src, int c, uint32_t low[8], uint32_t high[8]) {
    const uint8_t *ql = src + c / 4 * 64 + c % 2 * 32, *qh = src + 128 + c / 4 * 32;
    for (int g = 0; g < 8; g++) {
        low[g] = load_u32(ql + 4 * g) >> (c % 4 / 2 * 4) & 0x0f0f0f0f;
        high[g] = load_u32(qh + 4 * g) >> (c % 4 * 2) & 0x03030303;
    }
}

static void pack_scales_q6_k(const uint8_t *src, uint8_t *unit, int r, int row) {
    for (int s = 0; s < 16; s++) unit[192 * r + s * r + row] = src[192 + s];
    copy_u16(unit + 208 * r + row * 2, src + 208);
}

void qn_pack_block_q6_k(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    (void)b;
    for (int c = 0; c < 8; c++) {
        uint32_t low[8], high[8];
        load_q6_k(src, c, low, high);
        put_nibbles(low, unit, c, r, row);
        put_pairs(high, unit + 128 * r, c, r, row);
    }
    pack_scales_q6_k(src, unit, r, row);
}

/* Bytes 2h and 2h + 1 of a group, 16 bits apart. */
static uint32_t spread(uint32_t group, int h) {
    const uint32_t two = group >> (16 * h);
    return (two & 0xff) | (two & 0xff00) << 8;
}

void qn_pack_block_q6_i16(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    (void)b;
    for (int c = 0; c < 8; c++) {
        uint32_t low[8], high[8], nibbles[4] = {0}, pairs[2] = {0};
        load_q6_k(src, c, low, high);
        for (int p = 0; p < 16; p++) {
            nibbles[p / 4] |= spread(low[p / 2], p % 2) << (p % 4 * 4);
            pairs[p / 8] |= spread(high[p / 2], p % 2) << (p % 8 * 2);
        }
        for (int i = 0; i < 4; i++) store_u32(unit + ((c * 4 + i) * r + row) * 4, nibbles[i]);
        for (int i = 0; i < 2; i++)
            store_u32(unit + 128 * r + ((c * 2 + i) * r + row) * 4, pairs[i]);
    }
    pack_scales_q6_k(src, unit, r, row);
}

/* The low bits of Q2_K and Q3_K, qs [64]: in each half of 128 elements, four 32-blocks share 32
 * bytes, two bits each. */
static void pack_pairs_k(const uint8_t *qs, uint8_t *unit, int b, int r, int row) {
    uint32_t q[8];
    for (int g = 0; g < 8; g++)
        q[g] = load_u32(qs + b / 4 * 32 + 4 * g) >> (b % 4 * 2) & 0x03030303;
    put_pairs(q, unit, b, r, row);
}

/* Stored: scales [16] (low nibble scale, high nibble min), qs [64], d, dmin. */
void qn_pack_block_q2_k(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    (void)b;
    for (int c = 0; c < 8; c++) pack_pairs_k(src + 16, unit, c, r, row);
    for (int s = 0; s < 16; s++) unit[64 * r + s * r + row] = src[s];
    copy_u16(unit + 80 * r + row * 2, src + 80);
    copy_u16(unit + 82 * r + row * 2, src + 82);
}

/* Stored: hmask [32], qs [64], scales [12], d; bit c of hmask [i] is of element i of block c. Scale
 * s has its low 4 bits in a nibble of byte s % 8 and its high 2 in byte 8 + s % 4. */
void qn_pack_block_q3_k(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    (void)b;
    const uint8_t *scales = src + 96;
    for (int c = 0; c < 8; c++) {
        pack_pairs_k(src + 32, unit, c, r, row);
        put_bits(src, c, unit + 64 * r, r, row);
    }
    for (int s = 0; s < 16; s++) {
        const int low = scales[s % 8] >> (s / 8 * 4) & 15;
        const int high = scales[8 + s % 4] >> (s / 4 * 2) & 3;
        unit[96 * r + s * r + row] = (uint8_t)((low | high << 4) - 32);
    }
    copy_u16(unit + 112 * r + row * 2, src + 108);
}

/* Stored: d, high bits of the scales (2 each, 16 bits), low bits (4 each, 4 bytes), qs [128]:
 * 16 bytes a 32-block, low nibbles first. */
void qn_pack_block_iq4_xs(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    (void)b;
    const int high_bits = src[2] | src[3] << 8;
    for (int c = 0; c < 8; c++) {
        pack_nibbles(src + 8 + c * 16, unit, c, r, row);
        const int low = src[4 + c / 2] >> (c % 2 * 4) & 15;
        unit[128 * r + c * r + row] = (uint8_t)((low | (high_bits >> 2 * c & 3) << 4) - 32);
    }
    copy_u16(unit + 136 * r + row * 2, src);
}
