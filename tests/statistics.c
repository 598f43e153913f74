/* SPDX-License-Identifier: Apache-2.0
 *
 * Pearson's chi-square statistic and its tail.
 */
#include "tests/statistics.h"

#include <math.h>

double chi_square(const size_t *counts, const double *probabilities, size_t n, int *freedom) {
    size_t total = 0;
    for (size_t i = 0; i < n; i++) total += counts[i];

    double sum = 0, pooled_count = 0, pooled_expected = 0;
    *freedom = -1;
    for (size_t i = 0; i < n; i++) {
        const double expected = probabilities[i] * (double)total;
        if (probabilities[i] == 0) {
            if (counts[i] > 0) return INFINITY;
        } else if (expected < 5) {
            pooled_count += (double)counts[i];
            pooled_expected += expected;
        } else {
            const double difference = (double)counts[i] - expected;
            sum += difference * difference / expected;
            ++*freedom;
        }
    }
    if (pooled_expected > 0) {
        const double difference = pooled_count - pooled_expected;
        sum += difference * difference / fmax(pooled_expected, 1);
        ++*freedom;
    }
    return sum;
}

double chi_square_limit(int freedom) {
    const double z = 4.753424; /* normal quantile of 1 - 10^-6 */
    const double k = freedom > 0 ? freedom : 1;
    const double root = 1 - 2 / (9 * k) + z * sqrt(2 / (9 * k));
    return k * root * root * root;
}
