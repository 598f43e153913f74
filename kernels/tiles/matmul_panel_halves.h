/* SPDX-License-Identifier: Apache-2.0
 *
 * The panel and register tile of forms with a scale for each half of a block (matmul_halves.h).
 * There are three ways to multiply by such scales:
 *   quants of 2 and 3 bits times their scales are bytes, so a block is one dot;
 *   of 6 bits they are not, and the dots of two halves are scaled as floats;
 *   without dots of bytes, sums of pairs of products pass through a multiplication anyway.
 * The sums of a unit stay in registers, those of y wait in scratch.
 */
#ifndef QN_KERNELS_TILES_MATMUL_PANEL_HALVES_H
#define QN_KERNELS_TILES_MATMUL_PANEL_HALVES_H

#include "kernels/tiles/matmul_halves.h"
#include "kernels/tiles/matmul_panel_tile.h"

QN_INLINE bool halves_are_products(const struct qn_form_traits t) {
    return QN_HAVE_DOT && t.bits < 4;
}

/* Vectors behind the quants [8] of a block, each [nt]: scales of halves, then with mins the mins as
 * pairs, or, of sums of 16 bits without mins, what their bias owes, then d, and with mins dmin. */
QN_INLINE int halves_scale_vectors(const struct qn_form_traits t) {
    return halves_are_products(t) ? 0 : QN_HAVE_DOT ? 3 : 2;
}
QN_INLINE bool halves_have_pairs(const struct qn_form_traits t) {
    return t.mins || !QN_HAVE_DOT;
}
QN_INLINE int halves_d_vector(const struct qn_form_traits t) {
    return 8 + halves_scale_vectors(t) + (halves_have_pairs(t) ? 1 : 0);
}
QN_INLINE size_t halves_block_size(const struct qn_form_traits t, const int nt) {
    return (size_t)(halves_d_vector(t) + (t.mins ? 2 : 1)) * (size_t)nt * QN_VEC;
}

/* ---- register tile ----------------------------------------------------------------------- */

#if QN_HAVE_DOT
/* One block onto the unit's sums, by a dot for each half. */
QN_INLINE void halves_two_dots(const uint8_t *block, const struct qn_act_at *x,
                               lanes_f (*sum)[QN_PANEL_TILES], const int mr, const int nt) {
    const struct qn_form_traits t = QN_TRAITS_8_HALF;
    const float *const factors = (const float *)(block + 8 * nt * QN_VEC);
    lanes_f low[QN_PANEL_M][QN_PANEL_TILES];
    QN_UNROLL for (int h = 0; h < 2; h++) {
        lanes_i dots[QN_PANEL_M][QN_PANEL_TILES];
        QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) dots[m][n] =
            i_set1(dot_start(t, x[m], h));
        panel_dots(t, block + h * 4 * nt * QN_VEC, NULL, x, h * 16, dots, mr, nt);
        QN_UNROLL for (int n = 0; n < nt; n++) {
            const struct half_scales scales = {f_load(factors + n * QN_R),
                                               f_load(factors + (nt + n) * QN_R),
                                               f_load(factors + (2 * nt + n) * QN_R)};
            QN_UNROLL for (int m = 0; m < mr; m++) {
                if (h == 0)
                    low[m][n] = low_half(dots[m][n], scales);
                else
                    sum[m][n] = add_halves(low[m][n], dots[m][n], scales, x[m], sum[m][n]);
            }
        }
    }
}

/* The same, of quants times their scales: one dot. */
QN_INLINE void halves_one_dot(const struct qn_form_traits t, const uint8_t *block,
                              const struct qn_act_at *x, lanes_f (*sum)[QN_PANEL_TILES],
                              const int mr, const int nt) {
    const struct qn_form_traits whole = t.mins ? QN_TRAITS_4_MIN : QN_TRAITS_8;
    lanes_i dots[QN_PANEL_M][QN_PANEL_TILES];
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) dots[m][n] =
        i_set1(dot_start(whole, x[m], 0));
    panel_dots(whole, block, NULL, x, 0, dots, mr, nt);
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) {
        const lanes_f dot = f_sub(f_from_bits(dots[m][n]), f_set1(QN_ACT_ZERO));
        sum[m][n] = f_fma(dot, f_set1(x[m].block->scale), sum[m][n]);
    }
}

