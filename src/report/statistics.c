/* SPDX-License-Identifier: Apache-2.0 */
#include "report/statistics.h"

#include <stdlib.h>

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
