/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing of whole matrices, and of the types with blocks of 32. Portable C: every
 * quantized type is a transposition of 4-byte words, so packing runs near the speed of memory. In a
 * unit of two blocks come nibbles, then bits where there are any, then d, then m.
 */
#include "kernels/pack.h"

#include <assert.h>

#include "kernels/pack_blocks.h"

/* Bits i, i + 4, ..., i + 28 of x, closed up. */
static uint32_t every_fourth_bit(uint32_t x, int i) {
    x = x >> i & 0x11111111;
    x = (x | x >> 3) & 0x03030303;
    x = (x | x >> 6) & 0x000f000f;
    return (x | x >> 12) & 0xff;
}

static void pack_bits(const uint8_t *qh, uint8_t *unit, int b, int r, int row) {
    const uint32_t x = load_u32(qh);
    uint8_t *dst = unit + 32 * r + (b * r + row) * 4;
    for (int i = 0; i < 4; i++) dst[i] = (uint8_t)every_fourth_bit(x, i);
}

static void pack_half(const uint8_t *half, uint8_t *halves, int b, int r, int row) {
    copy_u16(halves + (b * r + row) * 2, half);
}

/* Also IQ4_NL's: the same fields. */
static void pack_block_q4_0(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    pack_nibbles(src + 2, unit, b, r, row);
    pack_half(src, unit + 32 * r, b, r, row);
}

static void pack_block_q4_1(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    pack_nibbles(src + 4, unit, b, r, row);
    pack_half(src, unit + 32 * r, b, r, row);
    pack_half(src + 2, unit + 36 * r, b, r, row);
}

static void pack_block_q5_0(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    pack_nibbles(src + 6, unit, b, r, row);
    pack_bits(src + 2, unit, b, r, row);
    pack_half(src, unit + 40 * r, b, r, row);
}

static void pack_block_q5_1(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    pack_nibbles(src + 8, unit, b, r, row);
    pack_bits(src + 4, unit, b, r, row);
    pack_half(src, unit + 40 * r, b, r, row);
    pack_half(src + 2, unit + 44 * r, b, r, row);
}

static void pack_block_q8_0(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    uint8_t *dst = unit + (b * 8 * r + row) * 4;
    for (int g = 0; g < 8; g++) store_u32(dst + g * r * 4, load_u32(src + 2 + 4 * g));
    pack_half(src, unit + 64 * r, b, r, row);
}

static void pack_block_q8_i16(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    uint8_t *dst = unit + (b * 16 * r + row) * 2;
    for (int pair = 0; pair < 16; pair++) copy_u16(dst + pair * r * 2, src + 2 + 2 * pair);
    pack_half(src, unit + 64 * r, b, r, row);
}

static void pack_block_i16(const uint8_t *src, uint8_t *unit, int b, int r, int row) {
    (void)b; /* the block is the unit */
    for (int pair = 0; pair < 32; pair++)
        store_u32(unit + (pair * r + row) * 4, load_u32(src + 4 + 4 * pair));
    store_u32(unit + (32 * r + row) * 4, load_u32(src));
}

const int8_t qn_pack_iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                       1,    13,   25,  38,  53,  69,  89,  113};

static qn_pack_block_fn *const pack_blocks[QN_TYPE_COUNT] = {
    [QN_TYPE_Q8_0] = pack_block_q8_0,        [QN_TYPE_Q4_0] = pack_block_q4_0,
    [QN_TYPE_Q4_1] = pack_block_q4_1,        [QN_TYPE_Q5_0] = pack_block_q5_0,
    [QN_TYPE_Q5_1] = pack_block_q5_1,        [QN_TYPE_Q2_K] = qn_pack_block_q2_k,
    [QN_TYPE_Q3_K] = qn_pack_block_q3_k,     [QN_TYPE_Q4_K] = qn_pack_block_q4_k,
    [QN_TYPE_Q5_K] = qn_pack_block_q5_k,     [QN_TYPE_Q6_K] = qn_pack_block_q6_k,
    [QN_TYPE_IQ4_NL] = pack_block_q4_0,      [QN_TYPE_IQ4_XS] = qn_pack_block_iq4_xs,
    [QN_TYPE_I16] = pack_block_i16,          [QN_TYPE_Q8_I16] = pack_block_q8_i16,
    [QN_TYPE_Q6_I16] = qn_pack_block_q6_i16,
};

size_t qn_pack_tile_size(enum qn_type type, int tile_rows, int k) {
    return qn_pack_form_tile_size(qn_type_infos[type].pack, tile_rows, k);
}

/* Unit by unit, so that the R rows of a unit meet while it is in the cache. */
static void pack_tile(enum qn_type type, int r, int k, const uint8_t *src, size_t src_row_size,
                      int rows, uint8_t *dst) {
    const struct qn_type_info *info = &qn_type_infos[type];
    qn_pack_block_fn *const pack_block = pack_blocks[type];
    const int unit_k = qn_pack_unit_k(info->pack);
    const size_t unit_size = (size_t)qn_pack_unit_bytes(info->pack) * (size_t)r;
    const size_t unit_src = qn_type_row_size(type, (size_t)unit_k);
    for (int k0 = 0; k0 < k; k0 += unit_k, dst += unit_size, src += unit_src) {
        const int blocks = (k - k0 < unit_k ? k - k0 : unit_k) / info->block;
        if (rows < r || blocks * info->block < unit_k) memset(dst, 0, unit_size);
        for (int row = 0; row < rows; row++) {
            const uint8_t *block = src + (size_t)row * src_row_size;
            for (int b = 0; b < blocks; b++, block += info->block_size)
                pack_block(block, dst, b, r, row);
        }
    }
}

void qn_pack_rows(enum qn_type type, int tile_rows, int k, const void *src, size_t src_row_size,
                  int n, int n0, int n1, void *dst) {
    assert(n0 % tile_rows == 0 && n1 <= n && k % qn_type_infos[type].block == 0);
    const size_t tile_size = qn_pack_tile_size(type, tile_rows, k);
    uint8_t *tile = dst;
    for (int row = n0; row < n1; row += tile_rows, tile += tile_size) {
        const int rows = n - row < tile_rows ? n - row : tile_rows;
        const uint8_t *const first = (const uint8_t *)src + (size_t)row * src_row_size;
        if (qn_type_infos[type].block == 1)
            qn_pack_tile_float(type, tile_rows, k, first, src_row_size, rows, tile);
        else
            pack_tile(type, tile_rows, k, first, src_row_size, rows, tile);
    }
}