QN_INLINE void halves_block(const struct qn_form_traits t, const uint8_t *block,
                            const struct qn_act_at *x, lanes_f (*sum)[QN_PANEL_TILES], const int mr,
                            const int nt) {
    if (halves_are_products(t))
        halves_one_dot(t, block, x, sum, mr, nt);
    else
        halves_two_dots(block, x, sum, mr, nt);
}
#else
/* One block onto the unit's sums, by scaled sums of pairs. */
QN_INLINE void halves_block(const struct qn_form_traits t, const uint8_t *block,
                            const struct qn_act_at *x, lanes_f (*sum)[QN_PANEL_TILES], const int mr,
                            const int nt) {
    lanes_i dots[QN_PANEL_M][QN_PANEL_TILES];
    const uint8_t *const times = block + 8 * nt * QN_VEC;
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) dots[m][n] =
        t.mins ? i_zero() : i_dot16(i_load(times + (2 * nt + n) * QN_VEC), neg_sums(x[m]));
    QN_UNROLL for (int h = 0; h < 2; h++) {
        panel_dots(t, block + h * 4 * nt * QN_VEC, times + h * nt * QN_VEC, x, h * 16, dots, mr,
                   nt);
    }
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) sum[m][n] =
        f_fma(f_from_i(dots[m][n]), f_set1(x[m].block->scale), sum[m][n]);
}
#endif

/* Sums of a unit. block, x0: its first block, and that of row 0 of activations. */
QN_INLINE void halves_sums(const struct qn_form_traits t, const uint8_t *block, struct qn_act_at x0,
                           size_t x_ld, lanes_f (*sum)[QN_PANEL_TILES], const int mr,
                           const int nt) {
    for (int b = 0; b < QN_UNIT_BLOCKS; b++, x0 = act_further(x0, 1)) {
        struct qn_act_at x[QN_PANEL_M];
        panel_rows_of(x0, x_ld, x, mr);
        halves_block(t, block, x, sum, mr, nt);
        block += halves_block_size(t, nt);
    }
}

/* The same of its mins. */
QN_INLINE void halves_min_sums(const struct qn_form_traits t, const uint8_t *block,
                               struct qn_act_at x0, size_t x_ld, lanes_f (*sum)[QN_PANEL_TILES],
                               const int mr, const int nt) {
    const int at = (8 + halves_scale_vectors(t)) * nt;
    for (int b = 0; b < QN_UNIT_BLOCKS; b++) {
        QN_UNROLL for (int n = 0; n < nt; n++) {
            const lanes_i mins = i_load(block + (at + n) * QN_VEC);
            QN_UNROLL for (int m = 0; m < mr; m++) sum[m][n] =
                add_half_mins(mins, act_of_row(x0, x_ld, m), sum[m][n]);
        }
        x0 = act_further(x0, 1);
        block += halves_block_size(t, nt);
    }
}

/* Adds a unit's sums to y; `first`, `last`: of all k. */
QN_INLINE void halves_end(const struct qn_form_traits t, const struct qn_panel *p,
                          const uint8_t *block, bool first, bool last,
                          lanes_f (*sum)[QN_PANEL_TILES], lanes_f (*min_sum)[QN_PANEL_TILES],
                          const int mr, const int nt) {
    const float *const d = (const float *)(block + halves_d_vector(t) * nt * QN_VEC);
    lanes_f y[QN_PANEL_M][QN_PANEL_TILES];
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) {
        const lanes_f dmin = t.mins ? f_load(d + (nt + n) * QN_R) : f_zero();
        y[m][n] = add_unit(t, sum[m][n], f_load(d + n * QN_R), min_sum[m][n], dmin,
                           first ? f_zero() : f_load(panel_sums(p, m, n)));
    }
    panel_end(p, last, y, mr, nt);
}

/* The register tile: mr rows of activations by nt tiles of weights over one panel. */
QN_INLINE void halves_kernel(const struct qn_form_traits t, const struct qn_panel *p, const int mr,
                             const int nt) {
    panel_fetch_result(p, mr, nt);
    const uint8_t *block = p->blocks;
    for (int b = 0; b < p->n_blocks; b += QN_UNIT_BLOCKS) {
        lanes_f sum[QN_PANEL_M][QN_PANEL_TILES], min_sum[QN_PANEL_M][QN_PANEL_TILES];
        QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) sum[m][n] =
            min_sum[m][n] = f_zero();
        const struct qn_act_at x = act_further(p->x, b);
        halves_sums(t, block, x, p->x_ld, sum, mr, nt);
        if (t.mins) halves_min_sums(t, block, x, p->x_ld, min_sum, mr, nt);
        halves_end(t, p, block, p->first && b == 0, p->last && b + QN_UNIT_BLOCKS == p->n_blocks,
                   sum, min_sum, mr, nt);
        block += QN_UNIT_BLOCKS * halves_block_size(t, nt);
    }
}

