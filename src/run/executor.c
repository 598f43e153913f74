/* SPDX-License-Identifier: Apache-2.0 */
#include "run/executor.h"

#include <string.h>

#include "kernels/rope_angles.h"
#include "run/attention.h"
#include "run/experts.h"
#include "run/heads.h"
#include "run/products.h"
#include "run/spans.h"
#include "run/work.h"

/* ---- embed ------------------------------------------------------------------------------ */

/* is_mine: only then what all threads share is written. */
static void embed_token(const struct qn_executor *e, int m, int thread, bool is_mine) {
    const struct qn_model *const model = e->model;
    const struct qn_hparams *const hp = &model->spec.hparams;
    const int n = hp->n_token_embd, position = e->ubatch->positions[m];
    const bool projected = hp->features & QN_WITH_PROJECTION;
    float *const x = qn_stream_row(e, thread, m);
    float *const tokens = projected ? qn_buffer_row(e, QN_BUFFER_EMBD, m) : x;
    if (is_mine || !projected) {
        qn_model_row(model, QN_ROLE_TOKEN_EMBD, e->ubatch->tokens[m], tokens);
        for (int i = 0; hp->scale_embd && i < n; i++) tokens[i] *= hp->embd_scale;
    }
    if (projected) memset(x, 0, (size_t)hp->n_embd * sizeof *x);
    if (!hp->learned_positions) return;
    float *const learned = qn_norm_row(e, thread);
    qn_model_row(model, QN_ROLE_POSITION_EMBD, position + hp->position_offset, learned);
    model->kernels.add[0](learned, hp->n_embd, x);
}

static int embed(const struct qn_executor *e, int thread) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int n_threads = e->n_threads, half = hp->n_rot / 2;
    const int start = qn_share(e->ubatch->m, thread, n_threads);
    const int end = qn_share(e->ubatch->m, thread + 1, n_threads);
    if (start == end && qn_has_own_stream(e)) embed_token(e, 0, thread, false);
    for (int m = start; m < end; m++) {
        embed_token(e, m, thread, true);
        for (int set = 0; set < hp->n_rope_sets; set++)
            qn_rope_angles(e->ubatch->positions[m], e->rope_frequency + set * half, half,
                           e->rope_scale[set], qn_buffer_row(e, QN_BUFFER_COS, m) + set * half,
                           qn_buffer_row(e, QN_BUFFER_SIN, m) + set * half);
    }
    return end - start;
}

/* ---- prepare ---------------------------------------------------------------------------- */

/* The row of `in` that a prepared row is made from. */
static int source_row(const struct qn_executor *e, const struct qn_step *step, int thread,
                      int row) {
    if (step->in != QN_BUFFER_X) return row;
    if (step->rows == QN_ROWS_SLOTS) return qn_experts_slots(e, thread).tokens[row];
    return step->rows == QN_ROWS_OUTPUTS ? e->ubatch->outputs[row] : row;
}

/* Normalizes one row and brings it into each form that the next products read. */
static void prepare_row(const struct qn_executor *e, const struct qn_step *step, int thread,
                        int row, bool is_private) {
    const struct qn_model *const model = e->model;
    const struct qn_step *const product = step + 1;
    const int k = qn_spec_weight(&model->spec, product->products[0].weight, step->layer)->k;
    const int source = source_row(e, step, thread, row);
    const float *x = step->in == QN_BUFFER_X ? qn_stream_row(e, thread, source)
                                             : qn_buffer_row(e, step->in, source);
    if (step->norm != QN_ROLE_COUNT) {
        float *const y = qn_norm_row(e, thread);
        qn_norm(e, step->norm, step->layer, x, k, y);
        x = y;
    }
    for (int act = 0; act < QN_ACT_COUNT; act++)
        if (step->acts[!is_private] >> act & 1)
            model->kernels.prepare[act](x, k, qn_act_row(e, act, thread, row, is_private));
}

