/* SPDX-License-Identifier: Apache-2.0
 *
 * Writers of trace events, folded stacks and CSV. Names of steps, kernels and types are ours and
 * need no quoting; names of models come from files and go through the JSON writer.
 */
#include "report/profile_files.h"

#include <string.h>

#include "report/json_text.h"

size_t qn_profile_last_run(const struct qn_profile *profile) {
    uint64_t start = 0;
    for (size_t i = 0; i < profile->n_tokens; i++)
        if (profile->tokens[i].first) start = profile->tokens[i].start;
    size_t pass = 0;
    while (pass < profile->n_passes && profile->passes[pass].start < start) pass++;
    return pass;
}

/* ---- trace events ----------------------------------------------------------------------- */

struct trace {
    const struct qn_profile *profile;
    FILE *out;
    uint64_t zero; /* ns */
};

/* Opens a complete event; its args follow. The format counts in microseconds. */
static void begin(const struct trace *t, const char *name, int number, const char *category,
                  int thread, uint64_t start, uint64_t end) {
    fprintf(t->out, ",\n{\"ph\":\"X\",\"pid\":1,\"tid\":%d,\"name\":\"%s", thread, name);
    if (number >= 0) fprintf(t->out, " %d", number);
    fprintf(t->out, "\",\"cat\":\"%s\",\"ts\":%.3f,\"dur\":%.3f,\"args\":{", category,
            1e-3 * (double)(int64_t)(start - t->zero), 1e-3 * (double)(end - start));
}

/* That of one row also where a prompt ends in a single token, or the head sees one. */
static const char *kernel_of(const struct qn_tag *tag, const struct qn_pass *pass) {
    const int n_rows = tag->module == QN_MODULE_HEAD ? pass->n_outputs : pass->m;
    return tag->kernel[n_rows > 1 ? QN_PHASE_PREFILL : QN_PHASE_DECODE];
}

static void write_step(const struct trace *t, int thread, const struct qn_event *e,
                       const struct qn_pass *pass) {
    const struct qn_tag *const tag = &t->profile->tags[e->step];
    const struct qn_cost cost = qn_profile_cost(t->profile, e->step, pass);
    begin(t, tag->name, -1, qn_module_name(tag->module), thread, e->start, e->worked);
    fprintf(t->out,
            "\"phase\":\"%s\",\"pass\":%u,\"layer\":%d,\"module\":\"%s\",\"op\":\"%s\","
            "\"shape\":\"%s\",\"type\":\"%s\",\"kernel\":\"%s\",\"bytes\":%.0f,\"flops\":%.0f,"
            "\"pieces\":%d}}",
            qn_phase_name(qn_pass_phase(pass)), e->pass, tag->layer, qn_module_name(tag->module),
            qn_op_name(tag->op), tag->shape, tag->type, kernel_of(tag, pass), cost.bytes,
            cost.flops, e->pieces);
    if (e->end <= e->worked) return;
    begin(t, "wait", -1, "wait", thread, e->worked, e->end);
    fprintf(t->out, "\"step\":\"%s\",\"layer\":%d}}", tag->name, tag->layer);
}

/* Steps of a layer lie one behind the other. */
static void write_layers(const struct trace *t, int thread, size_t pass) {
    const struct qn_profile *const p = t->profile;
    const struct qn_event *const events = qn_profile_events(p, thread);
    for (size_t i = p->first[pass]; i < p->first[pass + 1];) {
        const int layer = p->tags[events[i].step].layer;
        const size_t first = i;
        while (i < p->first[pass + 1] && p->tags[events[i].step].layer == layer) i++;
        if (layer < 0) continue;
        begin(t, "layer", layer, "layer", thread, events[first].start, events[i - 1].end);
        fprintf(t->out, "\"pass\":%u}}", events[first].pass);
    }
}

static void write_pass(const struct trace *t, size_t number) {
    const struct qn_profile *const p = t->profile;
    const struct qn_pass *const pass = &p->passes[number];
    begin(t, qn_phase_name(qn_pass_phase(pass)), -1, "pass", 0, pass->start, pass->end);
    fprintf(t->out, "\"tokens\":%d,\"position\":%d}}", pass->m, pass->position);
    for (int thread = 0; thread < pass->n_threads; thread++) {
        write_layers(t, thread, number);
        for (size_t i = p->first[number]; i < p->first[number + 1]; i++)
            write_step(t, thread, &qn_profile_events(p, thread)[i], pass);
    }
}

