/* SPDX-License-Identifier: Apache-2.0
 *
 * The order in which the tiled matmuls pass over their weights, panel by panel: for each group of
 * QN_GROUP_ROWS outputs, k in parts, for each part all tiles of the group. So every panel is
 * unpacked once for all rows of activations, and what these have of one part of k, and the sums of
 * the group, stay in the second level cache, however large k is.
 */
#ifndef QN_KERNELS_TILES_PANEL_ORDER_H
#define QN_KERNELS_TILES_PANEL_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernels.h"
#include "kernels/pack.h"
#include "kernels/tiles/panel_size.h"

/* What all panels of a product have in common. */
struct qn_panel_grid {
    const struct qn_matmul *matmul;
    int k, panel_k;     /* of all panels and of one, in whole units */
    int most, together; /* tiles of a panel at the most; all come in multiples of `together` that
                           have so many */
    int unit_k;         /* of the form */
    size_t unit_size;   /* bytes of a unit of all rows of a tile */
    size_t tile_size;   /* bytes of a tile */
};

/* Tiles [n / R, n / R + n_tiles) at [k0, k0 + k). */
struct qn_panel_place {
    int group; /* the first output of the group */
    int n, n_tiles;
    int k0, k;
};

QN_INLINE int panel_tiles_at(const struct qn_panel_grid *g, int group, int n) {
    const int group_end =
        g->matmul->n1 - group < QN_GROUP_ROWS ? g->matmul->n1 : group + QN_GROUP_ROWS;
    const int left = (group_end - n + QN_R - 1) / QN_R, tiles = left < g->most ? left : g->most;
    return tiles < g->together ? 1 : tiles / g->together * g->together;
}

QN_INLINE struct qn_panel_place panel_at(const struct qn_panel_grid *g, int group, int n, int k0) {
    return (struct qn_panel_place){.group = group,
                                   .n = n,
                                   .n_tiles = panel_tiles_at(g, group, n),
                                   .k0 = k0,
                                   .k = g->k - k0 < g->panel_k ? g->k - k0 : g->panel_k};
}

QN_INLINE struct qn_panel_place first_panel(const struct qn_panel_grid *g) {
    return panel_at(g, g->matmul->n0, g->matmul->n0, 0);
}

/* The panel behind p; its n is n1 behind the last one. */
QN_INLINE struct qn_panel_place panel_after(const struct qn_panel_grid *g,
                                            const struct qn_panel_place *p) {
    const int n = p->n + p->n_tiles * QN_R, n1 = g->matmul->n1;
    if (n < n1 && n - p->group < QN_GROUP_ROWS) return panel_at(g, p->group, n, p->k0);
    if (p->k0 + p->k < g->k) return panel_at(g, p->group, p->group, p->k0 + p->k);
    return n < n1 ? panel_at(g, n, n, 0) : (struct qn_panel_place){.n = n1};
}

/* The packed weights of a panel's first tile, tile_size bytes from tile to tile. */
QN_INLINE const uint8_t *panel_weights(const struct qn_panel_grid *g,
                                       const struct qn_panel_place *p) {
    return (const uint8_t *)g->matmul->w + (size_t)(p->n / QN_R) * g->tile_size +
           (size_t)(p->k0 / g->unit_k) * g->unit_size;
}

/* Rows of activations that pass by all panels before others do: even parts, in multiples of
 * `rows`. */
QN_INLINE int rows_a_pass(const struct qn_matmul *a, const int rows) {
    const int n_passes = (a->m + QN_PASS_M - 1) / QN_PASS_M;
    return ((a->m + n_passes - 1) / n_passes + rows - 1) / rows * rows;
}

/* Fetches the packed weights of the panel at p into the second level cache while the one before is
 * multiplied, in pass i of n. Few rows take not much longer to multiply by a panel than memory
 * takes to bring the next; of many only the last passes fetch, or activations would push it out
 * again. */
QN_INLINE void fetch_panel_part(const struct qn_panel_grid *g, const struct qn_panel_place *p,
                                size_t i, size_t n) {
    enum { PARTS = 16 };
    const size_t idle = n > PARTS ? n - PARTS : 0;
    if (p->n >= g->matmul->n1 || i < idle) return;
    i -= idle;
    n -= idle;
    const uint8_t *next = panel_weights(g, p);
    const size_t lines = (size_t)(p->k / g->unit_k) * g->unit_size / 64;
    for (int t = 0; t < p->n_tiles; t++, next += g->tile_size)
        for (size_t line = lines * i / n; line < lines * (i + 1) / n; line++)
            __builtin_prefetch(next + line * 64, 0, 2);
}

#endif
