/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls with the tile unit (AMX-INT8), for forms whose scales cover 32 k. A panel
 * (matmul_panel.h) holds signed bytes here, and 32 k of 16 of its rows are just what TDPBSSD takes
 * as its second operand; 16 rows of activations times two such tiles are two instructions. The
 * integer dots go through memory to the vector unit, which scales and sums them in the order that
 * kernels.h fixes, so the bits are those of every other instruction set.
 *
 * Rows that do not fill a tile, and forms with a scale for each 16 k, which would half fill it, are
 * left to VNNI.
 */
#include "kernels/tiles/lanes_avx512.h"

#include "kernels/amx/tile_config.h"

#define QN_PANEL_SIGNED 1
#include "kernels/tiles/matmul_panel.h"

/* Or panels would be made for pairs of 16 bits. */
_Static_assert(QN_HAVE_DOT, "compiled as the VNNI kernels are");

enum {
    TILE_M = 16,    /* rows of activations of a tile register */
    TILE_DOTS = 256 /* int32 numbers of one */
};

/* The tile registers, as the intrinsics want them: digits. */
#define DOTS_0      0
#define DOTS_1      1
#define ACTIVATIONS 2
#define WEIGHTS_0   3
#define WEIGHTS_1   4

static const struct tile_config config = {
    .palette = 1,
    .row_bytes = {[DOTS_0] = 64, [DOTS_1] = 64, [ACTIVATIONS] = 32, [WEIGHTS_0] = 64, 64},
    .rows = {[DOTS_0] = 16, [DOTS_1] = 16, [ACTIVATIONS] = 16, [WEIGHTS_0] = 8, 8},
};

/* Integer dots of one block into the tile registers. */
QN_INLINE void start_dots(const struct qn_panel *p, const uint8_t *block, const int8_t *q,
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
QN_INLINE void store_dots(int32_t *dots, const int n) {
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
QN_INLINE void tile_kernel(const struct qn_form_traits t, const struct qn_panel *p, const int nt) {
    _Alignas(64) int32_t dots[2][QN_PANEL_TILES * TILE_DOTS];
    const size_t block_size = panel_block_size(t, nt);
    lanes_f y[TILE_M][QN_PANEL_TILES];
    QN_UNROLL for (int m = 0; m < TILE_M; m++) QN_UNROLL for (int n = 0; n < nt; n++) y[m][n] =
        p->first ? f_zero() : f_load(p->sums + (m * QN_PANEL_TILES + n) * QN_R);
    start_dots(p, p->blocks, p->x.q, nt);
    for (int n = 0; n < nt; n++) store_dots(dots[0] + n * TILE_DOTS, n);
    for (int b = 0; b < p->n_blocks; b++) {
        const uint8_t *const block = p->blocks + (size_t)b * block_size;
        const struct qn_act_at x = act_further(p->x, b);
        const bool ahead = b + 1 < p->n_blocks;
        int32_t *const next = dots[(b + 1) % 2];
        if (ahead) start_dots(p, block + block_size, p->x.q + (b + 1) * 32, nt);
        add_rows(t, p, block, x, dots[b % 2], y, 0, TILE_M / 2, nt);
        if (ahead) store_dots(next, 0);
        add_rows(t, p, block, x, dots[b % 2], y, TILE_M / 2, TILE_M, nt);
        if (ahead && nt == 2) store_dots(next + TILE_DOTS, 1);
    }
    QN_UNROLL for (int m = 0; m < TILE_M; m++) QN_UNROLL for (int n = 0; n < nt; n++) {
        if (p->last)
            finish_tile(p->matmul, p->m + m, p->n + n * QN_R, y[m][n]);
        else
            f_store(p->sums + (m * QN_PANEL_TILES + n) * QN_R, y[m][n]);
    }
}

static void tile_32x1(const struct qn_panel *p) {
    tile_kernel(QN_TRAITS_8, p, 1);
}
static void tile_32x2(const struct qn_panel *p) {
    tile_kernel(QN_TRAITS_8, p, 2);
}
static void tile_32_minx1(const struct qn_panel *p) {
    tile_kernel(QN_TRAITS_4_MIN, p, 1);
}
static void tile_32_minx2(const struct qn_panel *p) {
    tile_kernel(QN_TRAITS_4_MIN, p, 2);
}
/* By rows in hand: only whole tiles. */
static qn_panel_fn *const tile_32_1[TILE_M + 1] = {[TILE_M] = tile_32x1};
static qn_panel_fn *const tile_32_2[TILE_M + 1] = {[TILE_M] = tile_32x2};
static qn_panel_fn *const *const tile_32[2] = {tile_32_1, tile_32_2};
static qn_panel_fn *const tile_32_min_1[TILE_M + 1] = {[TILE_M] = tile_32_minx1};
static qn_panel_fn *const tile_32_min_2[TILE_M + 1] = {[TILE_M] = tile_32_minx2};
static qn_panel_fn *const *const tile_32_min[2] = {tile_32_min_1, tile_32_min_2};

/* All rows that fill tiles, by all outputs. */
QN_INLINE void tile_matmul(const enum qn_pack form, const struct qn_form_traits t,
                           const struct qn_matmul *a, qn_panel_fn *const *const kernels[2]) {
    _tile_loadconfig(&config);
    panel_matmul(form, t, a, TILE_M, kernels);
    _tile_release();
}

/* Rows that do not fill a tile go to the kernel that this one replaces. */
static void matmul_rest(const struct qn_matmul *a, int m, qn_matmul_fn *vnni) {
    const struct qn_matmul rest = some_rows(a, m, a->m);
    if (rest.m > 0) vnni(&rest);
}

#define QN_TILE_MATMUL(name, form, traits, kernels)                                                \
    qn_matmul_fn qn_matmul_##name##__avx512vnni;                                                   \
    void qn_matmul_##name##__amxint8(const struct qn_matmul *a) {                                  \
        struct qn_matmul whole = *a;                                                               \
        check_matmul(a);                                                                           \
        whole.m = a->m / TILE_M * TILE_M;                                                          \
        if (whole.m > 0) tile_matmul(form, traits, &whole, kernels);                               \
        matmul_rest(a, whole.m, qn_matmul_##name##__avx512vnni);                                   \
    }

QN_TILE_MATMUL(q8_0, QN_PACK_Q8_0, QN_TRAITS_8, tile_32)
QN_TILE_MATMUL(q4_0, QN_PACK_Q4_0, QN_TRAITS_4, tile_32)
QN_TILE_MATMUL(q4_1, QN_PACK_Q4_1, QN_TRAITS_4_MIN, tile_32_min)
QN_TILE_MATMUL(q5_0, QN_PACK_Q5_0, QN_TRAITS_5, tile_32)
QN_TILE_MATMUL(q5_1, QN_PACK_Q5_1, QN_TRAITS_5_MIN, tile_32_min)
QN_TILE_MATMUL(iq4_nl, QN_PACK_IQ4_NL, QN_TRAITS_8, tile_32)
QN_TILE_MATMUL(q4_k, QN_PACK_Q4_K, QN_TRAITS_4_MIN, tile_32_min)
QN_TILE_MATMUL(q5_k, QN_PACK_Q5_K, QN_TRAITS_5_MIN, tile_32_min)
QN_TILE_MATMUL(iq4_xs, QN_PACK_IQ4_XS, QN_TRAITS_8, tile_32)
