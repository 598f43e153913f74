/* SPDX-License-Identifier: Apache-2.0 */
#include "models/model.h"

#include <limits.h>
#include <stdlib.h>

#include "host/limits.h"
#include "models/pack_cache.h"
#include "models/vocab.h"
#include "models/weights.h"

const void *qn_model_weight(const struct qn_model *model, enum qn_role role, int layer) {
    const struct qn_weight *const weight = qn_spec_weight(&model->spec, role, layer);
    return weight->n_parts ? model->arena.data + weight->offset : NULL;
}

const char *qn_model_numa(const struct qn_model *model) {
    const bool refused = model->numa == QN_NUMA_INTERLEAVE && !model->interleaved;
    return refused ? "not interleaved" : qn_numa_name(model->numa);
}

void qn_model_row(const struct qn_model *model, enum qn_role role, int row, float *dst) {
    const struct qn_weight *const weight = qn_spec_weight(&model->spec, role, 0);
    const struct qn_tensor *const tensor = weight->sources->tensor;
    const size_t k = (size_t)weight->k, row_size = qn_type_row_size(tensor->type, k);
    qn_type_to_float(tensor->type, (const char *)tensor->data + (size_t)row * row_size, dst, k);
}

/* Divisors of rotation frequencies that come as a tensor. */
static enum qn_status check_rope_factors(const struct qn_model *model, struct qn_error *err) {
    static const enum qn_role roles[] = {QN_ROLE_ROPE_FACTORS, QN_ROLE_ROPE_LONG,
                                         QN_ROLE_ROPE_SHORT};
    for (size_t r = 0; r < sizeof roles / sizeof *roles; r++) {
        const float *const factors = qn_model_weight(model, roles[r], 0);
        for (int i = 0; factors && i < model->spec.hparams.n_rot / 2; i++)
            if (!(factors[i] > 0))
                return qn_fail(err, QN_BAD_FILE,
                               "tensor %s has %g at %d; expected a positive number",
                               qn_role_infos[roles[r]].gguf, (double)factors[i], i);
    }
    return QN_OK;
}

/* As many workers as the larger of the two needs. */
static enum qn_status make_pool(struct qn_model *model, const struct qn_model_options *options,
                                struct qn_error *err) {
    QN_TRY(qn_topology_read(NULL, &model->topology, err));
    if (options->numa == QN_NUMA_ISOLATE)
        qn_topology_isolate(&model->topology, qn_topology_here(&model->topology));
    model->numa = options->numa;
    const int n = options->n_threads ? options->n_threads : model->topology.n_default;
    const int n_batch = options->n_threads_batch ? options->n_threads_batch : n;
    const struct qn_pool_options pool = {
        .n_threads = n > n_batch ? n : n_batch, .spin_us = options->spin_us, .pin = options->pin};
    model->n_threads = n;
    model->n_threads_batch = n_batch;
    return qn_pool_new(&model->topology, &pool, &model->pool, err);
}

/* Threads that only evaluate prompts help to pack where it does not matter whose memory is near. */
static bool packs_by_decode(const struct qn_model *model, const struct qn_model_options *options) {
    const int n = qn_pool_n_threads(model->pool);
    return options->divide && options->numa != QN_NUMA_INTERLEAVE &&
           (n == model->n_threads || qn_topology_n_nodes(&model->topology, n) > 1);
}

static enum qn_status take_cuts(const struct qn_model *model,
                                const struct qn_model_options *options, int **cuts,
                                struct qn_error *err) {
    *cuts = calloc(model->spec.n_weights * ((size_t)model->n_threads + 1), sizeof **cuts);
    if (!*cuts) return qn_fail(err, QN_NO_MEMORY, "no memory to divide the weights");
    const enum qn_status status = options->divide(&model->spec, model->n_threads, *cuts, err);
    if (status != QN_OK) free(*cuts);
    return status;
}

/* A huge page would put both sides of a seam on one node: of a matrix of a few megabytes, half. */
static void split_pages(const struct qn_model *model, const int *cuts) {
    const struct qn_spec *const spec = &model->spec;
    const size_t n = qn_weights_seams(spec, &model->topology, model->n_threads, cuts, NULL, 0);
    size_t *const seams = n ? calloc(n, sizeof *seams) : NULL;
    if (!seams) return;
    qn_weights_seams(spec, &model->topology, model->n_threads, cuts, seams, n);
    for (size_t i = 0; i < n; i++) qn_arena_split(&model->arena, seams[i]);
    free(seams);
}

