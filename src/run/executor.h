/* SPDX-License-Identifier: Apache-2.0
 *
 * Walks the plan: every thread of the pool runs its part of each step, then meets the others at
 * the step's barrier. The only caller of compute kernels.
 */
#ifndef QN_RUN_EXECUTOR_H
#define QN_RUN_EXECUTOR_H

#include <stdatomic.h>

#include "models/model.h"
#include "plan/plan.h"
#include "run/claims.h"
#include "run/record.h"
#include "run/spans.h"
#include "run/tap.h"

/* Tokens of one ubatch. A tile is a run of tokens of one sequence that attend together. */
struct qn_ubatch {
    int m;                    /* tokens */
    const int32_t *tokens;    /* [m] */
    const int32_t *positions; /* [m] */
    const int32_t *sequences; /* [m] */
    int n_outputs;
    const int32_t *outputs; /* [n_outputs] tokens whose logits are wanted, rising */
    int first_logits;       /* row of LOGITS that the first output fills */
    int n_tiles;
    const int32_t *tiles; /* [n_tiles + 1] first token of each tile, then m */
};

/* Whether no token behind m is of the same sequence. */
static inline bool qn_ubatch_ends(const struct qn_ubatch *u, int m) {
    for (int i = m + 1; i < u->m; i++)
        if (u->sequences[i] == u->sequences[m]) return false;
    return true;
}

enum { QN_TILE_TOKENS = 16 };

struct qn_executor {
    const struct qn_model *model;
    const struct qn_plan *plan;
    char *arena;                    /* the session's, laid out by the plan */
    const int32_t *blocks;          /* [n_sequences][sequence_blocks] block tables */
    double *rope_frequency;         /* [rope sets][n_rot / 2] radians a position */
    float rope_scale[QN_ROPE_SETS]; /* factor of cos and sin */
    atomic_int *next;               /* [n_steps] next piece of work to hand out */
    struct qn_claims *claims;       /* of the pool's threads */
    size_t least_share;             /* bytes of a share from which on others may help with it */
    uint64_t n_steps_before;        /* of all runs before this one, for claims */
    uint64_t *bytes_read;           /* the session's count, for what only the routes tell */
    const struct qn_ubatch *ubatch;
    int n_threads; /* that run the ubatch */
    /* Of a single token's attention, in layers without a window and with it: its line, and whether
     * threads divide that and not query heads. */
    struct qn_span_line lines[2];
    bool by_spans[2];
    atomic_int *n_spans_done; /* [Hkv] of heads that threads share; 0 between steps */
    struct qn_tap tap;
    struct qn_recorder *recorder; /* NULL: nothing is recorded */
};

/* Runs one ubatch; its tokens' blocks are in the tables. Logits go to rows first_logits ... of
 * LOGITS. Cannot fail. */
void qn_executor_run(struct qn_executor *executor, const struct qn_ubatch *ubatch);

#endif