/* n: tokens or outputs. The slots of a single token all read one row. */
static int prepare(const struct qn_executor *e, const struct qn_step *step, int thread, int n) {
    const int n_threads = e->n_threads;
    const int n_used = e->model->spec.hparams.n_experts_used;
    const bool slots = step->rows == QN_ROWS_SLOTS;
    if (n == 1) {
        const int n_rows = slots && step->in != QN_BUFFER_X ? n_used : 1;
        for (int row = 0; row < n_rows; row++) prepare_row(e, step, thread, row, true);
        return n_rows;
    }
    const int n_rows = slots ? n * n_used : n;
    const int start = qn_share(n_rows, thread, n_threads);
    const int end = qn_share(n_rows, thread + 1, n_threads);
    for (int row = start; row < end; row++) prepare_row(e, step, thread, row, false);
    return end - start;
}

/* ---- rows of the stream ------------------------------------------------------------------- */

/* Norms of all heads of a token together, where the family has them, then K and V of the token go
 * to the cache; of a single token, those of the thread's own heads. */
static void store_row(const struct qn_executor *e, const struct qn_step *step, int thread, int m) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int q = hp->n_heads * hp->head_size, kv = hp->n_kv_heads * hp->head_size;
    const bool own = qn_has_own_heads(e, step);
    const int h0 = own ? qn_share(hp->n_kv_heads, thread, e->n_threads) : 0;
    const int h1 = own ? qn_share(hp->n_kv_heads, thread + 1, e->n_threads) : hp->n_kv_heads;
    float *const k_row = qn_buffer_row(e, QN_BUFFER_K, m);
    float *const k_normal = own ? qn_norm_row(e, thread) : k_row;
    if (hp->qk_norm == QN_QK_NORM_ROW) {
        qn_norm(e, QN_ROLE_ATTN_Q_NORM, step->layer, qn_buffer_row(e, QN_BUFFER_Q, m), q,
                qn_query_row(e, step, thread, m));
        qn_norm(e, QN_ROLE_ATTN_K_NORM, step->layer, k_row, kv, k_normal);
    }
    qn_store_heads(e, step->layer, QN_BUFFER_K, k_normal, h0, h1, m);
    qn_store_heads(e, step->layer, QN_BUFFER_V, qn_buffer_row(e, QN_BUFFER_V, m), h0, h1, m);
}

static void add_row(const struct qn_executor *e, const struct qn_step *step, int thread, int m) {
    const int n = e->model->spec.hparams.n_embd;
    const float *x = qn_buffer_row(e, step->in, m);
    if (step->norm != QN_ROLE_COUNT) {
        float *const y = qn_norm_row(e, thread);
        qn_norm(e, step->norm, step->layer, x, n, y);
        x = y;
    }
    e->model->kernels.add[0](x, n, qn_stream_row(e, thread, m));
}

static void norm_row(const struct qn_executor *e, const struct qn_step *step, int thread, int m) {
    float *const x = qn_stream_row(e, thread, m);
    qn_norm(e, step->norm, step->layer, x, e->model->spec.hparams.n_embd, x);
}

/* Each thread takes an even run of the tokens, or the only one for itself. */
static int each_row(const struct qn_executor *e, const struct qn_step *step, int thread) {
    const bool own = step->meet == QN_MEET_TOKENS && e->ubatch->m == 1;
    const int n_threads = e->n_threads;
    const int start = own ? 0 : qn_share(e->ubatch->m, thread, n_threads);
    const int end = own ? 1 : qn_share(e->ubatch->m, thread + 1, n_threads);
    for (int m = start; m < end; m++) {
        if (step->op == QN_OP_STORE_KV)
            store_row(e, step, thread, m);
        else if (step->op == QN_OP_RESIDUAL)
            add_row(e, step, thread, m);
        else
            norm_row(e, step, thread, m);
    }
    return end - start;
}

/* Nobody goes on while the tap looks. */
static void show(const struct qn_executor *e, const struct qn_step *step, int thread) {
    qn_pool_barrier(e->model->pool, thread);
    if (thread == 0) qn_tap_step(e, step);
    qn_pool_barrier(e->model->pool, thread);
}

