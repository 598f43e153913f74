/* SPDX-License-Identifier: Apache-2.0
 *
 * A panel of unpacked weights, and the register tile that multiplies it: of forms with a scale for
 * each block of 32 k.
 */
#ifndef QN_KERNELS_TILES_MATMUL_PANEL_TILE_H
#define QN_KERNELS_TILES_MATMUL_PANEL_TILE_H

#include "kernels/tiles/matmul_forms.h"

/* A panel is, block after block: quants [8 groups][nt][R][4], or of each group their absolute
 * values, then their signs (panel_splits_signs); scales float [nt][R], negated mins alike, and with
 * signs starts int32 alike; of forms with halves what matmul_panel_halves.h says. */
struct qn_panel {
    const uint8_t *blocks; /* [n_blocks] */
    int n_blocks;
    struct qn_act_at x; /* of row 0 at the panel's first k, x_ld bytes a row */
    size_t x_ld;
    float *sums;      /* [mr][QN_PANEL_TILES * R]: sums so far of these rows, read unless `first` */
    bool first, last; /* of the panels over k; the last finishes into y */
    const struct qn_matmul *matmul;
    int m, n; /* row and output of the result's corner */
};
typedef void qn_panel_fn(const struct qn_panel *p);

/* Signed quants are multiplied as |w| times the activation with all its bits flipped where w is
 * negative: -x - 1, which costs less than -x. Dots come out too small by the |w| of their negative
 * weights, which depends on weights alone and is added to their start. A pair of products is
 * -2 * 128 * 128 to 2 * 127 * 127, within the range of 16 bits. */
QN_INLINE bool panel_splits_signs(const struct qn_form_traits t) {
    return t.bits == 8 && !QN_HAVE_DOT;
}

/* Vectors of a block's quants, for each tile. */
QN_INLINE int panel_quant_vectors(const struct qn_form_traits t) {
    return panel_splits_signs(t) ? 16 : 8;
}

QN_INLINE size_t panel_block_size(const struct qn_form_traits t, const int nt) {
    const int factors = 1 + (t.mins ? 1 : 0) + (panel_splits_signs(t) ? 1 : 0);
    return (size_t)nt * QN_VEC * (size_t)(panel_quant_vectors(t) + factors);
}

/* All mr x nt integer dots of a block, or of half of one, whose k are from `from` on, onto acc.
 * x: the block of mr rows. times [nt][R][2]: what pairs of
 * 16-bit sums are multiplied with; NULL: dot_times(). */
QN_INLINE void panel_dots(const struct qn_form_traits t, const uint8_t *w, const uint8_t *times,
                          const struct qn_act_at *x, const int from, lanes_i (*acc)[QN_PANEL_TILES],
                          const int mr, const int nt) {
#if QN_HAVE_DOT
    (void)times;
    QN_UNROLL for (int g = 0; g < t.sub / 4; g++) {
        lanes_i wg[QN_PANEL_TILES];
        QN_UNROLL for (int n = 0; n < nt; n++) wg[n] = i_load(w + (g * nt + n) * QN_VEC);
        QN_UNROLL for (int m = 0; m < mr; m++) {
            const act_groups groups = groups_load(x[m].q + from + g / 4 * 16);
            QN_UNROLL for (int n = 0; n < nt; n++) acc[m][n] =
                i_dot_group(acc[m][n], wg[n], groups, g % 4);
        }
    }
#else
    lanes_i pairs[QN_PANEL_M][QN_PANEL_TILES];
    QN_UNROLL for (int g = 0; g < t.sub / 4; g++) {
        const uint8_t *const group_w = w + g * (t.bits == 8 ? 2 : 1) * nt * QN_VEC;
        lanes_i wg[QN_PANEL_TILES];
        QN_UNROLL for (int n = 0; n < nt; n++) wg[n] = i_load(group_w + n * QN_VEC);
        QN_UNROLL for (int m = 0; m < mr; m++) {
            const lanes_i group = broadcast_group(x[m].q + from + 4 * g);
            QN_UNROLL for (int n = 0; n < nt; n++) {
                if (t.bits == 8) {
                    const lanes_i flipped = i_xor(group, i_load(group_w + (nt + n) * QN_VEC));
                    acc[m][n] = i_add_pairs(acc[m][n], i_maddubs(wg[n], flipped), 1);
                    continue;
                }
                const lanes_i by = times ? i_load(times + n * QN_VEC) : i_zero();
                add_group(t, g, wg[n], group, times ? &by : NULL, &pairs[m][n], &acc[m][n]);
            }
        }
    }
#endif
}

/* One block of the panel into y[mr][nt]. */
QN_INLINE void panel_block(const struct qn_form_traits t, const uint8_t *block,
                           const struct qn_act_at *x, lanes_f (*y)[QN_PANEL_TILES], const int mr,
                           const int nt) {
    const float *const scale = (const float *)(block + nt * panel_quant_vectors(t) * QN_VEC);
    const float *const neg_min = scale + nt * QN_R;
    const uint8_t *const starts = block + panel_block_size(t, nt) - (size_t)nt * QN_VEC;
    lanes_i acc[QN_PANEL_M][QN_PANEL_TILES];
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) acc[m][n] =
        panel_splits_signs(t) ? i_load(starts + n * QN_VEC) : i_set1(dot_start(t, x[m], 0));
    panel_dots(t, block, NULL, x, 0, acc, mr, nt);
    lanes_f sc[QN_PANEL_TILES], nm[QN_PANEL_TILES];
    QN_UNROLL for (int n = 0; n < nt; n++) {
        sc[n] = f_load(scale + n * QN_R);
        nm[n] = t.mins ? f_load(neg_min + n * QN_R) : f_zero();
    }
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) y[m][n] =
        add_dot(t, acc[m][n], x[m].block, sc[n], nm[n], y[m][n]);
}

