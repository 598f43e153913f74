/* SPDX-License-Identifier: Apache-2.0
 *
 * Matmuls of F16 and BF16 weights with the tile unit. Weights are exact: a half is the sum of two
 * bf16. So is an activation x but for 2^-17 of it: of x in [1, 2) the high part leaves at most
 * 2^-8, and the low part, which is below that, has steps of 2^-16 at the most.
 */
#include "kernels/amx/gemm_bf16.h"

#include "kernels/amx/split_f16.h"

enum { FETCH_AHEAD = 2048 }; /* bytes ahead in each tile of weights */

/* The packed tile is what the unit reads. Where its last 16 k are half a block, the chunk is copied
 * and zeros take the other half. */
static void weights_bf16(const struct qn_matmul *a, char *panel, struct gemm_chunk *c) {
    const size_t tile_size = qn_pack_form_tile_size(QN_PACK_BF16, QN_R, a->k);
    const char *const first =
        (const char *)a->w + (size_t)(c->n / QN_R) * tile_size + (size_t)c->k0 * 2 * QN_R;
    const int units = (a->k - c->k0 + 15) / 16;
    c->w = first;
    c->w_ld = tile_size;
    if (units >= 2 * c->n_blocks) return;
    c->w = panel;
    c->w_ld = (size_t)c->n_blocks * TILE_BYTES;
    for (int t = 0; t < c->n_tiles; t++) {
        char *const dst = panel + (size_t)t * c->w_ld;
        const size_t size = (size_t)units * TILE_BYTES / 2;
        __builtin_memcpy(dst, first + (size_t)t * tile_size, size);
        __builtin_memset(dst + size, 0, c->w_ld - size);
    }
}

/* Of each 32 k of a tile the high parts, then the low ones. */
static void weights_f16(const struct qn_matmul *a, char *panel, struct gemm_chunk *c) {
    const size_t tile_size = qn_pack_form_tile_size(QN_PACK_F16, QN_R, a->k);
    const char *const first =
        (const char *)a->w + (size_t)(c->n / QN_R) * tile_size + (size_t)c->k0 * 2 * QN_R;
    const int units = (a->k - c->k0 + 15) / 16;
    const int pairs = units * 8 < c->n_blocks * 16 ? units * 8 : c->n_blocks * 16;
    c->w = panel;
    c->w_ld = (size_t)c->n_blocks * 2 * TILE_BYTES;
    for (int t = 0; t < c->n_tiles; t++) {
        const char *const src = first + (size_t)t * tile_size;
        char *const dst = panel + (size_t)t * c->w_ld;
        for (int pair = 0; pair < c->n_blocks * 16; pair++) {
            char *const out = dst + pair / 16 * 2 * TILE_BYTES + pair % 16 * 64;
            struct split_pair w = {{f_zero(), f_zero()}, {f_zero(), f_zero()}};
            __builtin_prefetch(src + (size_t)pair * 64 + FETCH_AHEAD);
            if (pair < pairs) w = split_f16_pair(src + (size_t)pair * 64);
            i_store(out, join_pair(w.high));
            i_store(out + TILE_BYTES, join_pair(w.low));
        }
    }
}

void qn_matmul_bf16__amxbf16(const struct qn_matmul *a) {
    check_matmul(a);
    gemm((struct gemm_parts){2, 1}, a, (struct gemm_shape){QN_GEMM_N, 2 * QN_GEMM_PANEL_K},
         weights_bf16);
}

void qn_matmul_f16__amxbf16(const struct qn_matmul *a) {
    const struct gemm_shape few = {2 * TILE_ROWS, 256}, many = {QN_GEMM_N, QN_GEMM_PANEL_K};
    check_matmul(a);
    gemm((struct gemm_parts){2, 2}, a, a->m <= 2 * TILE_ROWS ? few : many, weights_f16);
}
