/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized weights as the integer tile unit takes them: signed bytes, 32 k of 16 rows a tile of 8
 * lines, followed by the block's factors. Integers that do not fit a byte, the quants of Q6_K times
 * their scales, are two tiles: v = 64 high + low.
 */
#ifndef QN_KERNELS_AMX_TILE_WEIGHTS_H
#define QN_KERNELS_AMX_TILE_WEIGHTS_H

#include "kernels/amx/int8_tiles.h"
#include "kernels/tiles/matmul_panel_halves.h"

/* Tiles of a block. */
QN_INLINE int tile_parts(const struct qn_form_traits t) {
    return has_halves(t) && !halves_are_products(t) ? 2 : 1;
}

/* A block of a panel of one tile; or, with a scale for each half, behind the tiles the mins of both
 * halves as pairs of 16 bits, where there are mins; then d, and dmin, of the block's unit. */
QN_INLINE size_t tile_block_size(const struct qn_form_traits t) {
    if (!has_halves(t)) return panel_block_size(t, 1);
    return (size_t)tile_parts(t) * TILE_Q + (t.mins ? 3 : 1) * (size_t)QN_VEC;
}

/* Products of the quants w, less 32, with a half's scale, pairs of 16 bits; high and low bytes.
 * |32 * 128| = 64 * 64, so both fit. */
QN_INLINE void split_products(lanes_i w, lanes_i scale, uint8_t *high_out, uint8_t *low_out) {
    const __m512i q = i_sub8(w, i_set1_8(32));
    __m512i high[2], low[2];
    QN_UNROLL for (int odd = 0; odd < 2; odd++) {
        const __m512i wide = _mm512_srai_epi16(odd ? q : _mm512_slli_epi16(q, 8), 8);
        const __m512i v = _mm512_mullo_epi16(wide, scale);
        high[odd] = _mm512_srai_epi16(_mm512_add_epi16(v, _mm512_set1_epi16(32)), 6);
        low[odd] = _mm512_sub_epi16(v, _mm512_slli_epi16(high[odd], 6));
    }
    i_store(high_out,
            _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, high[0], _mm512_slli_epi16(high[1], 8)));
    i_store(low_out,
            _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaa, low[0], _mm512_slli_epi16(low[1], 8)));
}

/* Block b of a unit, with a scale for each half. */
QN_INLINE void tile_unpack_halves(const enum qn_pack form, const struct qn_form_traits t,
                                  const uint8_t *unit, int b, uint8_t *out) {
    const lanes_i scale[2] = {half_scale(form, unit, 2 * b), half_scale(form, unit, 2 * b + 1)};
    lanes_i w[8];
    unpack_block(form, unit, b, w);
    QN_UNROLL for (int g = 0; g < 8; g++) {
        const lanes_i times = i_pair(scale[g / 4], scale[g / 4]);
        if (tile_parts(t) == 2)
            split_products(w[g], times, out + g * QN_VEC, out + TILE_Q + g * QN_VEC);
        else
            i_store(out + g * QN_VEC, halves_product(t, w[g], times));
    }
    out += tile_parts(t) * TILE_Q;
    if (t.mins) {
        i_store(out, half_mins(unit, b));
        out += QN_VEC;
    }
    const lanes_f d = unit_d(form, unit);
    f_store((float *)out, halves_are_products(t) && !t.mins ? f_neg(d) : d);
    if (t.mins) f_store((float *)(out + QN_VEC), unit_dmin(unit));
}

/* n_blocks blocks of 16 rows. unit: of the tile, at the first k. */
QN_INLINE void tile_unpack(const enum qn_pack form, const struct qn_form_traits t,
                           const uint8_t *unit, int n_blocks, uint8_t *out) {
    if (!has_halves(t)) {
        panel_unpack(form, t, unit, n_blocks, 0, 1, out);
        return;
    }
    for (int b = 0; b < n_blocks; b++, out += tile_block_size(t)) {
        tile_unpack_halves(form, t, unit, b % QN_UNIT_BLOCKS, out);
        if (b % QN_UNIT_BLOCKS == QN_UNIT_BLOCKS - 1) unit += qn_pack_unit_bytes(form) * QN_R;
    }
}

#endif
