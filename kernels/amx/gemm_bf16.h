/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with the tile unit (AMX-BF16): activations and weights as sums of bf16 parts, one
 * TDPBF16PS for each pair of parts.
 *
 * Order of the sums, which matvec_float_amxbf16.c repeats with ordinary instructions: of each 32 k
 * in rising order, and of each pair of an activation's and a weight's part, (low, high), (high,
 * high), (high, low), (low, low) as far as there are such parts, y = y + (even + odd), where `even`
 * and `odd` are chains of FMAs in rising k over the even and the odd k, from zero; every operation
 * rounds to nearest even, and subnormal numbers count as zero, read and written. That is how the
 * instruction is documented; tests/kernel_check compares the two bit by bit.
 */
#ifndef QN_KERNELS_AMX_GEMM_BF16_H
#define QN_KERNELS_AMX_GEMM_BF16_H

#include "kernels/tiles/lanes_avx512.h"

#include "kernels/amx/tile_config.h"
#include "kernels/tiles/matmul_forms.h"

enum {
    TILE_ROWS = 16,    /* of a tile register: activations, or pairs of k of 16 weight rows */
    TILE_FLOATS = 256, /* sums of one */
    TILE_BYTES = 1024,
    BLOCK_K = 32 /* of one */
};

/* The tile registers, as the intrinsics want them: digits. Sums of activation tile i and weight
 * tile j are in 2 i + j. */
#define SUMS_00       0
#define SUMS_01       1
#define SUMS_10       2
#define SUMS_11       3
#define ACTIVATIONS_0 4
#define ACTIVATIONS_1 5
#define WEIGHTS_0     6
#define WEIGHTS_1     7

/* Parts of the activations and of the weights. */
struct gemm_parts {
    int x, w;
};

/* Up to 32 rows of activations by one or two tiles of weights, over n_blocks of 32 k. */
struct gemm_block {
    const char *x;      /* row 0 at the first k: of each 32 k x parts of 64 bytes, high first */
    size_t x_ld;        /* bytes */
    const char *w;      /* of each 32 k w parts of TILE_BYTES, high first */
    size_t w_ld;        /* bytes from one tile to the next */
    int n_blocks;       /* of 32 k */
    const float *start; /* [4][TILE_FLOATS] sums so far, or NULL */
    float *sums;        /* [4][TILE_FLOATS] */
    const char *ahead;  /* rows of activations to fetch on the way, at the first k */
    int n_ahead;
};

/* Registers for `rows` rows of activations, 1 to 32. */
static void gemm_configure(int rows) {
    const uint8_t low = (uint8_t)(rows < TILE_ROWS ? rows : TILE_ROWS);
    const uint8_t high = (uint8_t)(rows > TILE_ROWS ? rows - TILE_ROWS : 1);
    const struct tile_config config = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {low, low, high, high, low, high, TILE_ROWS, TILE_ROWS},
    };
    TILE_FENCE();
    _tile_loadconfig(&config);
}

/* The product of one pair of parts that lie in registers, or at x and w where these are given. */
QN_INLINE void gemm_product(const struct gemm_block *p, const char *x, const char *w, const int mt,
                            const int nt) {
    if (w) _tile_loadd(WEIGHTS_0, w, 64);
    if (x) _tile_loadd(ACTIVATIONS_0, x, p->x_ld);
    _tile_dpbf16ps(SUMS_00, ACTIVATIONS_0, WEIGHTS_0);
    if (nt > 1) {
        if (w) _tile_loadd(WEIGHTS_1, w + p->w_ld, 64);
        _tile_dpbf16ps(SUMS_01, ACTIVATIONS_0, WEIGHTS_1);
    }
    if (mt > 1) {
        if (x) _tile_loadd(ACTIVATIONS_1, x + TILE_ROWS * p->x_ld, p->x_ld);
        _tile_dpbf16ps(SUMS_10, ACTIVATIONS_1, WEIGHTS_0);
        if (nt > 1) _tile_dpbf16ps(SUMS_11, ACTIVATIONS_1, WEIGHTS_1);
    }
}

QN_INLINE void gemm_start(const float *start, const int mt, const int nt) {
    if (!start) {
        _tile_zero(SUMS_00);
        _tile_zero(SUMS_01);
        _tile_zero(SUMS_10);
        _tile_zero(SUMS_11);
        return;
    }
    _tile_loadd(SUMS_00, start, 64);
    if (nt > 1) _tile_loadd(SUMS_01, start + TILE_FLOATS, 64);
    if (mt > 1) _tile_loadd(SUMS_10, start + 2 * TILE_FLOATS, 64);
    if (mt > 1 && nt > 1) _tile_loadd(SUMS_11, start + 3 * TILE_FLOATS, 64);
}

QN_INLINE void gemm_run(const struct gemm_parts parts, const struct gemm_block *p, const int mt,
                        const int nt) {
    const char *x = p->x, *w = p->w, *ahead = p->ahead;
    TILE_FENCE();
    gemm_start(p->start, mt, nt);
    for (int b = p->n_blocks; b > 0; b--) {
        for (int i = 0; i < p->n_ahead; i++)
            for (int part = 0; part < parts.x; part++)
                _mm_prefetch(ahead + (size_t)i * p->x_ld + part * 64, _MM_HINT_T1);
        ahead += parts.x * 64;
        if (parts.x > 1) gemm_product(p, x + 64, w, mt, nt);
        gemm_product(p, x, parts.x > 1 ? NULL : w, mt, nt);
        if (parts.w > 1) gemm_product(p, NULL, w + TILE_BYTES, mt, nt);
        if (parts.x > 1 && parts.w > 1) gemm_product(p, x + 64, NULL, mt, nt);
        x += parts.x * 64;
        w += parts.w * TILE_BYTES;
    }
    _tile_stored(SUMS_00, p->sums, 64);
    if (nt > 1) _tile_stored(SUMS_01, p->sums + TILE_FLOATS, 64);
    if (mt > 1) _tile_stored(SUMS_10, p->sums + 2 * TILE_FLOATS, 64);
    if (mt > 1 && nt > 1) _tile_stored(SUMS_11, p->sums + 3 * TILE_FLOATS, 64);
    TILE_FENCE();
}

