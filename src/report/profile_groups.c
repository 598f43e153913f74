/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums over steps, threads and passes.
 */
#include <stdlib.h>
#include <string.h>

#include "report/profile.h"

double qn_group_imbalance(const struct qn_group *group) {
    return group->work > 0 ? group->most_work / group->work - 1 : 0;
}

double qn_group_wait_share(const struct qn_group *group) {
    const double all = group->work + group->wait;
    return all > 0 ? group->wait / all : 0;
}

static bool alike(const struct qn_tag *a, const struct qn_tag *b, enum qn_by by) {
    switch (by) {
    case QN_BY_PHASE:
        return true;
    case QN_BY_MODULE:
        return a->module == b->module;
    case QN_BY_LAYER: /* outside the layers, each module by itself */
        return a->layer == b->layer &&
               (a->layer >= 0 || (a->module == QN_MODULE_EMBED) == (b->module == QN_MODULE_EMBED));
    case QN_BY_LAYER_MODULE:
        return a->layer == b->layer && a->module == b->module;
    case QN_BY_NAME:
        return strcmp(a->name, b->name) == 0;
    case QN_BY_STEP:
        break;
    }
    return false;
}

/* Which steps the phase took; at least one more element than there are steps. */
static void find_taken(const struct qn_profile *p, enum qn_phase phase, int *row_of) {
    for (int s = 0; s < p->session->plan.n_steps; s++) row_of[s] = -1;
    for (size_t pass = 0; pass < p->n_passes; pass++)
        for (size_t i = p->first[pass];
             qn_pass_phase(&p->passes[pass]) == phase && i < p->first[pass + 1]; i++)
            row_of[p->events[i].step] = 0;
}

/* Numbers the rows; row_of[s] is -1 for a step that was not taken. */
static void find_rows(const struct qn_profile *p, enum qn_by by, int *row_of,
                      struct qn_table *table) {
    for (int s = 0; s < p->session->plan.n_steps; s++) {
        if (row_of[s] < 0) continue;
        int row = 0;
        while (row < table->n && !alike(&p->tags[table->rows[row].step], &p->tags[s], by)) row++;
        if (row == table->n) table->rows[table->n++].step = s;
        table->rows[row].n_steps++;
        row_of[s] = row;
    }
}

/* Adds event i of the first n_threads; the time it took on the caller's. */
static double add_event(const struct qn_profile *p, size_t i, int n_threads,
                        struct qn_group *group) {
    const size_t n = p->first[p->n_passes];
    double work = 0, wait = 0, most = 0;
    for (int t = 0; t < n_threads; t++) {
        const struct qn_event *const e = &p->events[(size_t)t * n + i];
        const double worked = (double)(e->worked - e->start);
        work += worked;
        wait += (double)(e->end - e->worked);
        if (worked > most) most = worked;
    }
    group->work += work / n_threads;
    group->wait += wait / n_threads;
    group->most_work += most;
    return (double)(p->events[i].end - p->events[i].start);
}

static void add_pass(const struct qn_profile *p, size_t pass, const int *row_of,
                     struct qn_table *table) {
    double *const walls = table->walls + (size_t)table->n * table->n_passes++;
    for (size_t i = p->first[pass]; i < p->first[pass + 1]; i++) {
        const int step = p->events[i].step, row = row_of[step];
        struct qn_group *const group = &table->rows[row].group;
        walls[row] += add_event(p, i, p->passes[pass].n_threads, group);
        const struct qn_cost cost = qn_profile_cost(p, step, &p->passes[pass]);
        group->cost.bytes += cost.bytes;
        group->cost.flops += cost.flops;
    }
}

static bool is_uneven(const struct qn_profile *p, enum qn_phase phase) {
    const struct qn_pass *first = NULL;
    for (size_t i = 0; i < p->n_passes; i++) {
        const struct qn_pass *const pass = &p->passes[i];
        if (qn_pass_phase(pass) != phase) continue;
        if (!first) first = pass;
        if (pass->m != first->m || pass->n_outputs != first->n_outputs) return true;
    }
    return false;
}

static enum qn_status fill(const struct qn_profile *p, enum qn_phase phase, enum qn_by by,
                           int *row_of, double *column, struct qn_table *table,
                           struct qn_error *err) {
    find_taken(p, phase, row_of);
    find_rows(p, by, row_of, table);
    table->walls = calloc((size_t)table->n * p->n_passes + 1, sizeof *table->walls);
    if (!table->walls) return qn_fail(err, QN_NO_MEMORY, "no memory for the profile");
    for (size_t pass = 0; pass < p->n_passes; pass++)
        if (qn_pass_phase(&p->passes[pass]) == phase) add_pass(p, pass, row_of, table);
    table->uneven = is_uneven(p, phase);
    for (int r = 0; r < table->n; r++) {
        for (size_t pass = 0; pass < table->n_passes; pass++)
            column[pass] = table->walls[pass * (size_t)table->n + (size_t)r];
        table->rows[r].group.wall = qn_spread_of(column, table->n_passes);
    }
    return QN_OK;
}

enum qn_status qn_profile_table(const struct qn_profile *profile, enum qn_phase phase,
                                enum qn_by by, struct qn_table *table, struct qn_error *err) {
    const size_t n_steps = (size_t)profile->session->plan.n_steps;
    *table = (struct qn_table){.rows = calloc(n_steps, sizeof *table->rows)};
    int *const row_of = calloc(n_steps, sizeof *row_of);
    double *const column = calloc(profile->n_passes + 1, sizeof *column);
    const enum qn_status status = table->rows && row_of && column
                                      ? fill(profile, phase, by, row_of, column, table, err)
                                      : qn_fail(err, QN_NO_MEMORY, "no memory for the profile");
    free(row_of);
    free(column);
    if (status != QN_OK) qn_table_free(table);
    return status;
}

void qn_table_free(struct qn_table *table) {
    free(table->rows);
    free(table->walls);
    *table = (struct qn_table){.n = 0};
}

/* Those of the first tokens follow passes of PREFILL. */
static void add_spans(const struct qn_profile *p, struct qn_phase_times *times) {
    for (size_t i = 0; i < p->n_spans; i++) {
        const struct qn_span *const span = &p->spans[i];
        const struct qn_token_time *const token = qn_profile_token_at(p, span->end);
        if (!token || !token->first)
            times->spans[span->kind] += 1e-9 * (double)(span->end - span->start);
    }
}

enum qn_status qn_profile_phase(const struct qn_profile *profile, enum qn_phase phase,
                                struct qn_phase_times *times, struct qn_error *err) {
    *times = (struct qn_phase_times){.n_passes = 0};
    double *const samples = calloc(profile->n_passes + 1, sizeof *samples);
    if (!samples) return qn_fail(err, QN_NO_MEMORY, "no memory for the profile");
    for (size_t p = 0; p < profile->n_passes; p++) {
        const struct qn_pass *const pass = &profile->passes[p];
        if (qn_pass_phase(pass) != phase) continue;
        samples[times->n_passes++] = (double)(pass->end - pass->start);
        times->n_tokens += (uint64_t)pass->m;
        for (size_t i = profile->first[p]; i < profile->first[p + 1]; i++)
            times->steps += 1e-9 * (double)(profile->events[i].end - profile->events[i].start);
    }
    times->pass = qn_spread_of(samples, times->n_passes);
    times->passes = 1e-9 * times->pass.sum;
    times->uneven = is_uneven(profile, phase);
    if (phase == QN_PHASE_DECODE) add_spans(profile, times);
    free(samples);
    return QN_OK;
}