/* ---- unpacking --------------------------------------------------------------------------- */

/* Bytes times the scale that both halves of each of b's lanes hold, modulo 256. */
QN_INLINE lanes_i i_mul8(lanes_i a, lanes_i b) {
    const lanes_i even = i_and(i_mul16(a, b), i_set1(0x00ff00ff));
    return i_or(even, i_shift16(i_mul16(i_shift16(a, 8), b), -8));
}

/* Quants times the scale of their half, pairs of 16 bits: of 2 bits 0 to 45; of 3 bits, which are
 * -4 to 3, with the other sign, -128 to 124. */
QN_INLINE lanes_i halves_product(const struct qn_form_traits t, lanes_i w, lanes_i scale) {
    return i_mul8(t.mins ? w : i_sub8(i_set1_8(1 << t.shift), w), scale);
}

/* Quants of a block times their scales, as the dots take them. scale: of the halves. */
QN_INLINE void halves_multiply(const struct qn_form_traits t, const lanes_i scale[2],
                               lanes_i w[8]) {
    QN_UNROLL for (int g = 0; g < 8; g++) {
        const lanes_i product = halves_product(t, w[g], i_pair(scale[g / 4], scale[g / 4]));
        w[g] = t.mins ? product : lift_bytes(product);
    }
}

/* The vectors behind a block's quants, for tile n of nt. */
QN_INLINE void halves_factors(const enum qn_pack form, const struct qn_form_traits t,
                              const uint8_t *unit, int b, const lanes_i scale[2], uint8_t *out,
                              const int nt) {
    const size_t step = (size_t)nt * QN_VEC;
#if QN_HAVE_DOT
    if (!halves_are_products(t)) {
        const struct half_scales scales = half_scales_of(scale[0], scale[1]);
        f_store((float *)out, scales.low);
        f_store((float *)(out + step), scales.high);
        f_store((float *)(out + 2 * step), scales.owed);
    }
    const lanes_i pairs = t.mins ? half_mins(unit, b) : i_zero();
#else
    i_store(out, half_times(scale[0]));
    i_store(out + step, half_times(scale[1]));
    const lanes_i pairs = t.mins ? half_mins(unit, b) : halves_owed(t, scale[0], scale[1]);
#endif
    out += (size_t)halves_scale_vectors(t) * step;
    if (halves_have_pairs(t)) {
        i_store(out, pairs);
        out += step;
    }
    const lanes_f d = unit_d(form, unit);
    f_store((float *)out, halves_are_products(t) && !t.mins ? f_neg(d) : d);
    if (t.mins) f_store((float *)(out + step), unit_dmin(unit));
}

/* Unpacks blocks of tile n of nt into a panel. unit: the tile's unit at the panel's first k. */
QN_INLINE void panel_unpack_halves(const enum qn_pack form, const struct qn_form_traits t,
                                   const uint8_t *unit, int n_blocks, int n, const int nt,
                                   uint8_t *panel) {
    const int lift = halves_are_products(t) || !QN_HAVE_DOT ? 0 : panel_lift(t);
    for (int b = 0; b < n_blocks; b++, panel += halves_block_size(t, nt)) {
        const int of_unit = b % QN_UNIT_BLOCKS;
        const lanes_i scale[2] = {half_scale(form, unit, 2 * of_unit),
                                  half_scale(form, unit, 2 * of_unit + 1)};
        lanes_i w[8];
        unpack_block(form, unit, of_unit, w);
        if (halves_are_products(t)) halves_multiply(t, scale, w);
        QN_UNROLL for (int g = 0; g < 8; g++) {
            if (lift) w[g] = i_add8(w[g], i_set1_8(lift));
            i_store(panel + (g * nt + n) * QN_VEC, w[g]);
        }
        halves_factors(form, t, unit, of_unit, scale, panel + (8 * nt + n) * QN_VEC, nt);
        if (of_unit == QN_UNIT_BLOCKS - 1) unit += qn_pack_unit_bytes(form) * QN_R;
    }
}

#endif
