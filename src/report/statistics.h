/* SPDX-License-Identifier: Apache-2.0
 *
 * Samples of times: quantiles, and how far a ratio of two medians or means can be trusted.
 */
#ifndef QN_REPORT_STATISTICS_H
#define QN_REPORT_STATISTICS_H

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

#endif
