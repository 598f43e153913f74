/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of a profile: latency, modules, layers as bars, operations. 80 columns.
 */
#include "profile_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "report/counters_text.h"
#include "style.h"

static double us(double ns) {
    return 1e-3 * ns;
}

/* Digits behind the point of a time: none where a layer takes a tenth of a second. */
static int digits(double ns) {
    return ns < 1e8 ? 1 : 0;
}

/* ---- latency ---------------------------------------------------------------------------- */

static void print_latency_row(const struct qn_profile *p, bool first, double *samples) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_tokens; i++)
        if (p->tokens[i].first == first)
            samples[n++] = 1e-6 * (double)(p->tokens[i].end - p->tokens[i].start);
    if (n == 0) return;
    const struct qn_spread s = qn_spread_of(samples, n);
    printf("  %-22s %7zu %10.3f %10.3f %10.3f %10.3f\n",
           first ? "first token, ms" : "between tokens, ms", n, s.p50, s.p95, s.p99, s.max);
}

static bool print_latency(const struct qn_profile *p) {
    double *const samples = calloc(p->n_tokens + 1, sizeof *samples);
    if (samples == NULL) return false;
    style_title("Latency");
    puts("                               n        p50        p95        p99        max");
    print_latency_row(p, true, samples);
    print_latency_row(p, false, samples);
    free(samples);
    return true;
}

/* ---- modules ---------------------------------------------------------------------------- */

enum { MODULE_BAR = 20 };

static void print_share(const char *name, double ns, double all, const struct qn_group *group) {
    const double share = all > 0 ? ns / all : 0;
    printf("  %-9s %10.1f", name, us(ns));
    if (group != NULL)
        printf(" %10.1f %5.1f %% %5.1f %% %5.1f %%  ", us(group->wall.p50), 100 * share,
               100 * qn_group_wait_share(group), 100 * qn_group_imbalance(group));
    else
        printf(" %10s %5.1f %%%18s", "", 100 * share, "");
    style_bar(STYLE_PLAIN, share * MODULE_BAR);
    putchar('\n');
}

/* Means, so that they add up; what no step and no span explains is the rest. */
static void print_modules(const struct qn_profile *p, enum qn_phase phase,
                          const struct qn_table *modules, const struct qn_phase_times *times) {
    const double n = (double)times->n_passes;
    double whole = 1e9 * times->passes / n, steps = 0;
    for (int k = 0; k < QN_SPAN_COUNT; k++) whole += 1e9 * times->spans[k] / n;
    puts("\n  part        us, mean        p50   share    wait   imbal");
    for (int r = 0; r < modules->n; r++) {
        const struct qn_row *const row = &modules->rows[r];
        const double ns = row->group.wall.sum / n;
        print_share(qn_module_name(p->tags[row->step].module), ns, whole, &row->group);
        steps += ns;
    }
    for (int k = 0; phase == QN_PHASE_DECODE && k < QN_SPAN_COUNT; k++)
        print_share(qn_span_name((enum qn_span_kind)k), 1e9 * times->spans[k] / n, whole, NULL);
    print_share("threads", 1e9 * times->passes / n - steps, whole, NULL);
}

/* ---- layers ----------------------------------------------------------------------------- */

enum { LAYER_BAR = 32 };

static enum style style_of(enum qn_module module) {
    static const enum style styles[QN_MODULE_COUNT] = {[QN_MODULE_EMBED] = STYLE_PLAIN,
                                                       [QN_MODULE_NORM] = STYLE_NORM,
                                                       [QN_MODULE_ATTN] = STYLE_ATTN,
                                                       [QN_MODULE_MLP] = STYLE_MLP,
                                                       [QN_MODULE_HEAD] = STYLE_PLAIN};
    return styles[module];
}

/* The work of a row's modules one behind the other, then what threads waited; `scale` cells a
 * nanosecond. Cells are rounded where segments end, so that they sum to the row's length. */
static void print_bar(const struct qn_profile *p, const struct qn_row *layer,
                      const struct qn_table *parts, double scale) {
    const double all = layer->group.work + layer->group.wait;
    const double length = layer->group.wall.p50 * scale;
    double at = 0;
    int cells = 0;
    for (int r = 0; r < parts->n && all > 0; r++) {
        const struct qn_tag *const tag = &p->tags[parts->rows[r].step];
        const struct qn_tag *const of = &p->tags[layer->step];
        const bool embed = tag->module == QN_MODULE_EMBED;
        if (tag->layer != of->layer || (of->layer < 0 && embed != (of->module == QN_MODULE_EMBED)))
            continue;
        at += length * parts->rows[r].group.work / all;
        cells += style_cells(style_of(tag->module), cells, at, LAYER_BAR);
    }
    cells += style_cells(STYLE_WAIT, cells, length, LAYER_BAR);
    if (length > LAYER_BAR) putchar('>');
}

