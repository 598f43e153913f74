/* SPDX-License-Identifier: Apache-2.0 */
#include "run/experts.h"

#include <string.h>

#include "run/work.h"

/* A token's choice: int32 [used] experts, float [used] weights. */
static int32_t *route_row(const struct qn_executor *e, int thread, int m) {
    if (e->ubatch->m == 1) return qn_scratch(e, thread, e->plan->layout.route);
    return (int32_t *)(void *)qn_buffer_row(e, QN_BUFFER_ROUTES, m);
}

static const float *weights_of(const struct qn_executor *e, const int32_t *route) {
    return (const float *)(const void *)(route + e->model->spec.hparams.n_experts_used);
}

struct qn_slots qn_experts_slots(const struct qn_executor *e, int thread) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    return qn_slots_at(qn_scratch(e, thread, e->plan->layout.slots), e->ubatch->m, hp->n_experts,
                       hp->n_experts_used);
}

static void route_token(const struct qn_executor *e, int thread, int m) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    float *const p = qn_norm_row(e, thread);
    int32_t *const route = route_row(e, thread, m);
    memcpy(p, qn_buffer_row(e, QN_BUFFER_ROUTER, m), (size_t)hp->n_experts * sizeof *p);
    e->model->kernels.softmax[0](p, hp->n_experts);
    qn_slots_choose(p, hp->n_experts, hp->n_experts_used, hp->renormalize_experts, route,
                    (float *)(void *)(route + hp->n_experts_used));
}

int qn_experts_route(const struct qn_executor *e, int thread) {
    const int m = e->ubatch->m, n_threads = e->n_threads;
    const int first = m == 1 ? 0 : qn_share(m, thread, n_threads);
    const int end = m == 1 ? 1 : qn_share(m, thread + 1, n_threads);
    for (int token = first; token < end; token++) route_token(e, thread, token);
    return end - first;
}

/* The plan counts the weights of a single token's experts; several tokens may read more. */
static void count_bytes(const struct qn_executor *e, const struct qn_step *step,
                        const struct qn_slots *slots) {
    static const enum qn_role roles[] = {QN_ROLE_EXPERTS_GATE, QN_ROLE_EXPERTS_UP,
                                         QN_ROLE_EXPERTS_DOWN};
    const struct qn_spec *const spec = &e->model->spec;
    int more = -spec->hparams.n_experts_used;
    for (int x = 0; x < spec->hparams.n_experts; x++)
        more += slots->starts[x + 1] > slots->starts[x];
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        *e->bytes_read += (uint64_t)more * qn_spec_weight(spec, roles[i], step->layer)->part_size;
}

void qn_experts_number(const struct qn_executor *e, const struct qn_step *step, int thread) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const struct qn_slots slots = qn_experts_slots(e, thread);
    qn_slots_number(route_row(e, thread, 0), e->plan->buffers[QN_BUFFER_ROUTES].row_size / 4,
                    e->ubatch->m, hp->n_experts, hp->n_experts_used, &slots);
    if (thread == 0) count_bytes(e, step, &slots);
}

void qn_experts_combine(const struct qn_executor *e, const struct qn_step *step, int n0, int n1,
                        int thread) {
    const struct qn_kernels *const kernels = &e->model->kernels;
    const int n_used = e->model->spec.hparams.n_experts_used, n = n1 - n0;
    const struct qn_slots slots = qn_experts_slots(e, thread);
    float *const sum = qn_norm_row(e, thread);
    for (int m = 0; m < e->ubatch->m; m++) {
        const float *const weights = weights_of(e, route_row(e, thread, m));
        float *const out = qn_buffer_row(e, step->sum, m) + n0;
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int i = 0; i < n_used; i++) {
            const int slot = slots.places[m * n_used + i];
            kernels->add_scaled[0](weights[i], qn_buffer_row(e, QN_BUFFER_SLOTS, slot) + n0, n,
                                   sum);
        }
        if (step->sum == QN_BUFFER_X)
            kernels->add[0](sum, n, out);
        else
            memcpy(out, sum, (size_t)n * sizeof *sum);
    }
}
