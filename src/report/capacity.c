/* SPDX-License-Identifier: Apache-2.0 */
#include "report/capacity.h"

size_t qn_capacity_needed(const struct qn_plan *plan) {
    const struct qn_layout *const l = &plan->layout;
    return plan->spec->arena_size + l->kv_size + l->buffer_size +
           l->scratch_size * (size_t)plan->limits.n_threads;
}

static bool fits(const struct qn_plan *plan, enum qn_cache cache, int n_ctx, double memory) {
    struct qn_limits limits = plan->limits;
    struct qn_plan other;
    limits.n_ctx = n_ctx;
    limits.cache = cache;
    if (qn_plan_new(plan->spec, &limits, &other, NULL) != QN_OK) return false;
    const bool small = (double)qn_capacity_needed(&other) <= memory;
    qn_plan_free(&other);
    return small;
}

int qn_capacity_context(const struct qn_plan *plan, enum qn_cache cache, double memory) {
    int fitting = 0, too_long = QN_CAPACITY_MAX + 1;
    while (too_long - fitting > 1) {
        const int middle = fitting + (too_long - fitting) / 2;
        if (fits(plan, cache, middle, memory))
            fitting = middle;
        else
            too_long = middle;
    }
    return fitting;
}