static void print_layer(const struct qn_profile *p, const struct qn_row *layer,
                        const struct qn_table *parts, double scale) {
    const struct qn_tag *const tag = &p->tags[layer->step];
    const struct qn_group *const g = &layer->group;
    char name[16];
    if (tag->layer >= 0)
        snprintf(name, sizeof name, "%d", tag->layer);
    else
        snprintf(name, sizeof name, "%s", tag->module == QN_MODULE_EMBED ? "embed" : "head");
    printf("  %5s %8.*f %8.*f %8.*f %5.1f %5.1f ", name, digits(g->wall.p50), us(g->wall.p50),
           digits(g->wall.p95), us(g->wall.p95), digits(g->wall.max), us(g->wall.max),
           100 * qn_group_wait_share(g), 100 * qn_group_imbalance(g));
    print_bar(p, layer, parts, scale);
    putchar('\n');
}

static void print_layers(const struct qn_profile *p, const struct qn_table *layers,
                         const struct qn_table *parts) {
    double longest = 0;
    for (int r = 0; r < layers->n; r++)
        if (p->tags[layers->rows[r].step].layer >= 0 && layers->rows[r].group.wall.p50 > longest)
            longest = layers->rows[r].group.wall.p50;
    printf("\n  layer  us, p50      p95      max  wait imbal ");
    style_bar(STYLE_ATTN, 1);
    printf(" attn ");
    style_bar(STYLE_MLP, 1);
    printf(" mlp ");
    style_bar(STYLE_NORM, 1);
    printf(" norm ");
    style_bar(STYLE_WAIT, 1);
    printf(" wait\n");
    for (int r = 0; r < layers->n; r++)
        print_layer(p, &layers->rows[r], parts, longest > 0 ? LAYER_BAR / longest : 0);
}

/* ---- operations ------------------------------------------------------------------------- */

static void print_operations(const struct qn_profile *p, const struct qn_table *names) {
    double all = 0;
    for (int r = 0; r < names->n; r++) all += names->rows[r].group.wall.sum;
    puts("\n  step          shape         type           n  us, mean   share    wait   imbal");
    for (int r = 0; r < names->n; r++) {
        const struct qn_row *const row = &names->rows[r];
        const struct qn_tag *const tag = &p->tags[row->step];
        printf("  %-13s %-13s %-12s %3d %9.*f %5.1f %% %5.1f %% %5.1f %%\n", tag->name, tag->shape,
               tag->type, row->n_steps, digits(row->group.wall.mean), us(row->group.wall.mean),
               all > 0 ? 100 * row->group.wall.sum / all : 0,
               100 * qn_group_wait_share(&row->group), 100 * qn_group_imbalance(&row->group));
    }
}

/* ---- a phase ---------------------------------------------------------------------------- */

struct tables {
    struct qn_table modules, layers, parts, names;
};

static void tables_free(struct tables *t) {
    qn_table_free(&t->modules);
    qn_table_free(&t->layers);
    qn_table_free(&t->parts);
    qn_table_free(&t->names);
}

static enum qn_status tables_read(const struct qn_profile *p, enum qn_phase phase, struct tables *t,
                                  struct qn_error *err) {
    QN_TRY(qn_profile_table(p, phase, QN_BY_MODULE, &t->modules, err));
    QN_TRY(qn_profile_table(p, phase, QN_BY_LAYER, &t->layers, err));
    QN_TRY(qn_profile_table(p, phase, QN_BY_LAYER_MODULE, &t->parts, err));
    return qn_profile_table(p, phase, QN_BY_NAME, &t->names, err);
}

static void print_phase_title(enum qn_phase phase, const struct qn_phase_times *times) {
    char title[96];
    const double tokens = (double)times->n_tokens / (double)times->n_passes;
    const double ns = qn_phase_pass_ns(times);
    snprintf(title, sizeof title, "%s: %.3f ms for %s%.0f token%s (%s), %.1f tokens/s",
             phase == QN_PHASE_PREFILL ? "Prefill" : "Decode", 1e-6 * ns,
             tokens > 1 ? "a ubatch of " : "", tokens, tokens > 1 ? "s" : "",
             times->uneven ? "mean" : "p50", 1e9 * tokens / ns);
    style_title(title);
}

