/* SPDX-License-Identifier: Apache-2.0 */
#include "run/division.h"

#include "host/pool.h"

static int least_common_multiple(int a, int b) {
    int x = a, y = b;
    while (y) {
        const int rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

static struct qn_group group_at(const struct qn_plan *plan, const struct qn_step *step, int index) {
    const struct qn_spec *const spec = plan->spec;
    const bool together = step->after == QN_AFTER_ACTIVATE;
    struct qn_group group = {.first = index, .count = together ? step->n_products : 1};
    group.granule = spec->tile_rows;
    /* K and V are stored by whole heads; Q, the third, is not. */
    if (step->after == QN_AFTER_STORE_KV && index < 2)
        group.granule = least_common_multiple(spec->tile_rows, spec->hparams.head_size);
    if (step->products[index].out == QN_BUFFER_LOGITS)
        group.granule = least_common_multiple(spec->tile_rows, QN_LOGITS_BLOCK);
    for (int i = 0; i < group.count; i++) {
        const struct qn_weight *const w =
            qn_spec_weight(spec, step->products[index + i].weight, step->layer);
        group.n = w->n;
        group.cost += w->tile_size * (size_t)(group.granule / spec->tile_rows);
    }
    return group;
}

struct qn_line qn_line_of(const struct qn_plan *plan, const struct qn_step *step) {
    struct qn_line line = {.n_groups = step->after == QN_AFTER_ACTIVATE ? 1 : step->n_products};
    for (int i = 0; i < line.n_groups; i++) {
        struct qn_group *const group = &line.groups[i];
        *group = group_at(plan, step, i);
        group->base = line.size;
        line.size += (size_t)((group->n + group->granule - 1) / group->granule) * group->cost;
    }
    return line;
}

size_t qn_line_share(const struct qn_line *line, int thread, int n_threads) {
    return line->size * (size_t)thread / (size_t)n_threads;
}

int qn_group_row(const struct qn_group *group, size_t at) {
    if (at <= group->base) return 0;
    const size_t granule = (at - group->base + group->cost - 1) / group->cost;
    const size_t n = (size_t)((group->n + group->granule - 1) / group->granule);
    return granule < n ? (int)granule * group->granule : group->n;
}

/* ---- tiles ------------------------------------------------------------------------------ */

static void cut_step(const struct qn_plan *plan, const struct qn_step *step, int n_threads,
                     int *cuts) {
    const struct qn_spec *const spec = plan->spec;
    const struct qn_line line = qn_line_of(plan, step);
    const bool own_heads =
        step->meet == QN_MEET_HEADS && !qn_step_has_barrier(plan, step, 1, n_threads);
    for (int g = 0; g < line.n_groups; g++) {
        const struct qn_group *const group = &line.groups[g];
        for (int i = 0; i < group->count; i++) {
            const struct qn_weight *const w =
                qn_spec_weight(spec, step->products[group->first + i].weight, step->layer);
            int *const first = cuts + (size_t)(w - spec->weights) * (size_t)(n_threads + 1);
            for (int t = 0; t < n_threads; t++) {
                const int row = own_heads ? group->n / n_threads * t
                                          : qn_group_row(group, qn_line_share(&line, t, n_threads));
                first[t] = (row + spec->tile_rows - 1) / spec->tile_rows;
            }
        }
    }
}

enum qn_status qn_division_tiles(const struct qn_spec *spec, int n_threads, int *cuts,
                                 struct qn_error *err) {
    const struct qn_limits limits = {
        .n_ctx = 1, .n_ubatch = 1, .n_sequences = 1, .n_logits = 1, .n_threads = n_threads};
    struct qn_plan plan;
    QN_TRY(qn_plan_new(spec, &limits, &plan, err));
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        const int n = w->tile_size ? qn_weight_n_tiles(w, spec->tile_rows) : 0;
        for (int t = 0; t <= n_threads; t++)
            cuts[i * (size_t)(n_threads + 1) + (size_t)t] = qn_share(n, t, n_threads);
    }
    for (int s = 0; s < plan.n_steps; s++)
        if (plan.steps[s].op == QN_OP_MATMUL) cut_step(&plan, &plan.steps[s], n_threads, cuts);
    qn_plan_free(&plan);
    return QN_OK;
}
