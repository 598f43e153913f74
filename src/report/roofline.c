/* SPDX-License-Identifier: Apache-2.0 */
#include "report/roofline.h"

#include <math.h>

/* The nearest caches that hold all of it, half a core's L2 being left to rows. */
static enum qn_level home_of(size_t size, const struct qn_machine_limits *limits) {
    const size_t l2 = limits->caches.l2 / 2 * (size_t)limits->n_threads;
    const enum qn_level level = size <= l2                  ? QN_LEVEL_L2
                                : size <= limits->caches.l3 ? QN_LEVEL_L3
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

struct qn_least qn_roof_least(const struct qn_roof *roof, enum qn_op op, struct qn_peak_use use,
                              const struct qn_cost *cost) {
    const bool streams = op == QN_OP_MATMUL || op == QN_OP_ATTENTION;
    const enum qn_level level = streams ? roof->weights : QN_LEVEL_L2;
    /* 10^9 a second are 1 a nanosecond. */
    const double read = roof->limits.read[level].best;
    const double peak = roof->limits.peak[use.peak].best / use.steps;
    const double by_bytes = read > 0 ? cost->bytes / read : 0;
    const double by_flops = peak > 0 ? cost->flops / peak : 0;
    return (struct qn_least){.ns = fmax(by_bytes, by_flops),
                             .bound = by_flops > by_bytes ? QN_BOUND_COMPUTE : QN_BOUND_MEMORY,
                             .level = level};
}

struct qn_roofline qn_roofline_of(const struct qn_profile *profile, const struct qn_roof *roof,
                                  const struct qn_table *table, int row) {
    const struct qn_group *const g = &table->rows[row].group;
    const struct qn_tag *const tag = &profile->tags[table->rows[row].step];
    const double passes = table->n_passes > 0 ? (double)table->n_passes : 1;
    const struct qn_cost cost = {g->cost.bytes / passes, g->cost.flops / passes};
    const struct qn_least least = qn_roof_least(roof, tag->op, tag->use, &cost);
    struct qn_roofline r = {.ns = table->uneven ? g->wall.mean : g->wall.p50,
                            .intensity = cost.bytes > 0 ? cost.flops / cost.bytes : 0,
                            .least_ns = least.ns,
                            .bound = least.bound,
                            .level = least.level};
    if (r.ns > 0) {
        r.gb_s = cost.bytes / r.ns;
        r.gop_s = cost.flops / r.ns;
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

/* ---- JSON ------------------------------------------------------------------------------- */

static bool add_phase(const struct qn_profile *p, const struct qn_roof *roof, enum qn_phase phase,
                      json_t *phases, json_t *steps) {
    struct qn_error err;
    struct qn_phase_times times;
    struct qn_table names;
    double least;
    if (qn_profile_phase(p, phase, &times, &err) != QN_OK) return false;
    if (times.n_passes == 0) return true;
    if (qn_roofline_pass(p, roof, phase, &least, &err) != QN_OK ||
        qn_profile_table(p, phase, QN_BY_NAME, &names, &err) != QN_OK)
        return false;
    const double tokens = (double)times.n_tokens / (double)times.n_passes;
    json_array_append_new(phases,
                          json_pack("{s:s, s:f, s:f, s:f}", "phase", qn_phase_name(phase),
                                    "least_pass_ns", least, "ceiling_ts", 1e9 * tokens / least,
                                    "measured_ts", 1e9 * tokens / qn_phase_pass_ns(&times)));
    for (int r = 0; r < names.n; r++) {
        const struct qn_roofline f = qn_roofline_of(p, roof, &names, r);
        json_array_append_new(
            steps, json_pack("{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:s, s:s}", "phase",
                             qn_phase_name(phase), "name", p->tags[names.rows[r].step].name, "ns",
                             f.ns, "least_ns", f.least_ns, "intensity", f.intensity, "gb_s", f.gb_s,
                             "gop_s", f.gop_s, "part", f.part, "bound", qn_bound_name(f.bound),
                             "level", qn_level_name(f.level)));
    }
    qn_table_free(&names);
    return true;
}

json_t *qn_roofline_json(const struct qn_profile *profile, const struct qn_roof *roof) {
    const struct qn_machine_limits *const l = &roof->limits;
    json_t *const phases = json_array(), *const steps = json_array();
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++)
        if (!add_phase(profile, roof, (enum qn_phase)phase, phases, steps)) {
            json_decref(phases);
            json_decref(steps);
            return NULL;
        }
    return json_pack("{s:{s:s, s:f, s:f, s:f, s:f, s:f, s:b}, s:o, s:o}", "limits", "weights_from",
                     qn_level_name(roof->weights), "weights_gb_s", l->read[roof->weights].best,
                     "l2_gb_s", l->read[QN_LEVEL_L2].best, "int8_gop_s", l->peak[QN_PEAK_INT8].best,
                     "f32_gflop_s", l->peak[QN_PEAK_F32].best, "bf16_gflop_s",
                     l->peak[QN_PEAK_BF16].best, "noisy", roof->noisy, "phases", phases, "steps",
                     steps);
}