enum qn_status qn_profile_write_trace(const struct qn_profile *profile,
                                      const struct qn_profile_about *about, FILE *out,
                                      struct qn_error *err) {
    const size_t first = qn_profile_last_run(profile);
    const struct trace t = {profile, out,
                            first < profile->n_passes ? profile->passes[first].start : 0};
    json_t *const name =
        json_pack("{s:o}", "name", qn_json_text(about->model.name, strlen(about->model.name)));
    if (!name) return qn_fail(err, QN_NO_MEMORY, "no memory for the trace");
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n"
          "{\"ph\":\"M\",\"pid\":1,\"name\":\"process_name\",\"args\":",
          out);
    json_dumpf(name, out, JSON_COMPACT);
    json_decref(name);
    fputc('}', out);
    for (int thread = 0; thread < profile->n_threads; thread++)
        fprintf(out,
                ",\n{\"ph\":\"M\",\"pid\":1,\"tid\":%d,\"name\":\"thread_name\",\"args\":{"
                "\"name\":\"thread %d, processor %d\"}}",
                thread, thread, qn_pool_cpu(profile->session->model->pool, thread));
    for (size_t pass = first; pass < profile->n_passes; pass++) write_pass(&t, pass);
    for (size_t i = 0; i < profile->n_spans; i++) {
        const struct qn_span *const span = &profile->spans[i];
        if (span->start < t.zero) continue;
        begin(&t, qn_span_name(span->kind), -1, "sample", 0, span->start, span->end);
        fputs("}}", out);
    }
    fputs("\n]}\n", out);
    return QN_OK;
}

/* ---- folded stacks ---------------------------------------------------------------------- */

static void write_stack(const struct qn_profile *p, enum qn_phase phase, const struct qn_row *row,
                        const char *leaf, double ns, FILE *out) {
    const struct qn_tag *const tag = &p->tags[row->step];
    if (ns < 1) return;
    fprintf(out, "%s;", qn_phase_name(phase));
    if (tag->layer >= 0) fprintf(out, "layer %d;", tag->layer);
    fprintf(out, "%s;%s;%s %.0f\n", qn_module_name(tag->module), tag->name, leaf,
            ns * qn_profile_threads(p, phase));
}

enum qn_status qn_profile_write_folded(const struct qn_profile *profile, FILE *out,
                                       struct qn_error *err) {
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
        struct qn_table steps;
        QN_TRY(qn_profile_table(profile, (enum qn_phase)phase, QN_BY_STEP, &steps, err));
        for (int r = 0; r < steps.n; r++) {
            const struct qn_row *const row = &steps.rows[r];
            write_stack(profile, (enum qn_phase)phase, row, "work", row->group.work, out);
            write_stack(profile, (enum qn_phase)phase, row, "wait", row->group.wait, out);
        }
        qn_table_free(&steps);
    }
    uint64_t spans[QN_SPAN_COUNT] = {0};
    for (size_t i = 0; i < profile->n_spans; i++)
        spans[profile->spans[i].kind] += profile->spans[i].end - profile->spans[i].start;
    for (int k = 0; k < QN_SPAN_COUNT; k++)
        fprintf(out, "%s %llu\n", qn_span_name((enum qn_span_kind)k), (unsigned long long)spans[k]);
    return QN_OK;
}

/* ---- CSV -------------------------------------------------------------------------------- */

enum qn_status qn_profile_write_csv(const struct qn_profile *profile, FILE *out,
                                    struct qn_error *err) {
    fputs("phase,step,layer,module,op,name,shape,type,kernel,passes,mean_ns,p50_ns,p95_ns,p99_ns,"
          "max_ns,wait_share,imbalance,bytes,flops\n",
          out);
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
        struct qn_table steps;
        QN_TRY(qn_profile_table(profile, (enum qn_phase)phase, QN_BY_STEP, &steps, err));
        for (int r = 0; r < steps.n; r++) {
            const struct qn_row *const row = &steps.rows[r];
            const struct qn_tag *const tag = &profile->tags[row->step];
            const struct qn_spread *const w = &row->group.wall;
            const double passes = (double)steps.n_passes;
            fprintf(out,
                    "%s,%d,%d,%s,%s,%s,%s,%s,%s,%zu,%.0f,%.0f,%.0f,%.0f,%.0f,%.4f,%.4f,%.0f,"
                    "%.0f\n",
                    qn_phase_name((enum qn_phase)phase), row->step, tag->layer,
                    qn_module_name(tag->module), qn_op_name(tag->op), tag->name, tag->shape,
                    tag->type, tag->kernel[phase], steps.n_passes, w->mean, w->p50, w->p95, w->p99,
                    w->max, qn_group_wait_share(&row->group), qn_group_imbalance(&row->group),
                    row->group.cost.bytes / passes, row->group.cost.flops / passes);
        }
        qn_table_free(&steps);
    }
    return QN_OK;
}
