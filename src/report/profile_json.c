/* SPDX-License-Identifier: Apache-2.0
 *
 * A profile as JSON. Times are nanoseconds.
 */
#include <string.h>
#include <time.h>

#include "report/json_text.h"
#include "report/locality.h"
#include "report/profile.h"

static json_t *spread_json(const struct qn_spread *s) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f}", "mean", s->mean, "p50", s->p50, "p95", s->p95,
                     "p99", s->p99, "max", s->max);
}

/* ---- who and where ---------------------------------------------------------------------- */

static json_t *host_json(const struct qn_profile *p, const struct qn_machine_key *host) {
    json_t *const cpus = json_array();
    for (int t = 0; t < p->n_threads; t++)
        json_array_append_new(cpus, json_integer(qn_pool_cpu(p->session->model->pool, t)));
    const struct qn_model *const model = p->session->model;
    struct qn_locality locality;
    struct qn_error err;
    char weights_on[64] = "not shown";
    if (qn_locality_read(model, &locality, &err) == QN_OK)
        qn_locality_describe(&locality, weights_on, sizeof weights_on);
    return json_pack("{s:o, s:o, s:i, s:s, s:i, s:i, s:o, s:s, s:s}", "processor",
                     qn_json_text(host->cpu, strlen(host->cpu)), "microcode",
                     qn_json_text(host->microcode, strlen(host->microcode)), "processors",
                     host->n_processors, "isa", qn_isa_name(host->isa), "threads", model->n_threads,
                     "prefill_threads", model->n_threads_batch, "pinned_to", cpus, "numa",
                     qn_model_numa(model), "weights_on", weights_on);
}

static json_t *model_json(const struct qn_profile_about *about) {
    const struct quern_model_info *const m = &about->model;
    return json_pack("{s:o, s:o, s:s, s:s, s:I, s:I, s:I, s:i, s:i, s:i, s:i}", "file",
                     qn_json_text(about->file, strlen(about->file)), "name",
                     qn_json_text(m->name, strlen(m->name)), "architecture", m->architecture,
                     "type", m->type, "file_size", (json_int_t)m->file_size, "parameters",
                     (json_int_t)m->n_params, "decode_bytes", (json_int_t)m->decode_size, "layers",
                     m->n_layers, "width", m->n_embd, "mlp_width", m->n_ff, "vocabulary",
                     m->n_vocab);
}

static json_t *run_json(const struct qn_profile_about *about) {
    return json_pack("{s:i, s:i, s:i, s:i, s:s}", "prompt", about->n_prompt, "decoded",
                     about->n_gen, "repetitions", about->repeats, "ubatch", about->n_ubatch, "kv",
                     about->kv);
}

/* ---- times ------------------------------------------------------------------------------ */

static json_t *latency_json(const struct qn_profile *p, bool first) {
    json_t *const list = json_array();
    for (size_t i = 0; i < p->n_tokens; i++)
        if (p->tokens[i].first == first)
            json_array_append_new(
                list, json_integer((json_int_t)(p->tokens[i].end - p->tokens[i].start)));
    return list;
}

static json_t *counts_json(const struct qn_phase_counts *counts) {
    json_t *const object = json_object();
    for (int c = 0; c < QN_COUNTER_COUNT; c++)
        json_object_set_new(object, qn_counter_name((enum qn_counter)c),
                            counts->valid[c] ? json_integer((json_int_t)counts->count[c])
                                             : json_null());
    return object;
}

static json_t *phase_json(const struct qn_profile *p, enum qn_phase phase, struct qn_error *err) {
    struct qn_phase_times times;
    if (qn_profile_phase(p, phase, &times, err) != QN_OK) return NULL;
    json_t *const passes = json_array();
    for (size_t i = 0; i < p->n_passes; i++)
        if (qn_pass_phase(&p->passes[i]) == phase)
            json_array_append_new(
                passes, json_integer((json_int_t)(p->passes[i].end - p->passes[i].start)));
    return json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:o, s:o, s:o}", "phase",
                     qn_phase_name(phase), "passes", (json_int_t)times.n_passes, "tokens",
                     (json_int_t)times.n_tokens, "pass_seconds", times.passes, "step_seconds",
                     times.steps, "sample_seconds", times.spans[QN_SPAN_SAMPLE], "text_seconds",
                     times.spans[QN_SPAN_TEXT], "pass_ns", spread_json(&times.pass), "samples_ns",
                     passes, "counters", counts_json(&p->counts[phase]));
}

/* ---- steps ------------------------------------------------------------------------------ */

static json_t *row_json(const struct qn_profile *p, enum qn_phase phase,
                        const struct qn_table *table, int r) {
    const struct qn_row *const row = &table->rows[r];
    const struct qn_tag *const tag = &p->tags[row->step];
    const struct qn_group *const g = &row->group;
    const double passes = (double)table->n_passes;
    json_t *const samples = json_array();
    for (size_t pass = 0; pass < table->n_passes; pass++)
        json_array_append_new(
            samples, json_integer((json_int_t)table->walls[pass * (size_t)table->n + (size_t)r]));
    return json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:o, s:f, s:f, s:f, "
                     "s:o}",
                     "phase", qn_phase_name(phase), "step", row->step, "layer", tag->layer,
                     "module", qn_module_name(tag->module), "op", qn_op_name(tag->op), "name",
                     tag->name, "shape", tag->shape, "type", tag->type, "kernel",
                     tag->kernel[phase], "bytes", g->cost.bytes / passes, "flops",
                     g->cost.flops / passes, "wall_ns", spread_json(&g->wall), "work_ns",
                     g->work / passes, "wait_share", qn_group_wait_share(g), "imbalance",
                     qn_group_imbalance(g), "samples_ns", samples);
}

static bool add_steps(const struct qn_profile *p, json_t *list, struct qn_error *err) {
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
        struct qn_table table;
        if (qn_profile_table(p, (enum qn_phase)phase, QN_BY_STEP, &table, err) != QN_OK)
            return false;
        for (int r = 0; r < table.n; r++)
            json_array_append_new(list, row_json(p, (enum qn_phase)phase, &table, r));
        qn_table_free(&table);
    }
    return true;
}

json_t *qn_profile_json(const struct qn_profile *profile, const struct qn_profile_about *about) {
    struct qn_error err;
    char when[32];
    const time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_t *const steps = json_array();
    if (!add_steps(profile, steps, &err)) {
        json_decref(steps);
        return NULL;
    }
    return json_pack(
        "{s:i, s:s, s:s, s:o, s:o, s:o, s:{s:o, s:o}, s:[o, o], s:I, s:I, s:o}", "quern_profile",
        QN_PROFILE_FORM, "quern", quern_version(), "when", when, "host",
        host_json(profile, &about->host), "model", model_json(about), "run", run_json(about),
        "latency_ns", "first_token", latency_json(profile, true), "between_tokens",
        latency_json(profile, false), "phases", phase_json(profile, QN_PHASE_PREFILL, &err),
        phase_json(profile, QN_PHASE_DECODE, &err), "lost_events", (json_int_t)profile->lost,
        "clock_skew_ns", (json_int_t)profile->skew, "steps", steps);
}
