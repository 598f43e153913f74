/* SPDX-License-Identifier: Apache-2.0 */
#include "models/model.h"

#include <stdlib.h>

#include "models/vocab_gguf.h"
#include "models/weights.h"

const void *qn_model_weight(const struct qn_model *model, enum qn_role role, int layer) {
    const struct qn_weight *const weight = qn_spec_weight(&model->spec, role, layer);
    return weight->tensor ? model->arena.data + weight->offset : NULL;
}

void qn_model_embedding(const struct qn_model *model, int32_t token, float *dst) {
    const struct qn_weight *const weight = qn_spec_weight(&model->spec, QN_ROLE_TOKEN_EMBD, 0);
    const size_t k = (size_t)weight->k;
    const enum qn_type type = weight->tensor->type;
    const char *const rows = weight->tensor->data;
    qn_type_to_float(type, rows + (size_t)token * qn_type_row_size(type, k), dst, k);
}

static enum qn_status make_rope(struct qn_model *model, struct qn_error *err) {
    const struct qn_hparams *const hparams = &model->spec.hparams;
    model->rope_frequency = malloc((size_t)hparams->n_rot / 2 * sizeof(double));
    if (!model->rope_frequency) return qn_fail(err, QN_NO_MEMORY, "no memory for rotations");
    const float *const factors = qn_model_weight(model, QN_ROLE_ROPE_FACTORS, 0);
    for (int i = 0; factors && i < hparams->n_rot / 2; i++)
        if (!(factors[i] > 0))
            return qn_fail(err, QN_BAD_FILE,
                           "tensor rope_freqs.weight has %g at %d; expected a "
                           "positive number",
                           (double)factors[i], i);
    model->rope_scale = qn_hparams_rope(hparams, factors, model->rope_frequency);
    return QN_OK;
}

static enum qn_status open_whole(struct qn_model *model, const struct qn_model_options *options,
                                 struct qn_error *err) {
    qn_kernels_select(options->bundles, &model->kernels);
    QN_TRY(qn_spec_read(model->gguf, model->kernels.tile_rows, &model->spec, err));
    QN_TRY(qn_vocab_gguf_read(model->gguf, &model->tokenizer, err));
    if ((int)qn_tokenizer_n_tokens(model->tokenizer) > model->spec.hparams.n_vocab)
        return qn_fail(err, QN_BAD_FILE,
                       "the vocabulary has %u tokens but token_embd.weight only "
                       "%d rows",
                       qn_tokenizer_n_tokens(model->tokenizer), model->spec.hparams.n_vocab);
    QN_TRY(qn_topology_read(NULL, &model->topology, err));
    const struct qn_pool_options pool = {.n_threads = options->n_threads, .pin = options->pin};
    QN_TRY(qn_pool_new(&model->topology, &pool, &model->pool, err));
    QN_TRY(qn_arena_open(model->spec.arena_size, options->huge_pages, &model->arena, err));
    QN_TRY(qn_weights_load(model, options->progress, options->progress_context, err));
    QN_TRY(qn_gguf_check_unchanged(model->gguf, err));
    return make_rope(model, err);
}

static enum qn_status open_file(const char *path, struct qn_model **out, struct qn_error *err) {
    *out = NULL;
    struct qn_model *const model = calloc(1, sizeof *model);
    if (!model) return qn_fail(err, QN_NO_MEMORY, "no memory for the model");
    const enum qn_status status = qn_gguf_open(path, &model->gguf, err);
    if (status == QN_OK)
        *out = model;
    else
        free(model);
    return status;
}

enum qn_status qn_model_open(const char *path, const struct qn_model_options *options,
                             struct qn_model **out, struct qn_error *err) {
    QN_TRY(open_file(path, out, err));
    const enum qn_status status = open_whole(*out, options, err);
    if (status == QN_OK) return QN_OK;
    qn_model_close(*out);
    *out = NULL;
    return status;
}

enum qn_status qn_model_open_vocab(const char *path, struct qn_model **out, struct qn_error *err) {
    QN_TRY(open_file(path, out, err));
    const enum qn_status status = qn_vocab_gguf_read((*out)->gguf, &(*out)->tokenizer, err);
    if (status == QN_OK) return QN_OK;
    qn_model_close(*out);
    *out = NULL;
    return status;
}

void qn_model_close(struct qn_model *model) {
    if (!model) return;
    free(model->rope_frequency);
    qn_pool_free(model->pool);
    qn_topology_free(&model->topology);
    qn_arena_close(&model->arena);
    qn_tokenizer_free(model->tokenizer);
    qn_spec_free(&model->spec);
    qn_gguf_close(model->gguf);
    free(model);
}
