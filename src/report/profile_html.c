/* SPDX-License-Identifier: Apache-2.0
 *
 * The profile as a page: profile_page.html with the data in place of its mark.
 */
#include <stdlib.h>
#include <string.h>

#include "report/markup.h"
#include "report/profile_files.h"
#include <profile_page.inc> /* made from profile_page.html by the build */

static json_t *roofline_json(const struct qn_roofline *r) {
    return json_pack("{s:f, s:f, s:f, s:f, s:s}", "intensity", r->intensity, "gb_s", r->gb_s,
                     "gop_s", r->gop_s, "part", r->part, "bound", qn_bound_name(r->bound));
}

static json_t *row_json(const struct qn_profile *p, const struct qn_roof *roof, enum qn_phase phase,
                        const struct qn_table *table, int r) {
    const struct qn_row *const row = &table->rows[r];
    const struct qn_tag *const tag = &p->tags[row->step];
    const struct qn_group *const g = &row->group;
    const double passes = (double)table->n_passes;
    json_t *roofline = json_null();
    if (roof) {
        const struct qn_roofline found = qn_roofline_of(p, roof, table, r);
        roofline = roofline_json(&found);
    }
    return json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, "
                     "s:f, s:f, s:o}",
                     "phase", qn_phase_name(phase), "n", row->n_steps, "layer", tag->layer,
                     "module", qn_module_name(tag->module), "name", tag->name, "shape", tag->shape,
                     "type", tag->type, "kernel", tag->kernel[phase], "mean", g->wall.mean, "p50",
                     g->wall.p50, "p95", g->wall.p95, "max", g->wall.max, "work", g->work / passes,
                     "wait", g->wait / passes, "imbalance", qn_group_imbalance(g), "bytes",
                     g->cost.bytes / passes, "flops", g->cost.flops / passes, "roofline", roofline);
}

static bool add_rows(const struct qn_profile *p, const struct qn_roof *roof, enum qn_by by,
                     json_t *list, struct qn_error *err) {
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
        struct qn_table table;
        if (qn_profile_table(p, (enum qn_phase)phase, by, &table, err) != QN_OK) return false;
        for (int r = 0; r < table.n; r++)
            json_array_append_new(list, row_json(p, roof, (enum qn_phase)phase, &table, r));
        qn_table_free(&table);
    }
    return true;
}

/* Of each thread a flat list: step, start, work and wait of an event, ns since the first pass. */
static json_t *events_json(const struct qn_profile *p, int thread, size_t first_pass) {
    json_t *const list = json_array();
    const uint64_t zero = first_pass < p->n_passes ? p->passes[first_pass].start : 0;
    const struct qn_event *const events = qn_profile_events(p, thread);
    for (size_t i = p->first[first_pass]; i < p->first[p->n_passes]; i++) {
        const struct qn_event *const e = &events[i];
        if (!qn_event_happened(e)) continue;
        json_array_append_new(list, json_integer(e->step));
        json_array_append_new(list, json_integer((json_int_t)(e->start - zero)));
        json_array_append_new(list, json_integer((json_int_t)(e->worked - e->start)));
        json_array_append_new(list, json_integer((json_int_t)(e->end - e->worked)));
    }
    return list;
}

static json_t *timeline_json(const struct qn_profile *p) {
    const size_t first = qn_profile_last_run(p);
    const uint64_t zero = first < p->n_passes ? p->passes[first].start : 0;
    json_t *const passes = json_array(), *const threads = json_array(), *const steps = json_array();
    for (size_t i = first; i < p->n_passes; i++)
        json_array_append_new(passes,
                              json_pack("[s, I, I, i]", qn_phase_name(qn_pass_phase(&p->passes[i])),
                                        (json_int_t)(p->passes[i].start - zero),
                                        (json_int_t)(p->passes[i].end - zero), p->passes[i].m));
    for (int t = 0; t < p->n_threads; t++) json_array_append_new(threads, events_json(p, t, first));
    for (int s = 0; s < p->session->plan.n_steps; s++)
        json_array_append_new(steps, json_pack("[s, i, s, s, s]", p->tags[s].name, p->tags[s].layer,
                                               qn_module_name(p->tags[s].module), p->tags[s].shape,
                                               p->tags[s].type));
    json_t *const spans = json_array();
    for (size_t i = 0; i < p->n_spans; i++)
        if (p->spans[i].start >= zero)
            json_array_append_new(spans, json_pack("[s, I, I]", qn_span_name(p->spans[i].kind),
                                                   (json_int_t)(p->spans[i].start - zero),
                                                   (json_int_t)(p->spans[i].end - zero)));
    return json_pack("{s:o, s:o, s:o, s:o}", "passes", passes, "threads", threads, "steps", steps,
                     "spans", spans);
}

static json_t *roof_json(const struct qn_roof *roof) {
    if (!roof) return json_null();
    const struct qn_machine_limits *const l = &roof->limits;
    return json_pack("{s:f, s:s, s:f, s:f, s:f, s:b}", "weights", l->read[roof->weights].best,
                     "level", qn_level_name(roof->weights), "l2", l->read[QN_LEVEL_L2].best, "int8",
                     l->peak[QN_PEAK_INT8].best, "f32", l->peak[QN_PEAK_F32].best, "noisy",
                     roof->noisy);
}

static json_t *data_json(const struct qn_profile *p, const struct qn_profile_about *about,
                         const struct qn_roof *roof, struct qn_error *err) {
    json_t *const whole = qn_profile_json(p, about);
    json_t *const names = json_array(), *const layers = json_array();
    if (!whole || !add_rows(p, roof, QN_BY_NAME, names, err) ||
        !add_rows(p, roof, QN_BY_LAYER_MODULE, layers, err)) {
        json_decref(whole);
        json_decref(names);
        json_decref(layers);
        return NULL;
    }
    json_object_del(whole, "steps"); /* the page has sums and the last repetition */
    json_object_set_new(whole, "names", names);
    json_object_set_new(whole, "layers", layers);
    json_object_set_new(whole, "timeline", timeline_json(p));
    json_object_set_new(whole, "roof", roof_json(roof));
    return whole;
}

enum qn_status qn_profile_write_html(const struct qn_profile *profile,
                                     const struct qn_profile_about *about,
                                     const struct qn_roof *roof, FILE *out, struct qn_error *err) {
    static const char mark[] = "\"DATA\"";
    const char *const at = strstr(profile_page, mark);
    *err = (struct qn_error){.status = QN_OK};
    json_t *const data = data_json(profile, about, roof, err);
    char *const text = data ? json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(data);
    if (!text) return qn_fail(err, QN_NO_MEMORY, "no memory for the page");
    fwrite(profile_page, 1, (size_t)(at - profile_page), out);
    qn_put_json(text, out);
    free(text);
    fputs(at + sizeof mark - 1, out);
    return QN_OK;
}