static enum qn_status pack_weights(struct qn_model *model, const struct qn_model_options *options,
                                   struct qn_error *err) {
    QN_TRY(qn_limits_check_memory("", model->spec.arena_size, err));
    QN_TRY(qn_arena_open(model->spec.arena_size, options->huge_pages, &model->arena, err));
    if (options->numa == QN_NUMA_INTERLEAVE)
        model->interleaved =
            qn_topology_interleave(&model->topology, model->arena.data, model->arena.size);
    int *cuts = NULL;
    if (packs_by_decode(model, options)) {
        QN_TRY(take_cuts(model, options, &cuts, err));
        split_pages(model, cuts);
    }
    const enum qn_status status =
        qn_weights_load(model, cuts, options->progress, options->progress_context, err);
    free(cuts);
    return status == QN_OK ? qn_checkpoint_check_unchanged(model->checkpoint, err) : status;
}

/* What is wrong with the cache costs time, not the model: it is only remembered. That there is
 * nothing in it yet is not wrong. */
static enum qn_status load_weights(struct qn_model *model, const char *path,
                                   const struct qn_model_options *options, struct qn_error *err) {
    struct qn_error *const why = &model->uncached;
    struct qn_pack_cache cache;
    if (!options->pack_cache ||
        qn_pack_cache_find(options->pack_cache, path, &model->spec, &cache, why) != QN_OK)
        return pack_weights(model, options, err);
    const struct qn_packed_reader reader = {.pool = model->pool,
                                            .huge_pages = options->huge_pages,
                                            .progress = options->progress,
                                            .progress_context = options->progress_context};
    const enum qn_status status =
        qn_packed_file_open(cache.path, &cache.key, &reader, &model->arena, why);
    model->cached = status == QN_OK;
    if (status == QN_OK) return QN_OK;
    if (status == QN_CANCELLED) return qn_fail(err, status, "%s", why->message);
    if (status == QN_NOT_FOUND) *why = (struct qn_error){0};
    QN_TRY(pack_weights(model, options, err));
    qn_pack_cache_keep(&cache, model->pool, model->arena.data, why);
    return QN_OK;
}

static enum qn_status open_whole(struct qn_model *model, const char *path,
                                 const struct qn_model_options *options, struct qn_error *err) {
    qn_kernels_select(options->bundles, &model->kernels);
    QN_TRY(qn_spec_read(model->checkpoint, &model->kernels, options->quantize, &model->spec, err));
    const int n_rows = model->spec.hparams.n_vocab;
    QN_TRY(qn_vocab_read(model->checkpoint, n_rows, &model->tokenizer, err));
    if ((int)qn_tokenizer_n_tokens(model->tokenizer) > n_rows)
        return qn_fail(err, QN_BAD_FILE,
                       "the vocabulary has %u tokens but the embedding only %d rows",
                       qn_tokenizer_n_tokens(model->tokenizer), n_rows);
    QN_TRY(make_pool(model, options, err));
    QN_TRY(load_weights(model, path, options, err));
    return check_rope_factors(model, err);
}

static enum qn_status open_files(const char *path, const struct qn_model_options *options,
                                 struct qn_model *model, struct qn_error *err) {
    if (options) {
        QN_TRY(qn_checkpoint_open(path, &model->checkpoint, err));
        return open_whole(model, path, options, err);
    }
    QN_TRY(qn_checkpoint_open_vocab(path, &model->checkpoint, err));
    return qn_vocab_read(model->checkpoint, INT_MAX, &model->tokenizer, err);
}

/* options: NULL for the vocabulary alone. */
static enum qn_status open_model(const char *path, const struct qn_model_options *options,
                                 struct qn_model **out, struct qn_error *err) {
    *out = NULL;
    struct qn_model *const model = calloc(1, sizeof *model);
    if (!model) return qn_fail(err, QN_NO_MEMORY, "no memory for the model");
    const enum qn_status status = open_files(path, options, model, err);
    if (status == QN_OK)
        *out = model;
    else
        qn_model_close(model);
    return status;
}

enum qn_status qn_model_open(const char *path, const struct qn_model_options *options,
                             struct qn_model **out, struct qn_error *err) {
    return open_model(path, options, out, err);
}

enum qn_status qn_model_open_vocab(const char *path, struct qn_model **out, struct qn_error *err) {
    return open_model(path, NULL, out, err);
}

void qn_model_close(struct qn_model *model) {
    if (!model) return;
    qn_pool_free(model->pool);
    qn_topology_free(&model->topology);
    qn_arena_close(&model->arena);
    qn_tokenizer_free(model->tokenizer);
    qn_spec_free(&model->spec);
    qn_checkpoint_close(model->checkpoint);
    free(model);
}
