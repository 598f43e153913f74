/* SPDX-License-Identifier: Apache-2.0
 *
 * A session: the plan, one arena with KV cache and work buffers, and the sequences that own
 * blocks of the cache. One caller at a time.
 */
#ifndef QN_RUN_SESSION_H
#define QN_RUN_SESSION_H

#include "run/executor.h"
#include "run/kv_blocks.h"

struct qn_session_options {
    int n_ctx, n_ubatch, n_sequences, n_logits; /* all >= 1 */
    enum qn_cache cache;
    bool huge_pages;
    bool (*keep_going)(void *context); /* may be NULL */
    void *keep_going_context;
    struct qn_tap tap;
};

struct qn_batch {
    size_t n;
    const int32_t *tokens;    /* [n] */
    const int32_t *positions; /* [n] or NULL */
    const int32_t *sequences; /* [n] or NULL */
    const bool *logits;       /* [n] or NULL: the last */
};

struct qn_session {
    struct qn_model *model; /* not owned */
    struct qn_session_options options;
    struct qn_plan plan;
    struct qn_arena arena;
    struct qn_kv_blocks kv;
    struct qn_executor executor;
    /* of one ubatch, [n_ubatch] */
    int32_t *tokens, *positions, *sequences, *outputs;
    int32_t *tiles;  /* [n_ubatch + 1] */
    int *expected;   /* [n_sequences] next position while a batch is checked */
    size_t n_logits; /* rows that the last eval filled */
    uint64_t bytes_read;
};

/* What a caller gets who asks for nothing: the model's context, but not more than 4096 positions,
 * and ubatches of 512 tokens, at which products are bound by arithmetic. */
enum { QN_DEFAULT_CTX_MAX = 4096, QN_DEFAULT_UBATCH = 512 };
static inline int qn_session_default_ctx(const struct qn_hparams *hparams) {
    return hparams->n_ctx_train < QN_DEFAULT_CTX_MAX ? hparams->n_ctx_train : QN_DEFAULT_CTX_MAX;
}

enum qn_status qn_session_new(struct qn_model *model, const struct qn_session_options *options,
                              struct qn_session **out, struct qn_error *err);
void qn_session_free(struct qn_session *session); /* NULL is allowed */

/* See quern_session_eval. */
enum qn_status qn_session_eval(struct qn_session *session, const struct qn_batch *batch,
                               struct qn_error *err);
/* Row i of the last eval's logits, float [V], or NULL. */
float *qn_session_logits(struct qn_session *session, size_t i);
/* Their maxima (maxima.h), or NULL; those of the logits as they were computed. */
const float *qn_session_maxima(const struct qn_session *session, size_t i);

#endif
