/* SPDX-License-Identifier: Apache-2.0
 *
 * Which blocks of the KV cache belong to which sequence. Blocks hold QN_KV_BLOCK positions, are
 * handed out as sequences grow and come back when they shrink. The total of positions is bounded
 * by n_ctx; n_blocks is large enough that blocks never run out before that, and sequence_blocks
 * that one sequence may have them all: the layout's (plan.h).
 */
#ifndef QN_RUN_KV_BLOCKS_H
#define QN_RUN_KV_BLOCKS_H

#include "base/status.h"
#include "kernels/kernels.h"

struct qn_kv_blocks {
    int n_ctx, n_blocks, sequence_blocks, n_sequences;
    int n_used;      /* positions of all sequences */
    int *lengths;    /* [n_sequences] positions */
    int32_t *tables; /* [n_sequences][sequence_blocks] block of positions 64 i ... */
    int32_t *free;   /* [n_blocks] stack of free blocks */
    int n_free;
};

enum qn_status qn_kv_blocks_new(int n_ctx, int n_blocks, int sequence_blocks, int n_sequences,
                                struct qn_kv_blocks *kv, struct qn_error *err);
void qn_kv_blocks_free(struct qn_kv_blocks *kv); /* idempotent */

/* Gives a sequence one more position; the caller has checked that n_used < n_ctx. */
void qn_kv_blocks_append(struct qn_kv_blocks *kv, int sequence);
/* Drops the positions from length on. */
void qn_kv_blocks_truncate(struct qn_kv_blocks *kv, int sequence, int length);

#endif
