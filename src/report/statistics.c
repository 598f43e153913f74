/* SPDX-License-Identifier: Apache-2.0 */
#include "report/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/random.h"

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void qn_sort(double *values, size_t n) {
    if (n > 1) qsort(values, n, sizeof *values, compare);
}

double qn_quantile(const double *sorted, size_t n, double q) {
    if (n == 0) return 0;
    const double at = q * (double)(n - 1);
    const size_t below = (size_t)at;
    if (below + 1 >= n) return sorted[n - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

struct qn_spread qn_spread_of(double *values, size_t n) {
    struct qn_spread spread = {0};
    if (n == 0) return spread;
    qn_sort(values, n);
    for (size_t i = 0; i < n; i++) spread.sum += values[i];
    spread.mean = spread.sum / (double)n;
    spread.p50 = qn_quantile(values, n, 0.5);
    spread.p95 = qn_quantile(values, n, 0.95);
    spread.p99 = qn_quantile(values, n, 0.99);
    spread.max = values[n - 1];
    return spread;
}

/* ---- bootstrap -------------------------------------------------------------------------- */

enum { RESAMPLES = 2000 };

struct series {
    size_t n, block;
    double *sorted; /* [n] */
    size_t *ranks;  /* [n] sample i is sorted[ranks[i]] */
    unsigned *counts;
};

struct ranked {
    double value;
    size_t index;
};

static int compare_ranked(const void *a, const void *b) {
    const struct ranked *const x = a, *const y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static void series_free(struct series *s) {
    free(s->sorted);
    free(s->ranks);
    free(s->counts);
    *s = (struct series){.n = 0};
}

static bool series_new(const double *samples, size_t n, struct series *s) {
    *s = (struct series){.n = n, .block = (size_t)ceil(sqrt((double)n))};
    struct ranked *const ranked = calloc(n, sizeof *ranked);
    s->sorted = calloc(n, sizeof *s->sorted);
    s->ranks = calloc(n, sizeof *s->ranks);
    s->counts = calloc(n, sizeof *s->counts);
    const bool done = ranked && s->sorted && s->ranks && s->counts;
    for (size_t i = 0; done && i < n; i++) ranked[i] = (struct ranked){samples[i], i};
    if (done) qsort(ranked, n, sizeof *ranked, compare_ranked);
    for (size_t i = 0; done && i < n; i++) {
        s->sorted[i] = ranked[i].value;
        s->ranks[ranked[i].index] = i;
    }
    free(ranked);
    if (!done) series_free(s);
    return done;
}

/* The value at a place of the resample, whose ranks were counted. */
static double counted_at(const struct series *s, size_t place) {
    size_t rank = 0, below = s->counts[0];
    while (below <= place) below += s->counts[++rank];
    return s->sorted[rank];
}

static double resampled_median(struct series *s, struct qn_random *random) {
    memset(s->counts, 0, s->n * sizeof *s->counts);
    for (size_t taken = 0; taken < s->n;) {
        size_t at = qn_random_next(random) % s->n;
        for (size_t i = 0; i < s->block && taken < s->n; i++, taken++) {
            s->counts[s->ranks[at]]++;
            at = at + 1 < s->n ? at + 1 : 0;
        }
    }
    return 0.5 * (counted_at(s, (s->n - 1) / 2) + counted_at(s, s->n / 2));
}

static void interval(double *values, double confidence, double *low, double *high) {
    qn_sort(values, RESAMPLES);
    *low = qn_quantile(values, RESAMPLES, (1 - confidence) / 2);
    *high = qn_quantile(values, RESAMPLES, (1 + confidence) / 2);
}

enum qn_status qn_compare_medians(const double *a, size_t n_a, const double *b, size_t n_b,
                                  double confidence, uint64_t seed, struct qn_comparison *out,
                                  struct qn_error *err) {
    if (n_a == 0 || n_b == 0) return qn_fail(err, QN_BAD_ARGUMENT, "no samples to compare");
    struct series x = {0}, y = {0};
    struct qn_random random;
    double *const differences = calloc(2 * RESAMPLES, sizeof *differences);
    enum qn_status status = QN_OK;
    if (!differences || !series_new(a, n_a, &x) || !series_new(b, n_b, &y))
        status = qn_fail(err, QN_NO_MEMORY, "no memory for a comparison");
    qn_random_seed(&random, seed);
    for (int i = 0; status == QN_OK && i < RESAMPLES; i++) {
        const double m = resampled_median(&x, &random), n = resampled_median(&y, &random);
        differences[i] = n - m;
        differences[RESAMPLES + i] = m > 0 ? n / m : 0;
    }
    if (status == QN_OK) {
        *out = (struct qn_comparison){.a = qn_quantile(x.sorted, n_a, 0.5),
                                      .b = qn_quantile(y.sorted, n_b, 0.5)};
        const bool apart = x.sorted[n_a - 1] < y.sorted[0] || y.sorted[n_b - 1] < x.sorted[0];
        const size_t fewer = n_a < n_b ? n_a : n_b;
        out->has_interval = fewer >= QN_TOO_FEW;
        out->too_few = !out->has_interval || (fewer < QN_FEW && !apart);
        interval(differences, confidence, &out->low, &out->high);
        interval(differences + RESAMPLES, confidence, &out->ratio_low, &out->ratio_high);
    }
    series_free(&x);
    series_free(&y);
    free(differences);
    return status;
}
