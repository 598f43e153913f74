/* SPDX-License-Identifier: Apache-2.0 */
#include "run/tap.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "run/heads.h"
#include "run/work.h"

enum { NAME_SIZE = 64 };

static bool is_wanted(const struct qn_tap *tap, const char *name) {
    if (!tap->patterns) return true;
    for (const char *const *pattern = tap->patterns; *pattern; pattern++)
        if (fnmatch(*pattern, name, 0) == 0) return true;
    return false;
}

/* "layers.3.attn_out", or the bare name outside the layers; false when nobody wants it. */
static bool make_name(const struct qn_executor *e, int layer, const char *what,
                      char name[NAME_SIZE]) {
    if (layer < 0)
        snprintf(name, NAME_SIZE, "%s", what);
    else
        snprintf(name, NAME_SIZE, "layers.%d.%s", layer, what);
    return is_wanted(&e->tap, name);
}

/* All rows of a buffer, one for each token of the ubatch. */
static void show_buffer(const struct qn_executor *e, int layer, const char *what,
                        enum qn_buffer_id id, int columns) {
    char name[NAME_SIZE];
    if (!make_name(e, layer, what, name)) return;
    const struct quern_tensor tensor = {.name = name,
                                        .n_rows = (size_t)e->ubatch->m,
                                        .n_columns = (size_t)columns,
                                        .stride = qn_buffer_ld(e, id),
                                        .data = qn_buffer_row(e, id, 0),
                                        .positions = e->ubatch->positions,
                                        .sequences = e->ubatch->sequences};
    e->tap.call(e->tap.context, &tensor);
}

/* One row, of token m. */
static void show_row(const struct qn_executor *e, const char *name, int m, const float *row,
                     int columns) {
    const struct quern_tensor tensor = {.name = name,
                                        .n_rows = 1,
                                        .n_columns = (size_t)columns,
                                        .stride = (size_t)columns,
                                        .data = row,
                                        .positions = e->ubatch->positions + m,
                                        .sequences = e->ubatch->sequences + m};
    e->tap.call(e->tap.context, &tensor);
}

/* Normalized rows exist only in the forms that products read, so they are computed once more. */
static void show_norm(const struct qn_executor *e, const struct qn_step *step, const char *what) {
    char name[NAME_SIZE];
    if (!make_name(e, step->layer, what, name)) return;
    const int n = step->rows == QN_ROWS_OUTPUTS ? e->ubatch->n_outputs : e->ubatch->m;
    const int columns = e->model->spec.hparams.n_embd;
    for (int i = 0; i < n; i++) {
        const int m = step->rows == QN_ROWS_OUTPUTS ? e->ubatch->outputs[i] : i;
        const float *row = qn_buffer_row(e, step->in, m);
        if (step->norm != QN_ROLE_COUNT) {
            float *const normalized = qn_norm_row(e, 0);
            qn_norm(e, step->norm, step->layer, row, columns, normalized);
            row = normalized;
        }
        show_row(e, name, m, row, columns);
    }
}

static void show_logits(const struct qn_executor *e) {
    char name[NAME_SIZE];
    if (!make_name(e, -1, "logits", name)) return;
    for (int i = 0; i < e->ubatch->n_outputs; i++)
        show_row(e, name, e->ubatch->outputs[i],
                 qn_buffer_row(e, QN_BUFFER_LOGITS, e->ubatch->first_logits + i),
                 e->model->spec.hparams.n_vocab);
}

/* The stream is whole where the layer changes. */
static void show_stream(const struct qn_executor *e, const struct qn_step *step) {
    const struct qn_step *const next = step + 1;
    if (next == e->plan->steps + e->plan->n_steps || next->layer == step->layer) return;
    show_buffer(e, step->layer, step->layer < 0 ? "embed" : "out", QN_BUFFER_X,
                e->model->spec.hparams.n_embd);
}

static void show_prepared(const struct qn_executor *e, const struct qn_step *step) {
    if (step->in != QN_BUFFER_X || step->rows == QN_ROWS_SLOTS) return;
    if (step->layer < 0)
        show_norm(e, step, "final_norm");
    else if (step->norm == QN_ROLE_ATTN_NORM)
        show_norm(e, step, "attn_norm");
    else if (step->norm == QN_ROLE_FFN_NORM)
        show_norm(e, step, "ffn_norm");
}

static void show_product(const struct qn_executor *e, const struct qn_step *step) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int q = hp->n_heads * hp->head_size, kv = hp->n_kv_heads * hp->head_size;
    for (int i = 0; i < step->n_products; i++) switch (step->products[i].weight) {
        case QN_ROLE_ATTN_Q:
            show_buffer(e, step->layer, "q", QN_BUFFER_Q, q);
            break;
        case QN_ROLE_ATTN_K:
            show_buffer(e, step->layer, "k", QN_BUFFER_K, kv);
            break;
        case QN_ROLE_ATTN_V:
            show_buffer(e, step->layer, "v", QN_BUFFER_V, kv);
            break;
        case QN_ROLE_ROUTER:
            show_buffer(e, step->layer, "router", QN_BUFFER_ROUTER, hp->n_experts);
            break;
        case QN_ROLE_OUTPUT:
            show_logits(e);
            break;
        default:
            break;
        }
}

void qn_tap_step(const struct qn_executor *e, const struct qn_step *step) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int q = hp->n_heads * hp->head_size, kv = hp->n_kv_heads * hp->head_size;
    switch (step->op) {
    case QN_OP_PREPARE:
        show_prepared(e, step);
        break;
    case QN_OP_MATMUL:
        show_product(e, step);
        break;
    case QN_OP_STORE_KV:
        show_buffer(e, step->layer, "k_rope", QN_BUFFER_K, kv);
        break;
    case QN_OP_ATTENTION:
        show_buffer(e, step->layer, "q_rope", QN_BUFFER_Q, q);
        show_buffer(e, step->layer, "attn", QN_BUFFER_ATTN, q);
        break;
    case QN_OP_RESIDUAL:
        show_buffer(e, step->layer, strcmp(step->name, "attn_add") == 0 ? "attn_out" : "mlp_out",
                    step->in, hp->n_embd);
        break;
    default:
        break;
    }
    show_stream(e, step);
}
