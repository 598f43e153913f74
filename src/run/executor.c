/* SPDX-License-Identifier: Apache-2.0 */
#include "run/executor.h"

#include "kernels/rope_angles.h"
#include "run/products.h"
#include "run/work.h"

/* ---- embed ------------------------------------------------------------------------------ */

static void embed(const struct qn_executor *e, int thread) {
    const struct qn_ubatch *const u = e->ubatch;
    const struct qn_model *const model = e->model;
    const int n_threads = qn_pool_n_threads(model->pool);
    const int end = qn_share(u->m, thread + 1, n_threads);
    for (int m = qn_share(u->m, thread, n_threads); m < end; m++) {
        qn_model_embedding(model, u->tokens[m], qn_buffer_row(e, QN_BUFFER_X, m));
        qn_rope_angles(u->positions[m], model->rope_frequency, model->spec.hparams.n_rot / 2,
                       model->rope_scale, qn_buffer_row(e, QN_BUFFER_COS, m),
                       qn_buffer_row(e, QN_BUFFER_SIN, m));
    }
}

/* ---- prepare ---------------------------------------------------------------------------- */

/* Normalizes one row and brings it into each form that the next products read. */
static void prepare_row(const struct qn_executor *e, const struct qn_step *step, int thread,
                        int row, int n_rows) {
    const struct qn_model *const model = e->model;
    const struct qn_family *const family = model->spec.family;
    const struct qn_step *const product = step + 1;
    const int k = qn_spec_weight(&model->spec, product->products[0].weight, step->layer)->k;
    const int source = step->outputs_only ? e->ubatch->outputs[row] : row;
    const float *x = qn_buffer_row(e, step->in, source);
    if (step->norm != QN_ROLE_COUNT) {
        float *const y = qn_norm_row(e, thread);
        model->kernels.norm[family->norm](x, qn_model_weight(model, step->norm, step->layer), NULL,
                                          model->spec.hparams.norm_eps, k, y);
        x = y;
    }
    for (int act = 0; act < QN_ACT_COUNT; act++)
        if (step->acts >> act & 1)
            model->kernels.prepare[act](x, k, qn_act_row(e, act, thread, row, n_rows));
}

static void prepare(const struct qn_executor *e, const struct qn_step *step, int thread,
                    int n_rows) {
    const int n_threads = qn_pool_n_threads(e->model->pool);
    if (n_rows == 1) {
        prepare_row(e, step, thread, 0, 1);
        return;
    }
    const int end = qn_share(n_rows, thread + 1, n_threads);
    for (int row = qn_share(n_rows, thread, n_threads); row < end; row++)
        prepare_row(e, step, thread, row, n_rows);
}

/* ---- attention -------------------------------------------------------------------------- */

/* Query heads [h0, h1) of one KV head, for the tokens of one tile. */
static void attend(const struct qn_executor *e, const struct qn_step *step, int tile, int h0,
                   int h1) {
    const struct qn_model *const model = e->model;
    const struct qn_hparams *const hp = &model->spec.hparams;
    const struct qn_layout *const l = &e->plan->layout;
    const struct qn_ubatch *const u = e->ubatch;
    const int first = u->tiles[tile], end = u->tiles[tile + 1], d = hp->head_size;
    const int kv_head = h0 / (hp->n_heads / hp->n_kv_heads);
    for (int m = first; m < end; m++)
        qn_rotate_heads(e, qn_buffer_row(e, QN_BUFFER_Q, m) + h0 * d, h1 - h0, m);
    const struct qn_attention a = {
        .q = qn_buffer_row(e, QN_BUFFER_Q, first) + h0 * d,
        .q_ld = qn_buffer_ld(e, QN_BUFFER_Q),
        .out = qn_buffer_row(e, QN_BUFFER_ATTN, first) + h0 * d,
        .out_ld = qn_buffer_ld(e, QN_BUFFER_ATTN),
        .pos = u->positions + first,
        .blocks = e->blocks + (size_t)u->sequences[first] * (size_t)l->n_blocks,
        .k = qn_k_layer(e, step->layer) + (size_t)kv_head * l->k_block,
        .v = qn_v_layer(e, step->layer) + (size_t)kv_head * l->v_block,
        .k_stride = l->k_block * (size_t)hp->n_kv_heads,
        .v_stride = l->v_block * (size_t)hp->n_kv_heads,
        .scale = hp->attn_scale,
        .m = end - first,
        .g = h1 - h0,
        .d = d,
        .window = hp->window,
    };
    model->kernels.attention[e->plan->limits.kv_k](&a);
}

/* Many tiles: KV heads of tiles are handed out, the longest (last) first. Few: each thread takes
 * an even run of query heads, and calls for those that share a KV head go together. */
static void attention(const struct qn_executor *e, const struct qn_step *step, int thread) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int n_threads = qn_pool_n_threads(e->model->pool), n_tiles = e->ubatch->n_tiles;
    const int group = hp->n_heads / hp->n_kv_heads, n_items = n_tiles * hp->n_kv_heads;
    if (n_items >= 4 * n_threads) {
        for (int i; (i = qn_next_piece(e, step)) < n_items;) {
            const int tile = n_tiles - 1 - i / hp->n_kv_heads, h0 = i % hp->n_kv_heads * group;
            attend(e, step, tile, h0, h0 + group);
        }
        return;
    }
    const int n_units = n_tiles * hp->n_heads;
    const int end = qn_share(n_units, thread + 1, n_threads);
    for (int unit = qn_share(n_units, thread, n_threads); unit < end;) {
        const int h0 = unit % hp->n_heads, group_end = (h0 / group + 1) * group;
        const int h1 = end - unit < group_end - h0 ? h0 + end - unit : group_end;
        attend(e, step, unit / hp->n_heads, h0, h1);
        unit += h1 - h0;
    }
}

/* ---- walk ------------------------------------------------------------------------------- */

static void walk(void *context, int thread) {
    struct qn_executor *const e = context;
    for (int s = 0; s < e->plan->n_steps; s++) {
        const struct qn_step *const step = &e->plan->steps[s];
        const int n_rows = step->outputs_only ? e->ubatch->n_outputs : e->ubatch->m;
        if (n_rows == 0) continue;
        switch (step->op) {
        case QN_OP_EMBED:
            embed(e, thread);
            break;
        case QN_OP_PREPARE:
            prepare(e, step, thread, n_rows);
            break;
        case QN_OP_MATMUL:
            qn_products_run(e, step, thread, n_rows);
            break;
        default:
            attention(e, step, thread);
        }
        if (qn_step_has_barrier(step, n_rows)) qn_pool_barrier(e->model->pool, thread);
    }
}

void qn_executor_run(struct qn_executor *executor, const struct qn_ubatch *ubatch) {
    executor->ubatch = ubatch;
    for (int s = 0; s < executor->plan->n_steps; s++)
        atomic_store_explicit(&executor->next[s], 0, memory_order_relaxed);
    qn_pool_run(executor->model->pool, walk, executor);
}
