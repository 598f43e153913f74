/* SPDX-License-Identifier: Apache-2.0 */
#include "report/tune.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "report/statistics.h"

static int position(const struct qn_tune_search *s, int value) {
    int i = 0;
    while (i < s->n_points && s->points[i].value < value) i++;
    return i;
}

const struct qn_tune_point *qn_tune_at(const struct qn_tune_search *search, int value) {
    const int i = position(search, value);
    return i < search->n_points && search->points[i].value == value ? &search->points[i] : NULL;
}

/* In its place by value; nothing when it is there, or there is no room. */
static bool add(struct qn_tune_search *s, int value) {
    const int at = position(s, value);
    if (qn_tune_at(s, value) || s->n_points == QN_TUNE_MAX_POINTS) return false;
    memmove(&s->points[at + 1], &s->points[at], (size_t)(s->n_points - at) * sizeof s->points[0]);
    memset(&s->points[at], 0, sizeof s->points[at]);
    s->points[at].value = value;
    s->n_points++;
    return true;
}

static double median_of(const double *values, int n) {
    double sorted[QN_TUNE_MAX_SAMPLES];
    memcpy(sorted, values, (size_t)n * sizeof *values);
    qn_sort(sorted, (size_t)n);
    return qn_quantile(sorted, (size_t)n, 0.5);
}

static bool sample(struct qn_tune_search *s, const struct qn_tune_meter *meter, int value,
                   double *rate) {
    struct qn_tune_point *const p = &s->points[position(s, value)];
    double joules = 0;
    if (!meter->measure(meter->context, value, rate, &joules)) return false;
    s->n_measured++;
    if (p->n == QN_TUNE_MAX_SAMPLES) return true;
    p->rates[p->n] = *rate;
    p->energies[p->n++] = joules;
    p->rate = median_of(p->rates, p->n);
    p->joules = median_of(p->energies, p->n);
    return true;
}

static bool sample_rounds(struct qn_tune_search *s, const struct qn_tune_meter *meter,
                          const int *values, int n) {
    for (int round = 0; round < QN_TUNE_ROUNDS; round++)
        for (int i = 0; i < n; i++) {
            double rate;
            if (!sample(s, meter, values[i], &rate)) return false;
        }
    return true;
}

static int best_of(const struct qn_tune_search *s) {
    int best = 0;
    for (int i = 1; i < s->n_points; i++)
        if (s->points[i].rate > s->points[best].rate) best = i;
    return best;
}

/* What lies halfway to the neighbours of the best, where they are too far; how many they are. The
 * best is measured again beside them: values [3] begins with it. */
static int halves(const struct qn_tune_search *s, int *values) {
    const int best = best_of(s), value = s->points[best].value;
    const int near = value / 32 > 1 ? value / 32 : 1;
    int n = 0;
    values[n++] = value;
    if (best > 0 && value - s->points[best - 1].value > near)
        values[n++] = (value + s->points[best - 1].value) / 2;
    if (best + 1 < s->n_points && s->points[best + 1].value - value > near)
        values[n++] = (value + s->points[best + 1].value) / 2;
    return n - 1;
}

static bool narrow(struct qn_tune_search *s, const struct qn_tune_meter *meter) {
    int values[3];
    for (int i = 0, n; i < QN_TUNE_HALVINGS && (n = halves(s, values)) > 0; i++) {
        for (int v = 1; v <= n; v++)
            if (!add(s, values[v])) return true;
        if (!sample_rounds(s, meter, values, 1 + n)) return false;
    }
    return true;
}

static bool duel(struct qn_tune_search *s, const struct qn_tune_meter *meter, int best) {
    double ratios[QN_TUNE_DUEL];
    for (int i = 0; i < QN_TUNE_DUEL; i++) {
        double rate[2];
        /* Who comes first alternates: the first may find a warmer or cooler machine. */
        const int turn = i % 2, order[2] = {turn ? best : s->usual, turn ? s->usual : best};
        if (!sample(s, meter, order[0], &rate[0]) || !sample(s, meter, order[1], &rate[1]))
            return false;
        ratios[i] = rate[1 - turn] / rate[turn];
    }
    qn_sort(ratios, QN_TUNE_DUEL);
    const double median = qn_quantile(ratios, QN_TUNE_DUEL, 0.5);
    const double quartiles =
        qn_quantile(ratios, QN_TUNE_DUEL, 0.75) - qn_quantile(ratios, QN_TUNE_DUEL, 0.25);
    s->gain = median - 1;
    s->noise = fmax(QN_TUNE_LEAST_GAIN, 1.57 * quartiles / sqrt((double)QN_TUNE_DUEL));
    if (s->gain > s->noise) s->chosen = best;
    return true;
}

void qn_tune_find(const int *values, int n, int usual, bool refine,
                  const struct qn_tune_meter *meter, struct qn_tune_search *search) {
    memset(search, 0, sizeof *search);
    search->usual = search->chosen = usual;
    search->noise = QN_TUNE_LEAST_GAIN;
    int first[QN_TUNE_MAX_POINTS];
    add(search, usual);
    for (int i = 0; i < n; i++) add(search, values[i]);
    for (int i = 0; i < search->n_points; i++) first[i] = search->points[i].value;
    if (!sample_rounds(search, meter, first, search->n_points)) return;
    if (refine && !narrow(search, meter)) return;
    const int best = search->points[best_of(search)].value;
    search->complete = best == usual || duel(search, meter, best);
}

int qn_tune_threads(int n_cores, int n_allowed, int most, int *values) {
    int n = 0;
    for (int i = 1; i < n_cores && i <= most; i *= 2) values[n++] = i;
    if (n_cores <= most) values[n++] = n_cores;
    const int all = n_allowed < most ? n_allowed : most;
    if (all > (n ? values[n - 1] : 0)) values[n++] = all;
    return n;
}