QN_INLINE void gemm_dispatch(const struct gemm_parts parts, const struct gemm_block *p, int mt,
                             int nt) {
    if (mt > 1 && nt > 1) gemm_run(parts, p, 2, 2);
    if (mt > 1 && nt == 1) gemm_run(parts, p, 2, 1);
    if (mt == 1 && nt > 1) gemm_run(parts, p, 1, 2);
    if (mt == 1 && nt == 1) gemm_run(parts, p, 1, 1);
}

/* Adds a block's sums to y, which has `rows` rows and nt tiles there. */
QN_INLINE void gemm_finish(const struct qn_matmul *a, int m, int n, int rows, int nt,
                           const float *sums) {
    for (int i = 0; i < rows; i++)
        for (int t = 0; t < nt; t++)
            finish_tile(
                a, m + i, n + t * QN_R,
                f_load(sums + (i / TILE_ROWS * 2 + t) * TILE_FLOATS + i % TILE_ROWS * QN_R));
}

/* ---- chunks ----------------------------------------------------------------------------- */

/* How much is taken at a time: rows of weights, at most QN_GEMM_N, and k. Many rows of activations
 * are worth a chunk that stays in the second level; for few, it goes through the first once. */
struct gemm_shape {
    int n, k;
};

/* Weights of some rows over some k, as parts for the tile unit. */
struct gemm_chunk {
    const char *w; /* tile 0 at the first k */
    size_t w_ld;
    int n, n_tiles;
    int k0, n_blocks;
    bool first, last; /* over k */
};

/* Fills w and w_ld, in the scratch where weights are to be unpacked. */
typedef void gemm_weights_fn(const struct qn_matmul *a, char *panel, struct gemm_chunk *chunk);

/* The scratch: sums of each 32 rows of activations by 2 tiles of a chunk, then a panel. */
QN_INLINE char *gemm_panel(const struct qn_matmul *a) {
    const size_t blocks = ((size_t)a->m + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS);
    return (char *)a->scratch + blocks * 2 * TILE_ROWS * QN_GEMM_N * sizeof(float);
}

/* All rows of activations with one chunk. */
QN_INLINE void gemm_chunk_rows(const struct gemm_parts parts, const struct qn_matmul *a,
                               const struct gemm_chunk *c) {
    _Alignas(64) float last[4 * TILE_FLOATS];
    float *sums = a->scratch;
    int configured = 0;
    for (int m = 0; m < a->m; m += 2 * TILE_ROWS) {
        const int rows = a->m - m < 2 * TILE_ROWS ? a->m - m : 2 * TILE_ROWS;
        if (rows != configured) gemm_configure(rows);
        configured = rows;
        const int next = m + 2 * TILE_ROWS, n_pairs = (c->n_tiles + 1) / 2;
        const int n_next = a->m - next < 2 * TILE_ROWS ? a->m - next : 2 * TILE_ROWS;
        for (int t = 0; t < c->n_tiles; t += 2, sums += 4 * TILE_FLOATS) {
            const int nt = c->n_tiles - t > 1 ? 2 : 1;
            const int from = n_next > 0 ? n_next * (t / 2) / n_pairs : 0;
            const int to = n_next > 0 ? n_next * (t / 2 + 1) / n_pairs : 0;
            const struct gemm_block block = {
                .x = (const char *)a->x + (size_t)m * a->x_ld + (size_t)c->k0 * 2 * parts.x,
                .x_ld = a->x_ld,
                .w = c->w + (size_t)t * c->w_ld,
                .w_ld = c->w_ld,
                .n_blocks = c->n_blocks,
                .start = c->first ? NULL : sums,
                .sums = c->last ? last : sums,
                .ahead = (const char *)a->x + (size_t)(next + from) * a->x_ld +
                         (size_t)c->k0 * 2 * parts.x,
                .n_ahead = to - from,
            };
            gemm_dispatch(parts, &block, rows > TILE_ROWS ? 2 : 1, nt);
            if (c->last) gemm_finish(a, m, c->n + t * QN_R, rows, nt, last);
        }
    }
}

QN_INLINE void gemm(const struct gemm_parts parts, const struct qn_matmul *a,
                    const struct gemm_shape shape, gemm_weights_fn *weights) {
    const int k = (a->k + BLOCK_K - 1) / BLOCK_K * BLOCK_K;
    for (int n = a->n0; n < a->n1; n += shape.n) {
        const int n_rows = a->n1 - n < shape.n ? a->n1 - n : shape.n;
        for (int k0 = 0; k0 < k; k0 += shape.k) {
            struct gemm_chunk chunk = {.n = n,
                                       .n_tiles = (n_rows + QN_R - 1) / QN_R,
                                       .k0 = k0,
                                       .n_blocks = (k - k0 < shape.k ? k - k0 : shape.k) / BLOCK_K,
                                       .first = k0 == 0,
                                       .last = k0 + shape.k >= k};
            weights(a, gemm_panel(a), &chunk);
            gemm_chunk_rows(parts, a, &chunk);
        }
    }
    _tile_release();
}

#endif