/* ---- walk ------------------------------------------------------------------------------- */

/* The thread's part of a step; the number of pieces or rows that it was. */
static int run_step(const struct qn_executor *e, const struct qn_step *step, int thread,
                    int n_rows) {
    switch (step->op) {
    case QN_OP_EMBED:
        return embed(e, thread);
    case QN_OP_PREPARE:
        return prepare(e, step, thread, n_rows);
    case QN_OP_MATMUL:
        return qn_products_run(e, step, thread, n_rows);
    case QN_OP_ATTENTION:
        return qn_attention_run(e, step, thread);
    case QN_OP_ROUTE:
        return qn_experts_route(e, thread);
    case QN_OP_NUMBER:
        qn_experts_number(e, step, thread);
        return 1;
    default:
        return each_row(e, step, thread);
    }
}

/* Waits for the other threads where the step has a barrier. */
static void meet(const struct qn_executor *e, const struct qn_step *step, int thread, int n_rows) {
    if (qn_step_has_barrier(e->plan, step, n_rows, e->n_threads))
        qn_pool_barrier(e->model->pool, thread);
}

static void meet_recorded(const struct qn_executor *e, const struct qn_step *step, int thread,
                          int n_rows, int n_pieces) {
    qn_record_work(e->recorder, thread, (int)(step - e->plan->steps), n_pieces);
    meet(e, step, thread, n_rows);
    qn_record_end(e->recorder, thread, qn_step_has_barrier(e->plan, step, n_rows, e->n_threads));
}

static void walk(void *context, int thread) {
    const struct qn_executor *const e = context;
    if (e->recorder) qn_record_start(e->recorder, thread);
    for (int s = 0; s < e->plan->n_steps; s++) {
        const struct qn_step *const step = &e->plan->steps[s];
        const int n_rows = step->rows == QN_ROWS_OUTPUTS ? e->ubatch->n_outputs : e->ubatch->m;
        if (n_rows == 0) continue;
        const int n_pieces = run_step(e, step, thread, n_rows);
        if (e->recorder)
            meet_recorded(e, step, thread, n_rows, n_pieces);
        else
            meet(e, step, thread, n_rows);
        if (e->tap.call) show(e, step, thread);
    }
}

/* What a recording says of a pass: its size, and the positions of the cache that it needs. */
static struct qn_pass describe(const struct qn_executor *e, const struct qn_ubatch *u) {
    struct qn_pass pass = {.m = u->m,
                           .n_outputs = u->n_outputs,
                           .n_threads = e->n_threads,
                           .position = u->positions[u->m - 1],
                           .decode = true};
    for (int m = 0; m < u->m; m++) {
        const bool ends = qn_ubatch_ends(u, m);
        const int position = u->positions[m], window = e->model->spec.hparams.window;
        const uint64_t all = (uint64_t)position + 1;
        const uint64_t near = all - (uint64_t)qn_first_visible(position, window);
        pass.visible[0] += all;
        pass.visible[1] += near;
        pass.read[0] += ends ? all : 0;
        pass.read[1] += ends ? near : 0;
        if (!ends) pass.decode = false;
    }
    return pass;
}

void qn_executor_run(struct qn_executor *executor, const struct qn_ubatch *ubatch) {
    const struct qn_model *const model = executor->model;
    executor->ubatch = ubatch;
    executor->n_threads = ubatch->m == 1 ? model->n_threads : model->n_threads_batch;
    for (int s = 0; s < executor->plan->n_steps; s++)
        atomic_store_explicit(&executor->next[s], 0, memory_order_relaxed);
    if (ubatch->m == 1) qn_attention_divide(executor);
    if (executor->recorder) {
        const struct qn_pass pass = describe(executor, ubatch);
        qn_record_pass_start(executor->recorder, &pass);
    }
    qn_pool_run_first(model->pool, executor->n_threads, walk, executor);
    executor->n_steps_before += (uint64_t)executor->plan->n_steps;
    if (executor->recorder) qn_record_pass_end(executor->recorder);
}
