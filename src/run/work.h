/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the executor's data lies and how work is divided; shared by its parts.
 */
#ifndef QN_RUN_WORK_H
#define QN_RUN_WORK_H

#include "run/executor.h"

/* Hands out pieces 0, 1, 2, ... of a step, each once. */
static inline int qn_next_piece(const struct qn_executor *e, const struct qn_step *step) {
    return atomic_fetch_add_explicit(&e->next[step - e->plan->steps], 1, memory_order_relaxed);
}

static inline size_t qn_buffer_ld(const struct qn_executor *e, enum qn_buffer_id id) {
    return e->plan->buffers[id].row_size / sizeof(float);
}

static inline float *qn_buffer_row(const struct qn_executor *e, enum qn_buffer_id id, int row) {
    const struct qn_buffer *const b = &e->plan->buffers[id];
    return (float *)(void *)(e->arena + b->offset + (size_t)row * b->row_size);
}

/* What lies at an offset within a thread's scratch. */
static inline void *qn_scratch(const struct qn_executor *e, int thread, size_t offset) {
    const struct qn_layout *const l = &e->plan->layout;
    return e->arena + l->scratch_offset + (size_t)thread * l->scratch_size + offset;
}

/* Whether this is a single token, of which every thread keeps a stream. */
static inline bool qn_has_own_stream(const struct qn_executor *e) {
    return e->plan->own_stream && e->ubatch->m == 1;
}

/* Token m's row of X, or the thread's own. */
static inline float *qn_stream_row(const struct qn_executor *e, int thread, int m) {
    if (qn_has_own_stream(e)) return qn_scratch(e, thread, e->plan->layout.stream);
    return qn_buffer_row(e, QN_BUFFER_X, m);
}

/* Whether each thread attends with those KV heads, its even part of them, whose K and V the step
 * before let it store. */
static inline bool qn_has_own_heads(const struct qn_executor *e, const struct qn_step *store) {
    return !qn_step_has_barrier(e->plan, store, e->ubatch->m, e->n_threads);
}

/* Token m's row of Q; the thread's own where it has normalized all heads of a single token. */
static inline float *qn_query_row(const struct qn_executor *e, const struct qn_step *store,
                                  int thread, int m) {
    if (store->op == QN_OP_STORE_KV && qn_has_own_heads(e, store))
        return qn_scratch(e, thread, e->plan->layout.queries);
    return qn_buffer_row(e, QN_BUFFER_Q, m);
}

/* A prepared row. What a single token or output needs is prepared by every thread in its own
 * scratch, which saves a barrier; the rows of several lie in the shared buffer. */
static inline void *qn_act_row(const struct qn_executor *e, int act, int thread, int row,
                               bool is_private) {
    const enum qn_buffer_id id = qn_act_buffer((enum qn_act)act);
    const struct qn_layout *const l = &e->plan->layout;
    if (!is_private) return qn_buffer_row(e, id, row);
    return (char *)qn_scratch(e, thread, l->act[act]) + (size_t)row * e->plan->buffers[id].row_size;
}

/* Where a thread keeps a normalized row until it is prepared. */
static inline float *qn_norm_row(const struct qn_executor *e, int thread) {
    return qn_scratch(e, thread, e->plan->layout.norm);
}

static inline char *qn_k_layer(const struct qn_executor *e, int layer) {
    const struct qn_layout *const l = &e->plan->layout;
    return e->arena + l->kv_offset + (size_t)layer * l->k_layer;
}

static inline char *qn_v_layer(const struct qn_executor *e, int layer) {
    const struct qn_layout *const l = &e->plan->layout;
    const size_t n_layers = (size_t)e->model->spec.hparams.n_layers;
    return e->arena + l->kv_offset + n_layers * l->k_layer + (size_t)layer * l->v_layer;
}

#endif
