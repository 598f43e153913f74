/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with many rows of activations (prefill). Two tiles of weights at a time are unpacked,
 * at most QN_PANEL_K of k at a time, to a panel of bytes and float scales that stays in the first
 * level cache while every row of activations passes by, QN_PANEL_M rows at a time, through a
 * register-tiled kernel that all forms share. Sums between two panels wait in scratch.
 */
#ifndef QN_KERNELS_TILES_MATMUL_PANEL_H
#define QN_KERNELS_TILES_MATMUL_PANEL_H

#include "kernels/tiles/matmul_panel_halves.h"

/* Rows of activations of a register tile. */
QN_INLINE int register_rows(const struct qn_form_traits t) {
    return has_halves(t) ? QN_PANEL_M_16 : QN_PANEL_M;
}

/* Panels side by side, each as wide as a register tile: activations that have come to the first
 * level cache serve all of them. */
enum { QN_PANELS = QN_PANEL_ROWS / (QN_PANEL_TILES * QN_R) };

/* The product of n_panels times nt tiles from output n on with all rows, `rows` at a time, through
 * kernels[rows in hand]. */
QN_INLINE void panel_tiles(const enum qn_pack form, const struct qn_form_traits t,
                           const struct qn_matmul *a, int n, const int nt, int n_panels,
                           const int rows, qn_panel_fn *const *kernels) {
    const int unit_k = qn_pack_unit_k(form), padded = (a->k + 255) / 256 * 256;
    const int k = (a->k + unit_k - 1) / unit_k * unit_k;
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const uint8_t *const tile = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
    uint8_t *const panels = a->scratch;
    float *const sums = (float *)(panels + QN_PANEL_BYTES);
    const int panel_k = even_panels(k, unit_k);
    for (int k0 = 0; k0 < k; k0 += panel_k) {
        const int n_blocks = (k - k0 < panel_k ? k - k0 : panel_k) / 32;
        const size_t panel_size =
            (size_t)n_blocks * (has_halves(t) ? halves_block_size(t, nt) : panel_block_size(t, nt));
        const size_t offset = (size_t)(k0 / unit_k) * unit_size;
        const size_t bytes = (size_t)(n_blocks * 32 / unit_k) * unit_size;
        const bool last = k0 + panel_k >= k;
        const uint8_t *const next =
            next_panel(a, n, n_panels * nt, tile, tile_size, offset + bytes, !last);
        for (int i = 0; i < n_panels * nt; i++)
            (has_halves(t) ? panel_unpack_halves
                           : panel_unpack)(form, t, tile + (size_t)i * tile_size + offset, n_blocks,
                                           i % nt, nt, panels + (size_t)(i / nt) * panel_size);
        struct qn_panel p = {
            .n_blocks = n_blocks, .x_ld = a->x_ld, .first = k0 == 0, .last = last, .matmul = a};
        for (p.m = 0; p.m < a->m; p.m += rows) {
            fetch_panel_part(next, bytes, tile_size, n_panels * nt, (size_t)(p.m / rows),
                             (size_t)((a->m + rows - 1) / rows));
            const char *const x = (const char *)a->x + (size_t)p.m * a->x_ld;
            qn_panel_fn *const kernel = kernels[a->m - p.m < rows ? a->m - p.m : rows];
            p.q = (const int8_t *)x + k0;
            p.act = (const struct qn_act_block *)(x + padded) + k0 / 32;
            for (int i = 0; i < n_panels; i++) {
                p.blocks = panels + (size_t)i * panel_size;
                p.sums = sums + (size_t)(i * a->m + p.m) * QN_PANEL_TILES * QN_R;
                p.n = n + i * nt * QN_R;
                kernel(&p);
            }
        }
    }
}

/* As many rows of activations as the second level cache keeps, in whole register tiles of either
 * height (6 and 16 rows). */
QN_INLINE int panel_rows(size_t x_ld) {
    const int rows = (int)(QN_PANEL_X_BYTES / x_ld) / 48 * 48;
    return rows > 48 ? rows : 48;
}

/* All rows by all outputs, through kernels[tiles of weights less one][rows in hand]. */
QN_INLINE void panel_matmul(const enum qn_pack form, const struct qn_form_traits t,
                            const struct qn_matmul *a, const int rows,
                            qn_panel_fn *const *const kernels[QN_PANEL_TILES]) {
    const int step = panel_rows(a->x_ld);
    for (int m = 0; m < a->m; m += step) {
        struct qn_matmul part = *a;
        part.x = (const char *)a->x + (size_t)m * a->x_ld;
        part.y = a->y + (size_t)m * a->y_ld;
        part.m = a->m - m < step ? a->m - m : step;
        const int wide = QN_PANEL_TILES * QN_R;
        int n = a->n0;
        while (a->n1 - n > wide - QN_R) {
            const int panels = (a->n1 - n + QN_R - 1) / wide;
            const int n_panels = panels < QN_PANELS ? panels : QN_PANELS;
            panel_tiles(form, t, &part, n, QN_PANEL_TILES, n_panels, rows,
                        kernels[QN_PANEL_TILES - 1]);
            n += n_panels * wide;
        }
        if (QN_PANEL_TILES > 1 && n < a->n1) panel_tiles(form, t, &part, n, 1, 1, rows, kernels[0]);
    }
}

#endif
