/* SPDX-License-Identifier: Apache-2.0
 *
 * What the packers share. Private to kernels/pack*.c.
 */
#ifndef QN_KERNELS_PACK_BLOCKS_H
#define QN_KERNELS_PACK_BLOCKS_H

#include <stdint.h>
#include <string.h>

#include "kernels/types.h"

/* Writes one stored block of one row into its unit: block `b` of the unit (0 for types whose
 * block is the unit), row `row` of `r`. */
typedef void qn_pack_block_fn(const uint8_t *src, uint8_t *unit, int b, int r, int row);

qn_pack_block_fn qn_pack_block_q2_k, qn_pack_block_q3_k, qn_pack_block_q4_k, qn_pack_block_q5_k,
    qn_pack_block_q6_k, qn_pack_block_q6_i16, qn_pack_block_iq4_xs;

/* One tile of F32, F16 or BF16: `rows` rows of k elements that lie src_row_size apart. */
void qn_pack_tile_float(enum qn_type type, int r, int k, const uint8_t *src, size_t src_row_size,
                        int rows, uint8_t *dst);

static inline uint32_t load_u32(const uint8_t *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static inline void store_u32(uint8_t *p, uint32_t x) {
    memcpy(p, &x, sizeof x);
}

static inline void copy_u16(uint8_t *dst, const uint8_t *src) {
    memcpy(dst, src, 2);
}

/* The 16 bytes of 32-block b that are stored in a unit's order: low nibbles first. */
static inline void pack_nibbles(const uint8_t *qs, uint8_t *unit, int b, int r, int row) {
    uint8_t *dst = unit + (b * 4 * r + row) * 4;
    for (int j = 0; j < 4; j++) store_u32(dst + j * r * 4, load_u32(qs + 4 * j));
}

#endif
