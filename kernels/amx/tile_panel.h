/* SPDX-License-Identifier: Apache-2.0
 *
 * Panels (matmul_panel.h) by the integer tile unit, of forms with a scale for each block: their
 * bytes are signed here, and a block is just what TDPBSSD takes as its second operand. A panel
 * stays in the first level cache, activations pass by it from the second.
 */
#ifndef QN_KERNELS_AMX_TILE_PANEL_H
#define QN_KERNELS_AMX_TILE_PANEL_H

#include "kernels/amx/int8_tiles.h"
#include "kernels/tiles/matmul_panel.h"

/* Integer dots of one block into the tile registers. */
QN_INLINE void start_panel_dots(const struct qn_panel *p, const uint8_t *block, const int8_t *q,
                                const int nt) {
    _tile_zero(DOTS_0);
    _tile_loadd(ACTIVATIONS, q, p->x_ld);
    _tile_loadd(WEIGHTS_0, block, (size_t)nt * QN_VEC);
    _tile_dpbssd(DOTS_0, ACTIVATIONS, WEIGHTS_0);
    if (nt == 1) return;
    _tile_zero(DOTS_1);
    _tile_loadd(WEIGHTS_1, block + QN_VEC, (size_t)nt * QN_VEC);
    _tile_dpbssd(DOTS_1, ACTIVATIONS, WEIGHTS_1);
}

/* From there to dots [16][16] of the tile of weights n. */
QN_INLINE void store_panel_dots(int32_t *dots, const int n) {
    if (n == 0)
        _tile_stored(DOTS_0, dots, 64);
    else
        _tile_stored(DOTS_1, dots, 64);
}

/* Adds the dots of one block to rows [m0, m1) of y. dots: [nt][16][16]. */
QN_INLINE void add_rows(const struct qn_form_traits t, const struct qn_panel *p,
                        const uint8_t *block, struct qn_act_at x, const int32_t *dots,
                        lanes_f (*y)[QN_PANEL_TILES], const int m0, const int m1, const int nt) {
    const float *const scale = (const float *)(block + nt * 8 * QN_VEC);
    const float *const neg_min = scale + nt * QN_R;
    QN_UNROLL for (int m = m0; m < m1; m++) {
        const struct qn_act_block *const a = act_of_row(x, p->x_ld, m).block;
        const lanes_f factor = f_set1(a->scale);
        QN_UNROLL for (int n = 0; n < nt; n++) {
            /* The same number as fma(QN_ACT_ZERO + dot, scale, zero): the product rounded once. */
            const lanes_f dot = f_from_i(i_load(dots + n * TILE_DOTS + m * QN_R));
            y[m][n] = f_fma(f_mul(dot, factor), f_load(scale + n * QN_R), y[m][n]);
            if (t.mins) y[m][n] = f_fma(f_set1(a->scale_sum), f_load(neg_min + n * QN_R), y[m][n]);
        }
    }
}

/* 16 rows by nt tiles of weights over one panel. The tile unit works one block ahead of the vector
 * unit, between whose rows its stores stand: the two share the ports to the cache. */
QN_INLINE void panel_tile(const struct qn_form_traits t, const struct qn_panel *p, const int nt) {
    _Alignas(64) int32_t dots[2][QN_PANEL_TILES * TILE_DOTS];
    const size_t block_size = panel_block_size(t, nt);
    lanes_f y[TILE_M][QN_PANEL_TILES];
    QN_UNROLL for (int m = 0; m < TILE_M; m++) QN_UNROLL for (int n = 0; n < nt; n++) y[m][n] =
        p->first ? f_zero() : f_load(panel_sums(p, m, n));
    TILE_FENCE();
    start_panel_dots(p, p->blocks, p->x.q, nt);
    for (int n = 0; n < nt; n++) store_panel_dots(dots[0] + n * TILE_DOTS, n);
    for (int b = 0; b < p->n_blocks; b++) {
        const uint8_t *const block = p->blocks + (size_t)b * block_size;
        const struct qn_act_at x = act_further(p->x, b);
        const bool ahead = b + 1 < p->n_blocks;
        int32_t *const next = dots[(b + 1) % 2];
        if (ahead) start_panel_dots(p, block + block_size, p->x.q + (b + 1) * 32, nt);
        add_rows(t, p, block, x, dots[b % 2], y, 0, TILE_M / 2, nt);
        if (ahead) store_panel_dots(next, 0);
        add_rows(t, p, block, x, dots[b % 2], y, TILE_M / 2, TILE_M, nt);
        if (ahead && nt == 2) store_panel_dots(next + TILE_DOTS, 1);
    }
    panel_end(p, p->last, y, TILE_M, nt);
}

static void panel_tile_32x1(const struct qn_panel *p) {
    panel_tile(QN_TRAITS_8, p, 1);
}
static void panel_tile_32x2(const struct qn_panel *p) {
    panel_tile(QN_TRAITS_8, p, 2);
}
static void panel_tile_32_minx1(const struct qn_panel *p) {
    panel_tile(QN_TRAITS_4_MIN, p, 1);
}
static void panel_tile_32_minx2(const struct qn_panel *p) {
    panel_tile(QN_TRAITS_4_MIN, p, 2);
}
/* By rows in hand: only whole tiles. */
static qn_panel_fn *const panel_tile_32_1[TILE_M + 1] = {[TILE_M] = panel_tile_32x1};
static qn_panel_fn *const panel_tile_32_2[TILE_M + 1] = {[TILE_M] = panel_tile_32x2};
static qn_panel_fn *const *const panel_tile_32[2] = {panel_tile_32_1, panel_tile_32_2};
static qn_panel_fn *const panel_tile_32_min_1[TILE_M + 1] = {[TILE_M] = panel_tile_32_minx1};
static qn_panel_fn *const panel_tile_32_min_2[TILE_M + 1] = {[TILE_M] = panel_tile_32_minx2};
static qn_panel_fn *const *const panel_tile_32_min[2] = {panel_tile_32_min_1, panel_tile_32_min_2};

QN_INLINE void tile_panels(const enum qn_pack form, const struct qn_form_traits t,
                           const struct qn_matmul *a) {
    panel_matmul(form, t, a, TILE_M, t.mins ? panel_tile_32_min : panel_tile_32);
}

#endif
