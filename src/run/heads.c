/* SPDX-License-Identifier: Apache-2.0 */
#include "run/heads.h"

#include "run/work.h"

void qn_norm(const struct qn_executor *e, enum qn_role role, int layer, const float *x, int k,
             float *y) {
    const struct qn_model *const model = e->model;
    const struct qn_hparams *const hp = &model->spec.hparams;
    const float *const bias =
        hp->norm == QN_NORM_LAYER ? qn_model_weight(model, role + 1, layer) : NULL;
    model->kernels.norm[hp->norm](x, qn_model_weight(model, role, layer), bias, hp->norm_eps, k, y);
}

void qn_finish_heads(const struct qn_executor *e, enum qn_role norm, int layer, float *x,
                     int n_heads, int m) {
    const struct qn_model *const model = e->model;
    const struct qn_hparams *const hp = &model->spec.hparams;
    const int d = hp->head_size, half = hp->n_rot / 2;
    const int set = qn_hparams_rope_set(hp, layer);
    for (int h = 0; hp->qk_norm == QN_QK_NORM_HEAD && h < n_heads; h++)
        qn_norm(e, norm, layer, x + h * d, d, x + h * d);
    /* Where there are more threads than heads, some have none. */
    if (n_heads == 0 || half == 0 || hp->layers[layer] & QN_LAYER_NO_ROPE) return;
    model->kernels.rope[hp->rope_pairs](x, n_heads, (size_t)d, half,
                                        qn_buffer_row(e, QN_BUFFER_COS, m) + set * half,
                                        qn_buffer_row(e, QN_BUFFER_SIN, m) + set * half);
}

void qn_store_heads(const struct qn_executor *e, int layer, enum qn_buffer_id id, float *row,
                    int h0, int h1, int m) {
    const struct qn_model *const model = e->model;
    const struct qn_hparams *const hp = &model->spec.hparams;
    const struct qn_layout *const l = &e->plan->layout;
    const struct qn_ubatch *const u = e->ubatch;
    const int d = hp->head_size;
    const bool is_k = id == QN_BUFFER_K;
    const enum qn_cache cache = e->plan->limits.cache;
    qn_kv_store_fn *const store =
        model->kernels.kv_store[is_k ? qn_cache_k(cache) : qn_cache_v(cache)];
    if (is_k) qn_finish_heads(e, QN_ROLE_ATTN_K_NORM, layer, row + h0 * d, h1 - h0, m);
    const int32_t *const table = e->blocks + (size_t)u->sequences[m] * (size_t)l->sequence_blocks;
    const size_t block = (size_t)table[u->positions[m] / QN_KV_BLOCK];
    for (int h = h0; h < h1; h++) {
        const size_t at = block * (size_t)hp->n_kv_heads + (size_t)h;
        store(is_k ? row + h * d : NULL, is_k ? NULL : row + h * d, d,
              u->positions[m] % QN_KV_BLOCK, qn_k_layer(e, layer) + at * l->k_block,
              qn_v_layer(e, layer) + at * l->v_block);
    }
}

struct qn_attention qn_attention_of(const struct qn_executor *e, int layer, int sequence, int h0,
                                    int h1) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const struct qn_layout *const l = &e->plan->layout;
    const size_t n_kv_heads = (size_t)hp->n_kv_heads;
    const size_t kv_head = (size_t)(h0 / (hp->n_heads / hp->n_kv_heads));
    return (struct qn_attention){
        .blocks = e->blocks + (size_t)sequence * (size_t)l->sequence_blocks,
        .k = qn_k_layer(e, layer) + kv_head * l->k_block,
        .v = qn_v_layer(e, layer) + kv_head * l->v_block,
        .k_stride = l->k_block * n_kv_heads,
        .v_stride = l->v_block * n_kv_heads,
        .scale = hp->attn_scale,
        .softcap = hp->attn_softcap,
        .g = h1 - h0,
        .d = hp->head_size,
        .window = qn_hparams_window(hp, layer),
    };
}
