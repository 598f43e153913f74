/* SPDX-License-Identifier: Apache-2.0 */
#include "report/roofline.h"

#include <math.h>
#include <string.h>

/* The nearest caches that hold all of it, half a core's L2 being left to rows. */
static enum qn_level home_of(size_t size, const struct qn_machine_limits *limits) {
    const struct qn_caches caches = qn_machine_caches();
    const size_t l2 = caches.l2 / 2 * (size_t)limits->n_threads;
    const enum qn_level level = size <= l2          ? QN_LEVEL_L2
                                : size <= caches.l3 ? QN_LEVEL_L3
                                                    : QN_LEVEL_MEMORY;
    const bool faster = limits->read[level].best > limits->read[QN_LEVEL_MEMORY].best;
    return faster ? level : QN_LEVEL_MEMORY;
}

struct qn_roof qn_roof_of(const struct qn_machine_limits *limits, size_t decode_size) {
    const enum qn_level weights = home_of(decode_size, limits);
    return (struct qn_roof){.limits = *limits,
                            .weights = weights,
                            .noisy = qn_rate_is_noisy(&limits->read[weights]) ||
                                     qn_rate_is_noisy(&limits->peak[QN_PEAK_INT8])};
}

const char *qn_bound_name(enum qn_bound bound) {
    static const char *const names[] = {"memory", "compute", "sync"};
    return names[bound];
}

/* Rows of the stream were written a moment ago, by this core or its neighbours. */
static enum qn_level level_of(const struct qn_roof *roof, const struct qn_tag *tag) {
    const bool streams = strcmp(tag->op, "matmul") == 0 || strcmp(tag->op, "attention") == 0;
    return streams ? roof->weights : QN_LEVEL_L2;
}

struct qn_roofline qn_roofline_of(const struct qn_profile *profile, const struct qn_roof *roof,
                                  const struct qn_table *table, int row) {
    const struct qn_group *const g = &table->rows[row].group;
    const struct qn_tag *const tag = &profile->tags[table->rows[row].step];
    const double passes = table->n_passes > 0 ? (double)table->n_passes : 1;
    const double bytes = g->cost.bytes / passes, flops = g->cost.flops / passes;
    const enum qn_level level = level_of(roof, tag);
    /* 10^9 a second are 1 a nanosecond. */
    const double read = roof->limits.read[level].best, peak = roof->limits.peak[tag->peak].best;
    const double by_bytes = read > 0 ? bytes / read : 0, by_flops = peak > 0 ? flops / peak : 0;
    struct qn_roofline r = {.ns = g->wall.p50,
                            .intensity = bytes > 0 ? flops / bytes : 0,
                            .least_ns = fmax(by_bytes, by_flops),
                            .bound = by_flops > by_bytes ? QN_BOUND_COMPUTE : QN_BOUND_MEMORY,
                            .level = level};
    if (r.ns > 0) {
        r.gb_s = bytes / r.ns;
        r.gop_s = flops / r.ns;
        r.part = r.least_ns / r.ns;
    }
    if (qn_group_wait_share(g) * r.ns > r.least_ns) r.bound = QN_BOUND_SYNC;
    return r;
}

enum qn_status qn_roofline_pass(const struct qn_profile *profile, const struct qn_roof *roof,
                                enum qn_phase phase, double *least_ns, struct qn_error *err) {
    struct qn_table steps;
    *least_ns = 0;
    QN_TRY(qn_profile_table(profile, phase, QN_BY_STEP, &steps, err));
    for (int r = 0; r < steps.n; r++)
        *least_ns += qn_roofline_of(profile, roof, &steps, r).least_ns;
    qn_table_free(&steps);
    return QN_OK;
}