static enum qn_status print_phase(const struct qn_profile *p, enum qn_phase phase,
                                  struct qn_error *err) {
    struct qn_phase_times times;
    struct tables t = {.modules = {0}};
    QN_TRY(qn_profile_phase(p, phase, &times, err));
    if (times.n_passes == 0) return QN_OK;
    const enum qn_status status = tables_read(p, phase, &t, err);
    if (status == QN_OK) {
        print_phase_title(phase, &times);
        print_modules(p, phase, &t.modules, &times);
        print_layers(p, &t.layers, &t.parts);
        print_operations(p, &t.names);
    }
    tables_free(&t);
    return status;
}

/* ---- the whole -------------------------------------------------------------------------- */

static void print_head(const struct qn_profile *p, const struct quern_model_info *model) {
    out_text(model->name, strlen(model->name), stdout);
    printf(": %s, %s, %.1f M parameters\n", model->architecture, model->type,
           1e-6 * (double)model->n_params);
    printf("%s, %d thread%s", model->isa, model->n_threads, model->n_threads > 1 ? "s" : "");
    if (model->n_threads_batch != model->n_threads)
        printf(" (%d for prefill)", model->n_threads_batch);
    printf(" on processor");
    for (int t = 0; t < p->n_threads; t++) {
        const int cpu = qn_pool_cpu(p->session->model->pool, t);
        if (cpu < 0)
            printf("%s any", t > 0 ? "," : "");
        else
            printf("%s %d", t > 0 ? "," : "", cpu);
    }
    putchar('\n');
}

/* How much of the time of all tokens steps and spans explain. */
static void print_sum(const struct qn_profile *p) {
    double all = 0, told = 0;
    for (size_t i = 0; i < p->n_tokens; i++) all += (double)(p->tokens[i].end - p->tokens[i].start);
    for (size_t i = 0; i < p->first[p->n_passes]; i++)
        told += (double)(p->events[i].end - p->events[i].start);
    for (size_t i = 0; i < p->n_spans; i++) told += (double)(p->spans[i].end - p->spans[i].start);
    printf("\nSteps, sampling and text make up %.2f %% of the measured time.\n",
           all > 0 ? 100 * told / all : 0);
    if (p->lost > 0) printf("WARN: %llu events found no room.\n", (unsigned long long)p->lost);
    if (p->skew > 1000)
        printf("WARN: the processors' clocks disagree by %.1f us.\n", 1e-3 * (double)p->skew);
}

static void print_overhead(const struct qn_comparison *c) {
    if (c->a <= 0) return;
    printf("Recording costs %+.1f %% of a decoded token (95 %%: %+.1f to %+.1f).\n",
           100 * (c->b / c->a - 1), 100 * (c->ratio_low - 1), 100 * (c->ratio_high - 1));
}

/* Of a token, with the frequency that cycles and time give. */
static void print_counters(const struct qn_profile *p) {
    struct qn_error err;
    bool counted = false;
    for (int k = 0; k < QN_COUNTER_COUNT; k++) counted |= p->counts[QN_PHASE_PREFILL].valid[k];
    if (p->counters_reason != 0)
        printf("Hardware counters: %s to be had here (%s).\n", counted ? "not all" : "none",
               qn_counters_missing(p->counters_reason));
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
        const struct qn_phase_counts *const c = &p->counts[phase];
        struct qn_phase_times times;
        if (qn_profile_phase(p, (enum qn_phase)phase, &times, &err) != QN_OK || !times.n_tokens)
            continue;
        bool any = false;
        for (int k = 0; k < QN_COUNTER_COUNT; k++) {
            if (!c->valid[k]) continue;
            if (!any) printf("Counted in %s, a token:", qn_phase_name((enum qn_phase)phase));
            printf("%s %.0f %s", any ? "," : "", (double)c->count[k] / (double)times.n_tokens,
                   qn_counter_name((enum qn_counter)k));
            any = true;
        }
        if (any && c->valid[QN_COUNTER_CYCLES] && times.passes > 0)
            printf("; %.2f GHz", 1e-9 * (double)c->count[QN_COUNTER_CYCLES] / times.passes /
                                     qn_profile_threads(p, (enum qn_phase)phase));
        if (any) putchar('\n');
    }
}

int profile_print(const struct qn_profile *profile, const struct quern_model_info *model,
                  const struct qn_comparison *overhead) {
    struct qn_error err = {.message = "no memory"};
    print_head(profile, model);
    enum qn_status status = print_latency(profile) ? QN_OK : QN_NO_MEMORY;
    for (int phase = 0; phase < QN_PHASE_COUNT && status == QN_OK; phase++)
        status = print_phase(profile, (enum qn_phase)phase, &err);
    if (status != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    print_sum(profile);
    print_overhead(overhead);
    print_counters(profile);
    return EXIT_DONE;
}
