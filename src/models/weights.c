/* SPDX-License-Identifier: Apache-2.0 */
#include "models/weights.h"

#include <stdatomic.h>

#include "kernels/pack.h"

/* A tensor's pages in the file are given back when thread 0 is this many weights ahead: by then the
 * other threads have read it (a page that one still needs is only read again). */
enum { RELEASE_LAG = 4 };

struct load {
    struct qn_model *model;
    bool (*progress)(void *context, double done);
    void *context;
    atomic_bool stop;
};

static void load_matrix(const struct qn_model *model, const struct qn_weight *weight, int thread) {
    const int rows = model->spec.tile_rows, n_threads = qn_pool_n_threads(model->pool);
    const int n_tiles = qn_weight_n_tiles(weight, rows);
    const int first = qn_share(n_tiles, thread, n_threads),
              end = qn_share(n_tiles, thread + 1, n_threads);
    if (first == end) return;
    const struct qn_tensor *const tensor = weight->tensor;
    const size_t row_size = qn_type_row_size(tensor->type, (size_t)weight->k);
    const int n1 = end * rows < weight->n ? end * rows : weight->n;
    qn_pack_rows(tensor->type, rows, weight->k, tensor->data, row_size, weight->n, first * rows, n1,
                 model->arena.data + weight->offset + (size_t)first * weight->tile_size);
}

static void load_vector(const struct qn_model *model, const struct qn_weight *weight) {
    float *const dst = (float *)(void *)(model->arena.data + weight->offset);
    qn_type_to_float(weight->tensor->type, weight->tensor->data, dst, (size_t)weight->k);
}

static void load_share(void *context, int thread) {
    struct load *const load = context;
    struct qn_model *const model = load->model;
    const struct qn_spec *const spec = &model->spec;
    size_t done = 0;
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const weight = &spec->weights[i];
        if (!weight->tensor || i == QN_ROLE_TOKEN_EMBD) continue;
        if (weight->tile_size)
            load_matrix(model, weight, thread);
        else if (thread == 0)
            load_vector(model, weight);
        if (thread == 0 && i >= RELEASE_LAG && spec->weights[i - RELEASE_LAG].tensor)
            qn_gguf_release(model->gguf, spec->weights[i - RELEASE_LAG].tensor->data,
                            spec->weights[i - RELEASE_LAG].tensor->size);
        done += weight->tile_size * (size_t)qn_weight_n_tiles(weight, spec->tile_rows);
        if (thread == 0 && load->progress &&
            !load->progress(load->context, (double)done / (double)spec->arena_size))
            atomic_store_explicit(&load->stop, true, memory_order_relaxed);
        if (atomic_load_explicit(&load->stop, memory_order_relaxed)) return;
    }
}

enum qn_status qn_weights_load(struct qn_model *model, bool (*progress)(void *, double),
                               void *context, struct qn_error *err) {
    struct load load = {.model = model, .progress = progress, .context = context};
    qn_pool_run(model->pool, load_share, &load);
    if (atomic_load(&load.stop)) return qn_fail(err, QN_CANCELLED, "loading was stopped");
    /* The file is not read again but for single embedding rows. */
    for (size_t i = 0; i < qn_gguf_n_tensors(model->gguf); i++)
        qn_gguf_release(model->gguf, qn_gguf_tensor_at(model->gguf, i)->data,
                        qn_gguf_tensor_at(model->gguf, i)->size);
    return QN_OK;
}
