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

/* A prepared row. A single row is prepared by every thread in its own scratch, which saves a
 * barrier; several lie in the shared buffer. */
static inline void *qn_act_row(const struct qn_executor *e, int act, int thread, int row,
                               int n_rows) {
    const struct qn_layout *const l = &e->plan->layout;
    if (n_rows == 1)
        return e->arena + l->scratch_offset + (size_t)thread * l->scratch_size +
               (act == QN_ACT_F32 ? l->act_f32 : l->act_q8);
    return qn_buffer_row(e, act == QN_ACT_F32 ? QN_BUFFER_ACT_F32 : QN_BUFFER_ACT_Q8, row);
}

/* Where a thread keeps a normalized row until it is prepared. */
static inline float *qn_norm_row(const struct qn_executor *e, int thread) {
    const struct qn_layout *const l = &e->plan->layout;
    return (float *)(void *)(e->arena + l->scratch_offset + (size_t)thread * l->scratch_size +
                             l->norm);
}

static inline void *qn_matmul_scratch(const struct qn_executor *e, int thread) {
    const struct qn_layout *const l = &e->plan->layout;
    return e->arena + l->scratch_offset + (size_t)thread * l->scratch_size + l->matmul;
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
