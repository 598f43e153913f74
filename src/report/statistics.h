/* SPDX-License-Identifier: Apache-2.0
 *
 * Samples of times: quantiles, and how far a ratio of two medians or means can be trusted.
 */
#ifndef QN_REPORT_STATISTICS_H
#define QN_REPORT_STATISTICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

void qn_sort(double *values, size_t n);
/* Of sorted values, interpolated between neighbours (Hyndman and Fan's type 7); 0 of none. */
double qn_quantile(const double *sorted, size_t n, double q);

struct qn_spread {
    double sum, mean, p50, p95, p99, max;
};
/* Sorts the values. All 0 of none. */
struct qn_spread qn_spread_of(double *values, size_t n);

/* Two series of samples, each in the order in which they were taken. */
struct qn_comparison {
    double a, b;                  /* medians */
    double low, high;             /* of b - a */
    double ratio_low, ratio_high; /* of b / a */
    bool has_interval;            /* QN_TOO_FEW of each: resamples of fewer are much alike */
    bool too_few;                 /* and their ranges overlap: intervals of few samples are short */
};
/* Intervals of the given confidence (0.95) by 2000 resamples of blocks of about the square root of
 * the samples, because neighbours are disturbed together: the circular block bootstrap of Politis
 * and Romano (1992). Of fewer than QN_FEW samples the bootstrap promises too much: they differ only
 * where all of one series lie below all of the other, and there are four of each: chance does that
 * once in 35 times (2 of the 70 ways to divide eight). The same seed gives the same intervals.
 * Errors: QN_BAD_ARGUMENT (a series of none), QN_NO_MEMORY. */
enum { QN_FEW = 10, QN_TOO_FEW = 4 };
enum qn_status qn_compare_medians(const double *a, size_t n_a, const double *b, size_t n_b,
                                  double confidence, uint64_t seed, struct qn_comparison *out,
                                  struct qn_error *err);
/* Whether the interval of the difference leaves out 0. */
static inline bool qn_differ(const struct qn_comparison *c) {
    return !c->too_few && (c->low > 0 || c->high < 0);
}

#endif
