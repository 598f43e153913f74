/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes of the layouts that kernels.h describes, the same for every instruction set.
 */
#include <assert.h>

#include "kernels/kernels.h"
#include "kernels/tiles/panel_size.h"

static size_t round_up(size_t n, size_t unit) {
    return (n + unit - 1) / unit * unit;
}

/* A register tile reads the same place of many rows at once. With an even number of cache lines
 * from row to row these places would share half, a quarter, an eighth ... of the sets of a cache.
 */
static size_t odd_lines(size_t size) {
    return (round_up(size, 64) / 64 | 1) * 64;
}

size_t qn_act_row_size(enum qn_act act, int k) {
    if (act == QN_ACT_F32) return odd_lines((size_t)k * sizeof(float));
    if (act == QN_ACT_Q8X2) return 2 * qn_act_row_size(QN_ACT_Q8, k);
    if (act == QN_ACT_BF16X2) return odd_lines(round_up((size_t)k, 32) * 4);
    if (act == QN_ACT_BF16) return odd_lines(round_up(round_up((size_t)k, 32) * 2, 128));
    if (act == QN_ACT_I16) return odd_lines((size_t)qn_i16_blocks(k) * (QN_I16_BLOCK * 2 + 4));
    const size_t n_blocks = (size_t)qn_act_blocks(k);
    return odd_lines(n_blocks * (32 + sizeof(struct qn_act_block) + sizeof(struct qn_act_halves)));
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

/* Sums of 32 rows of activations at a time by so many of weights, and a panel. */
static size_t gemm_scratch_size(int m, int k) {
    const size_t padded = round_up((size_t)k, 32);
    const size_t columns = padded < QN_GEMM_PANEL_K ? padded : QN_GEMM_PANEL_K;
    return (round_up((size_t)m, 32) + columns) * QN_GEMM_N * 4;
}

size_t qn_matmul_scratch_size(int m, int k) {
    const size_t sums = (size_t)(m < QN_PASS_M ? m : QN_PASS_M) * QN_GROUP_ROWS * sizeof(float);
    const size_t padded = round_up((size_t)k, 256),
                 part = padded < QN_PANEL_K ? padded : QN_PANEL_K;
    const size_t tiles = part * QN_GROUP_ROWS * QN_TILE_BYTES_K;
    const size_t paired = round_up((size_t)(m < QN_PAIR_ROWS ? m : QN_PAIR_ROWS), 2);
    const size_t pairs = paired * padded * 2;
    const size_t widened = round_up((size_t)k, 32) * 2 * sizeof(float);
    const size_t most = larger(larger(QN_PANEL_BYTES + larger(sums, pairs), sums + tiles),
                               larger(widened, gemm_scratch_size(m, k)));
    return round_up(most, 64);
}

/* Q8_0 adds one half-precision scale for every 32 bytes, I16 one float for every position. */
static size_t kv_size(enum qn_kv kv, size_t elements) {
    switch (kv) {
    case QN_KV_F16:
        return elements * 2;
    case QN_KV_F32:
        return elements * 4;
    case QN_KV_Q8_0:
        return elements + elements / 32 * 2;
    case QN_KV_I16:
        return elements * 2 + QN_KV_BLOCK * sizeof(float);
    default:
        assert(0);
        return 0;
    }
}

size_t qn_kv_k_block_size(enum qn_kv kv, int d) {
    assert((kv != QN_KV_Q8_0 || d % 32 == 0) && (kv != QN_KV_I16 || d % 2 == 0));
    return kv_size(kv, (size_t)d * QN_KV_BLOCK);
}

size_t qn_kv_v_block_size(enum qn_kv kv, int d) {
    assert(kv != QN_KV_Q8_0 || d % 32 == 0);
    return kv_size(kv, round_up((size_t)d, 16) * QN_KV_BLOCK);
}

size_t qn_attention_part_size(int d) {
    return (round_up((size_t)d, 16) + 16) * sizeof(float);
}