/* Where the result of a register tile goes is fetched ahead: stores that wait for their lines would
 * fill the store queue. */
QN_INLINE void panel_fetch_result(const struct qn_panel *p, const int mr, const int nt) {
    if (!p->last) return;
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++)
        __builtin_prefetch(result_tile(p->matmul, p->m + m, p->n + n * QN_R), 1, 3);
}

/* The sums so far of row m and tile n of weights. */
QN_INLINE float *panel_sums(const struct qn_panel *p, int m, int n) {
    return p->sums + (m * QN_PANEL_TILES + n) * QN_R;
}

/* Where a register tile's sums go: to the result if they are the last, or to wait for more. */
QN_INLINE void panel_end(const struct qn_panel *p, bool last, lanes_f (*y)[QN_PANEL_TILES],
                         const int mr, const int nt) {
    if (last)
        finish_tiles(p->matmul, p->m, p->n, y[0], QN_PANEL_TILES, mr, nt);
    else
        QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++)
            f_store(panel_sums(p, m, n), y[m][n]);
}

/* A block's activations of mr rows, from those of row 0 on. */
QN_INLINE void panel_rows_of(struct qn_act_at x0, size_t x_ld, struct qn_act_at *x, const int mr) {
    QN_UNROLL for (int m = 0; m < mr; m++) x[m] = act_of_row(x0, x_ld, m);
}

/* The register tile: mr rows of activations by nt tiles of weights over one panel. */
QN_INLINE void panel_kernel(const struct qn_form_traits t, const struct qn_panel *p, const int mr,
                            const int nt) {
    lanes_f y[QN_PANEL_M][QN_PANEL_TILES];
    QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++) y[m][n] =
        p->first ? f_zero() : f_load(panel_sums(p, m, n));
    panel_fetch_result(p, mr, nt);
    const uint8_t *block = p->blocks;
    struct qn_act_at x0 = p->x;
    const size_t x_ld = p->x_ld;
    for (int b = p->n_blocks; b > 0; b--) {
        struct qn_act_at x[QN_PANEL_M];
        panel_rows_of(x0, x_ld, x, mr);
        panel_block(t, block, x, y, mr, nt);
        block += panel_block_size(t, nt);
        x0 = act_further(x0, 1);
    }
    panel_end(p, p->last, y, mr, nt);
}

/* What is added to the quants of forms without mins, so that one register tile serves all. With
 * VPDPBUSD they all have the bias 128 in a panel, and accumulators start at numbers that the
 * activations bring along; NEON and the tile unit take them signed. Sums of 16 bits want them
 * small: AVX without VNNI has a register tile for each size. */
QN_INLINE int panel_lift(const struct qn_form_traits t) {
    if (t.shift < 0) return 0;
#ifdef QN_PANEL_SIGNED
    return -(1 << t.shift);
#else
    return QN_HAVE_DPBUSD ? 128 - (1 << t.shift) : 0;
#endif
}

/* What dots of a block of signed quants start at. */
QN_INLINE lanes_i panel_start(const lanes_i w[8]) {
    lanes_i start = i_set1(QN_ACT_ZERO_BITS);
#if !QN_HAVE_DOT
    QN_UNROLL for (int g = 0; g < 8; g++) {
        const lanes_i owed = i_and(i_abs8(w[g]), i_negative8(w[g]));
        start = i_add_pairs(start, i_maddubs(owed, i_set1_8(1)), 1);
    }
#else
    (void)w;
#endif
    return start;
}

/* Stores group g of tile n of nt. */
QN_INLINE void panel_store_group(const struct qn_form_traits t, lanes_i w, int g, int n,
                                 const int nt, uint8_t *block) {
#if !QN_HAVE_DOT
    if (panel_splits_signs(t)) {
        i_store(block + (2 * g * nt + n) * QN_VEC, i_abs8(w));
        i_store(block + ((2 * g + 1) * nt + n) * QN_VEC, i_negative8(w));
        return;
    }
#else
    (void)t;
#endif
    i_store(block + (g * nt + n) * QN_VEC, w);
}

/* Unpacks blocks of tile n of nt into a panel. unit: the tile's unit at the panel's first k. */
QN_INLINE void panel_unpack(const enum qn_pack form, const struct qn_form_traits t,
                            const uint8_t *unit, int n_blocks, int n, const int nt,
                            uint8_t *panel) {
    const int unit_blocks = qn_pack_unit_k(form) / 32;
    const size_t block_size = panel_block_size(t, nt);
    const int lift = panel_lift(t);
    for (int b0 = 0; b0 < n_blocks; b0 += unit_blocks, unit += qn_pack_unit_bytes(form) * QN_R) {
        _Alignas(64) float scale[8 * QN_R], neg_min[8 * QN_R];
        unit_scales(form, unit, scale, neg_min, QN_R);
        for (int b = 0; b < unit_blocks; b++, panel += block_size) {
            lanes_i w[8];
            unpack_block(form, unit, b, w);
            QN_UNROLL for (int g = 0; g < 8; g++) {
                if (lift) w[g] = i_add8(w[g], i_set1_8(lift));
                panel_store_group(t, w[g], g, n, nt, panel);
            }
            if (panel_splits_signs(t))
                i_store(panel + block_size - (size_t)(nt - n) * QN_VEC, panel_start(w));
            float *const out = (float *)(panel + nt * panel_quant_vectors(t) * QN_VEC) + n * QN_R;
            f_store(out, dot_scale(t, f_load(scale + b * QN_R)));
            if (t.mins) f_store(out + nt * QN_R, f_load(neg_min + b * QN_R));
        }
    }
}

#endif
