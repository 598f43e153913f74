/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "report/plan_files.h"

int qn_plan_typical_layer(const struct qn_plan *plan) {
    int best = -1, most = 0;
    for (int s = 0, n = 0; s < plan->n_steps; s++) {
        const int layer = plan->steps[s].layer;
        n = s > 0 && plan->steps[s - 1].layer == layer ? n + 1 : 1;
        if (layer < 0 || n <= most) continue;
        most = n;
        best = layer;
    }
    return best;
}

static json_t *names_of(const struct qn_plan *plan, uint32_t buffers) {
    json_t *const list = json_array();
    for (int b = 0; b < QN_BUFFER_COUNT; b++)
        if (buffers >> b & 1 && plan->buffers[b].n_rows > 0 && plan->buffers[b].row_size > 0)
            json_array_append_new(list, json_string(plan->buffers[b].name));
    return list;
}

static json_t *weights_json(const struct qn_plan *plan, const struct qn_step *step) {
    json_t *const list = json_array();
    for (int i = 0; i < step->n_products; i++) {
        const struct qn_weight *const w =
            qn_spec_weight(plan->spec, step->products[i].weight, step->layer);
        json_array_append_new(list, json_pack("{s:i, s:i, s:s}", "outputs", w->n, "inputs", w->k,
                                              "type", qn_type_infos[w->packed].name));
    }
    return list;
}

static json_t *step_json(const struct qn_plan *plan, const struct qn_plan_times *times, int s,
                         uint32_t busy) {
    const struct qn_step *const step = &plan->steps[s];
    json_t *const object =
        json_pack("{s:i, s:i, s:s, s:s, s:s, s:o, s:I, s:I, s:b, s:o}", "step", s, "layer",
                  step->layer, "module", qn_module_name(qn_plan_module(plan, s)), "name",
                  step->name, "op", qn_op_name(step->op), "weights", weights_json(plan, step),
                  "bytes", (json_int_t)step->bytes, "flops", (json_int_t)step->flops, "barrier",
                  qn_step_has_decode_barrier(plan, step), "buffers", names_of(plan, busy));
    if (times) {
        json_object_set_new(object, "decode_us", json_real(1e-3 * times->decode[s]));
        json_object_set_new(object, "prefill_us", json_real(1e-3 * times->prefill[s]));
    }
    return object;
}

static json_t *buffers_json(const struct qn_plan *plan) {
    json_t *const list = json_array();
    for (int b = 0; b < QN_BUFFER_COUNT; b++) {
        const struct qn_buffer *const buffer = &plan->buffers[b];
        if (buffer->n_rows == 0 || buffer->row_size == 0) continue;
        json_array_append_new(
            list, json_pack("{s:s, s:i, s:I, s:I, s:I}", "name", buffer->name, "rows",
                            buffer->n_rows, "row_bytes", (json_int_t)buffer->row_size, "offset",
                            (json_int_t)(buffer->offset - plan->layout.buffer_offset), "bytes",
                            (json_int_t)(buffer->row_size * (size_t)buffer->n_rows)));
    }
    return list;
}

static json_t *memory_json(const struct qn_plan *plan) {
    const struct qn_layout *const l = &plan->layout;
    return json_pack("{s:I, s:I, s:I, s:I, s:I}", "weights_bytes",
                     (json_int_t)plan->spec->arena_size, "kv_cache_bytes", (json_int_t)l->kv_size,
                     "buffers_bytes", (json_int_t)l->buffer_size, "scratch_bytes",
                     (json_int_t)(l->scratch_size * (size_t)plan->limits.n_threads), "total_bytes",
                     (json_int_t)qn_capacity_needed(plan));
}

static json_t *capacity_json(const struct qn_plan *plan, const struct qn_plan_about *about) {
    json_t *const contexts = json_object();
    for (enum qn_cache cache = 0; cache < QN_CACHE_COUNT; cache++)
        if (qn_plan_compares(plan, cache))
            json_object_set_new(contexts, qn_cache_name(cache),
                                json_integer(about->contexts[cache]));
    const bool fits = (double)qn_capacity_needed(plan) <= about->memory;
    return json_pack("{s:I, s:b, s:o, s:o}", "memory_bytes", (json_int_t)about->memory,
                     "of_control_group", about->limited, "fits",
                     about->memory > 0 ? json_boolean(fits) : json_null(), "largest_context",
                     contexts);
}

static json_t *prediction_json(const struct qn_plan_about *about) {
    const struct qn_plan_times *const t = about->times;
    if (!t) return json_null();
    return json_pack("{s:i, s:f, s:i, s:f, s:s, s:f, s:f, s:f, s:i, s:b}", "decode_position",
                     t->position, "decode_us", 1e-3 * t->decode_sum, "prefill_tokens", t->n_prefill,
                     "prefill_us", 1e-3 * t->prefill_sum, "weights_from",
                     qn_level_name(about->roof->weights), "gb_per_s",
                     about->roof->limits.read[about->roof->weights].best, "int8_gop_per_s",
                     about->roof->limits.peak[QN_PEAK_INT8].best, "f32_gflop_per_s",
                     about->roof->limits.peak[QN_PEAK_F32].best, "threads",
                     about->roof->limits.n_threads, "noisy", about->roof->noisy);
}

json_t *qn_plan_json(const struct qn_plan *plan, const struct qn_plan_about *about) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    uint32_t *const busy = calloc((size_t)plan->n_steps, sizeof *busy);
    if (!busy) return NULL;
    qn_plan_busy(plan, busy);
    int barriers = 0;
    json_t *const steps = json_array();
    for (int s = 0; s < plan->n_steps; s++) {
        barriers += qn_step_has_decode_barrier(plan, &plan->steps[s]);
        json_array_append_new(steps, step_json(plan, about->times, s, busy[s]));
    }
    free(busy);
    return json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:s, s:I, s:i, s:o, s:o, s:o, s:o, "
                     "s:o}",
                     "file", about->file, "family", plan->spec->family->name, "isa", about->isa,
                     "context", plan->limits.n_ctx, "trained_context", h->n_ctx_train, "ubatch",
                     plan->limits.n_ubatch, "threads", plan->limits.n_threads, "tile_rows",
                     plan->spec->tile_rows, "kv", qn_cache_name(plan->limits.cache), "decode_bytes",
                     (json_int_t)plan->spec->decode_size, "barriers", barriers, "memory",
                     memory_json(plan), "capacity", capacity_json(plan, about), "prediction",
                     prediction_json(about), "buffers", buffers_json(plan), "steps", steps);
}
