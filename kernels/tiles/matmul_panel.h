/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with many rows of activations (prefill). Two tiles of weights at a time are unpacked,
 * at most QN_PANEL_K of k at a time, to a panel of bytes and float scales that stays in the first
 * level cache while every row of activations passes by, QN_TILE_M rows at a time, through a
 * register-tiled kernel that all forms share. Sums between panels of the same outputs wait in
 * scratch; panel_order.h says which panel comes when.
 */
#ifndef QN_KERNELS_TILES_MATMUL_PANEL_H
#define QN_KERNELS_TILES_MATMUL_PANEL_H

#include "kernels/tiles/matmul_panel_halves.h"
#include "kernels/tiles/panel_order.h"

/* Rows of activations of a register tile. */
QN_INLINE int register_rows(const struct qn_form_traits t) {
    return has_halves(t) && !halves_are_products(t) ? QN_TILE_M_HALVES : QN_TILE_M;
}

/* Panels side by side, each as wide as a register tile: activations that have come to the first
 * level cache serve all of them. */
enum { QN_PANELS = QN_PANEL_ROWS / (QN_PANEL_TILES * QN_R) };

QN_INLINE struct qn_panel_grid panel_grid(const enum qn_pack form, const struct qn_matmul *a) {
    const int unit_k = qn_pack_unit_k(form);
    const int k = (a->k + unit_k - 1) / unit_k * unit_k;
    return (struct qn_panel_grid){.matmul = a,
                                  .k = k,
                                  .panel_k = even_panels(k, unit_k),
                                  .most = QN_PANELS * QN_PANEL_TILES,
                                  .together = QN_PANEL_TILES,
                                  .unit_k = unit_k,
                                  .unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R,
                                  .tile_size = qn_pack_form_tile_size(form, QN_R, a->k)};
}

/* The panels at one place, of nt tiles each: unpacked, then multiplied with all rows, `rows` at a
 * time, through kernels[rows in hand]. next: the place that follows. */
QN_INLINE void panels_at(const enum qn_pack form, const struct qn_form_traits t,
                         const struct qn_panel_grid *g, const struct qn_panel_place *at,
                         const struct qn_panel_place *next, const int nt, const int rows,
                         qn_panel_fn *const *kernels) {
    const struct qn_matmul *const a = g->matmul;
    const int n_blocks = at->k / 32;
    const size_t panel_size =
        (size_t)n_blocks * (has_halves(t) ? halves_block_size(t, nt) : panel_block_size(t, nt));
    assert(panel_size <= (size_t)n_blocks * QN_PANEL_VECTORS * (size_t)nt * QN_VEC);
    const uint8_t *const weights = panel_weights(g, at);
    uint8_t *const panels = a->scratch;
    float *const sums =
        (float *)(panels + QN_PANEL_BYTES) + (size_t)(at->n - at->group) * (size_t)a->m;
    for (int i = 0; i < at->n_tiles; i++)
        (has_halves(t) ? panel_unpack_halves
                       : panel_unpack)(form, t, weights + (size_t)i * g->tile_size, n_blocks,
                                       i % nt, nt, panels + (size_t)(i / nt) * panel_size);
    struct qn_panel p = {.n_blocks = n_blocks,
                         .x_ld = a->x_ld,
                         .first = at->k0 == 0,
                         .last = at->k0 + at->k == g->k,
                         .matmul = a};
    const size_t passes = (size_t)((a->m + rows - 1) / rows);
    for (p.m = 0; p.m < a->m; p.m += rows) {
        fetch_panel_part(g, next, (size_t)(p.m / rows), passes);
        qn_panel_fn *const kernel = kernels[a->m - p.m < rows ? a->m - p.m : rows];
        p.x = act_of_row(qn_act_at(a->x, a->k, at->k0 / 32), a->x_ld, p.m);
        for (int i = 0; i * nt < at->n_tiles; i++) {
            p.blocks = panels + (size_t)i * panel_size;
            p.sums = sums + (size_t)(i * a->m + p.m) * QN_PANEL_TILES * QN_R;
            p.n = at->n + i * nt * QN_R;
            kernel(&p);
        }
    }
}

/* All rows by all outputs, through kernels[tiles of weights less one][rows in hand]. */
QN_INLINE void panel_matmul(const enum qn_pack form, const struct qn_form_traits t,
                            const struct qn_matmul *a, const int rows,
                            qn_panel_fn *const *const kernels[QN_PANEL_TILES]) {
    const int step = rows_a_pass(a, rows);
    for (int m = 0; m < a->m; m += step) {
        const struct qn_matmul part = some_rows(a, m, step);
        const struct qn_panel_grid grid = panel_grid(form, &part);
        struct qn_panel_place at = first_panel(&grid);
        while (at.n < a->n1) {
            const struct qn_panel_place next = panel_after(&grid, &at);
            if (at.n_tiles >= QN_PANEL_TILES)
                panels_at(form, t, &grid, &at, &next, QN_PANEL_TILES, rows,
                          kernels[QN_PANEL_TILES - 1]);
            else
                panels_at(form, t, &grid, &at, &next, 1, rows, kernels[0]);
            at = next;
        }
    }
}

#endif
