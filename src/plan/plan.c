/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "plan/plan_internal.h"

static const char *const kv_names[QN_KV_COUNT] = {
    [QN_KV_F16] = "f16", [QN_KV_F32] = "f32", [QN_KV_Q8_0] = "q8_0", [QN_KV_I16] = "i16"};

bool qn_kv_parse(const char *name, enum qn_kv *kv) {
    for (int i = 0; i < QN_KV_COUNT; i++) {
        if (strcmp(name, kv_names[i]) != 0) continue;
        *kv = (enum qn_kv)i;
        return true;
    }
    return false;
}

const char *qn_kv_name(enum qn_kv kv) {
    return kv_names[kv];
}

const char *qn_cache_name(enum qn_cache cache) {
    static const char *const names[QN_CACHE_COUNT] = {
        [QN_CACHE_F16] = "f16",           [QN_CACHE_F16_F32] = "f16/f32",
        [QN_CACHE_F16_Q8_0] = "f16/q8_0", [QN_CACHE_F16_I16] = "f16/i16",
        [QN_CACHE_F32_F16] = "f32/f16",   [QN_CACHE_F32] = "f32",
        [QN_CACHE_F32_Q8_0] = "f32/q8_0", [QN_CACHE_F32_I16] = "f32/i16",
        [QN_CACHE_Q8_0_F16] = "q8_0/f16", [QN_CACHE_Q8_0_F32] = "q8_0/f32",
        [QN_CACHE_Q8_0] = "q8_0",         [QN_CACHE_Q8_0_I16] = "q8_0/i16",
        [QN_CACHE_I16_F16] = "i16/f16",   [QN_CACHE_I16_F32] = "i16/f32",
        [QN_CACHE_I16_Q8_0] = "i16/q8_0", [QN_CACHE_I16] = "i16",
    };
    return names[cache];
}

const char *qn_op_name(enum qn_op op) {
    static const char *const names[QN_OP_COUNT] = {
        [QN_OP_EMBED] = "embed",         [QN_OP_PREPARE] = "prepare",
        [QN_OP_MATMUL] = "matmul",       [QN_OP_STORE_KV] = "store_kv",
        [QN_OP_ATTENTION] = "attention", [QN_OP_RESIDUAL] = "residual",
        [QN_OP_NORM] = "norm",           [QN_OP_ROUTE] = "route",
        [QN_OP_NUMBER] = "number",
    };
    return names[op];
}

enum qn_buffer_id qn_act_buffer(enum qn_act act) {
    static const enum qn_buffer_id ids[QN_ACT_COUNT] = {
        [QN_ACT_F32] = QN_BUFFER_ACT_F32,   [QN_ACT_Q8] = QN_BUFFER_ACT_Q8,
        [QN_ACT_Q8X2] = QN_BUFFER_ACT_Q8X2, [QN_ACT_BF16X2] = QN_BUFFER_ACT_BF16X2,
        [QN_ACT_BF16] = QN_BUFFER_ACT_BF16, [QN_ACT_I16] = QN_BUFFER_ACT_I16};
    return ids[act];
}

static enum qn_status check_limits(const struct qn_spec *spec, const struct qn_limits *limits,
                                   struct qn_error *err) {
    const struct {
        const char *name;
        int value, max;
    } checks[] = {{"context", limits->n_ctx, 1 << 27},
                  {"ubatch", limits->n_ubatch, 1 << 16},
                  {"sequences", limits->n_sequences, 1 << 12},
                  {"logits", limits->n_logits, 1 << 16},
                  {"threads", limits->n_threads, 1 << 10}};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i].value < 1 || checks[i].value > checks[i].max)
            return qn_fail(err, QN_BAD_ARGUMENT, "%s is %d; expected 1 to %d", checks[i].name,
                           checks[i].value, checks[i].max);
    const struct qn_hparams *const h = &spec->hparams;
    if (h->learned_positions && limits->n_ctx > h->n_ctx_train)
        return qn_fail(err, QN_BAD_ARGUMENT,
                       "context is %d; expected 1 to %d, the positions that the model has learned",
                       limits->n_ctx, h->n_ctx_train);
    const bool in_32s =
        qn_cache_k(limits->cache) == QN_KV_Q8_0 || qn_cache_v(limits->cache) == QN_KV_Q8_0;
    if (in_32s && spec->hparams.head_size % 32 != 0)
        return qn_fail(err, QN_UNSUPPORTED,
                       "KV cache type q8_0 needs a head size that is a multiple "
                       "of 32; this model's is %d",
                       spec->hparams.head_size);
    return QN_OK;
}

enum qn_status qn_plan_new(const struct qn_spec *spec, const struct qn_limits *limits,
                           struct qn_plan *plan, struct qn_error *err) {
    *plan = (struct qn_plan){.spec = spec, .limits = *limits};
    QN_TRY(check_limits(spec, limits, err));
    qn_plan_add_steps(plan);
    plan->steps = calloc((size_t)plan->n_steps, sizeof *plan->steps);
    if (!plan->steps) return qn_fail(err, QN_NO_MEMORY, "no memory for the plan");
    qn_plan_add_steps(plan);
    const enum qn_status status = qn_plan_lay_out(plan, err);
    if (status != QN_OK) qn_plan_free(plan);
    return status;
}

void qn_plan_free(struct qn_plan *plan) {
    free(plan->steps);
    plan->steps = NULL;
    plan->n_steps = 0;
}
