/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmuls of quantized weights with the bf16 tile unit. Weights become bf16 panel by panel, scaled
 * and rounded to nearest even; activations were rounded so before. The scales are in the weights,
 * so no work is left for each block of a row. The numbers differ from those of the integer matvecs:
 * a model gets these kernels only when it asks for them.
 */
#include "kernels/amx/gemm_bf16.h"
#include "kernels/tiles/matmul_halves.h"

/* Byte i of each lane, signed or not, as float. */
QN_INLINE lanes_f quants(lanes_i w, const int i, const bool is_signed) {
    const lanes_i top = i_shl32(w, 24 - 8 * i);
    return f_from_i(is_signed ? _mm512_srai_epi32(top, 24) : _mm512_srli_epi32(top, 24));
}

/* Rounds two k of 16 rows to bf16 [16][2]. */
QN_INLINE lanes_i round_pair(lanes_f even, lanes_f odd) {
    const lanes_i both = (lanes_i)_mm512_cvtne2ps_pbh(odd, even);
    const lanes_i lanes =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(lanes, both);
}

/* Block b of a unit as one tile. scale, neg_min: of the unit. */
QN_INLINE void unpack_tile(const enum qn_pack form, const struct qn_form_traits t,
                           const uint8_t *unit, int b, const float *scale, const float *neg_min,
                           char *dst) {
    const int parts = 32 / t.sub;
    const float bias = t.shift < 0 ? 0 : (float)(1 << t.shift);
    lanes_i w[8];
    unpack_block(form, unit, b, w);
    QN_UNROLL for (int h = 0; h < parts; h++) {
        const int s = (b * parts + h) * QN_R;
        const lanes_f sc = f_load(scale + s);
        const lanes_f offset = t.mins ? f_load(neg_min + s) : f_mul(sc, f_set1(-bias));
        QN_UNROLL for (int i = h * t.sub; i < (h + 1) * t.sub; i += 2) {
            const lanes_f even = quants(w[i / 4], i % 4, t.bits == 8);
            const lanes_f odd = quants(w[i / 4], i % 4 + 1, t.bits == 8);
            i_store(dst + i * 32, round_pair(f_fma(even, sc, offset), f_fma(odd, sc, offset)));
        }
    }
}

/* As unit_scales, of a form with halves: scale and neg_min [16][R]. */
QN_INLINE void halves_scales(const enum qn_pack form, const uint8_t *unit, float *scale,
                             float *neg_min, size_t stride) {
    const lanes_f d = unit_d(form, unit);
    for (int s = 0; s < 2 * QN_UNIT_BLOCKS; s++)
        f_store(scale + (size_t)s * stride, f_mul(d, f_from_i(half_scale(form, unit, s))));
    if (form != QN_PACK_Q2_K) return;
    const lanes_f neg_dmin = f_neg(unit_dmin(unit));
    for (int s = 0; s < 2 * QN_UNIT_BLOCKS; s++)
        f_store(neg_min + (size_t)s * stride, f_mul(neg_dmin, f_from_i(half_min(unit, s))));
}

QN_INLINE void weights_quant(const enum qn_pack form, const struct qn_form_traits t,
                             const struct qn_matmul *a, char *panel, struct gemm_chunk *c) {
    const int unit_k = qn_pack_unit_k(form), unit_blocks = unit_k / BLOCK_K;
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    c->w = panel;
    c->w_ld = (size_t)c->n_blocks * TILE_BYTES;
    for (int i = 0; i < c->n_tiles; i++) {
        const uint8_t *unit = (const uint8_t *)a->w + (size_t)(c->n / QN_R + i) * tile_size +
                              (size_t)(c->k0 / unit_k) * unit_size;
        char *dst = panel + (size_t)i * c->w_ld;
        for (int b0 = 0; b0 < c->n_blocks; b0 += unit_blocks, unit += unit_size) {
            _Alignas(64) float scale[16 * QN_R], neg_min[16 * QN_R];
            (has_halves(t) ? halves_scales : unit_scales)(form, unit, scale, neg_min, QN_R);
            for (int b = 0; b < unit_blocks && b0 + b < c->n_blocks; b++, dst += TILE_BYTES)
                unpack_tile(form, t, unit, b, scale, neg_min, dst);
        }
    }
}

#define QN_FAST_MATMUL(name, form, traits)                                                         \
    static void weights_##name(const struct qn_matmul *a, char *panel, struct gemm_chunk *c) {     \
        weights_quant(form, traits, a, panel, c);                                                  \
    }                                                                                              \
    void qn_matmul_##name##__amxfast(const struct qn_matmul *a) {                                  \
        const struct gemm_shape few = {2 * TILE_ROWS, 512};                                        \
        const struct gemm_shape many = {QN_GEMM_N, 2 * QN_GEMM_PANEL_K};                           \
        check_matmul(a);                                                                           \
        gemm((struct gemm_parts){1, 1}, a, a->m <= 2 * TILE_ROWS ? few : many, weights_##name);    \
    }

QN_FAST_MATMUL(q8_0, QN_PACK_Q8_0, QN_TRAITS_8)
QN_FAST_MATMUL(q4_0, QN_PACK_Q4_0, QN_TRAITS_4)
QN_FAST_MATMUL(q4_1, QN_PACK_Q4_1, QN_TRAITS_4_MIN)
QN_FAST_MATMUL(q5_0, QN_PACK_Q5_0, QN_TRAITS_5)
QN_FAST_MATMUL(q5_1, QN_PACK_Q5_1, QN_TRAITS_5_MIN)
QN_FAST_MATMUL(iq4_nl, QN_PACK_IQ4_NL, QN_TRAITS_8)
QN_FAST_MATMUL(q2_k, QN_PACK_Q2_K, QN_TRAITS_2_MIN)
QN_FAST_MATMUL(q3_k, QN_PACK_Q3_K, QN_TRAITS_3)
QN_FAST_MATMUL(q4_k, QN_PACK_Q4_K, QN_TRAITS_4_MIN)
QN_FAST_MATMUL(q5_k, QN_PACK_Q5_K, QN_TRAITS_5_MIN)
QN_FAST_MATMUL(q6_k, QN_PACK_Q6_K, QN_TRAITS_6)
QN_FAST_MATMUL(iq4_xs, QN_PACK_IQ4_XS, QN_TRAITS_8)
