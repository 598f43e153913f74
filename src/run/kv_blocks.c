/* SPDX-License-Identifier: Apache-2.0 */
#include "run/kv_blocks.h"

#include <assert.h>
#include <stdlib.h>

enum qn_status qn_kv_blocks_new(int n_ctx, int n_blocks, int sequence_blocks, int n_sequences,
                                struct qn_kv_blocks *kv, struct qn_error *err) {
    *kv = (struct qn_kv_blocks){.n_ctx = n_ctx,
                                .n_blocks = n_blocks,
                                .sequence_blocks = sequence_blocks,
                                .n_sequences = n_sequences};
    kv->lengths = calloc((size_t)n_sequences, sizeof *kv->lengths);
    kv->tables = calloc((size_t)n_sequences * (size_t)kv->sequence_blocks, sizeof *kv->tables);
    kv->free = calloc((size_t)n_blocks, sizeof *kv->free);
    if (!kv->lengths || !kv->tables || !kv->free) {
        qn_kv_blocks_free(kv);
        return qn_fail(err, QN_NO_MEMORY, "no memory for the tables of %d KV blocks", n_blocks);
    }
    /* The lowest block on top, so that a lone sequence fills the cache in order. */
    for (int i = 0; i < n_blocks; i++) kv->free[i] = n_blocks - 1 - i;
    kv->n_free = n_blocks;
    return QN_OK;
}

void qn_kv_blocks_free(struct qn_kv_blocks *kv) {
    free(kv->lengths);
    free(kv->tables);
    free(kv->free);
    *kv = (struct qn_kv_blocks){0};
}

void qn_kv_blocks_append(struct qn_kv_blocks *kv, int sequence) {
    int *const length = &kv->lengths[sequence];
    if (*length % QN_KV_BLOCK == 0) {
        assert(kv->n_free > 0);
        int32_t *const table = kv->tables + (size_t)sequence * (size_t)kv->sequence_blocks;
        table[*length / QN_KV_BLOCK] = kv->free[--kv->n_free];
    }
    ++*length;
    kv->n_used++;
}

void qn_kv_blocks_truncate(struct qn_kv_blocks *kv, int sequence, int length) {
    const int old = kv->lengths[sequence];
    if (length >= old) return;
    const int32_t *const table = kv->tables + (size_t)sequence * (size_t)kv->sequence_blocks;
    const int keep = (length + QN_KV_BLOCK - 1) / QN_KV_BLOCK;
    for (int b = (old - 1) / QN_KV_BLOCK; b >= keep; b--) kv->free[kv->n_free++] = table[b];
    kv->lengths[sequence] = length;
    kv->n_used -= old - length;
}
