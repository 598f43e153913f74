/* SPDX-License-Identifier: Apache-2.0 */
#include "report/interval.h"

#include <math.h>

/* The probability of |T| < t: Abramowitz and Stegun, Handbook of Mathematical Functions (1964),
 * 26.7.3 (odd n) and 26.7.4 (even n), with theta = atan(t / sqrt(n)). */
static double student_within(int n, double t) {
    static const double half_pi = 1.57079632679489661923;
    const double theta = atan(t / sqrt(n)), c = cos(theta), s = sin(theta);
    const int odd = n % 2;
    double term = odd ? c : 1, sum = n > 1 ? term : 0;
    for (int k = odd ? 3 : 2; k <= n - 2; k += 2) {
        term *= c * c * (k - 1) / k;
        sum += term;
    }
    return odd ? (theta + s * sum) / half_pi : s * sum;
}

double qn_student_quantile(int n_free, double probability) {
    const double within = 2 * probability - 1;
    double low = 0, high = 1;
    while (student_within(n_free, high) < within && high < 1e12) high *= 2;
    while (high - low > 1e-10 * high) {
        const double middle = 0.5 * (low + high);
        if (student_within(n_free, middle) < within)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

struct qn_mean qn_mean_of(const double *samples, size_t n, double confidence) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += samples[i];
    const double mean = sum / (double)n;
    if (n < 2) return (struct qn_mean){mean, 0, NAN, NAN};
    for (size_t i = 0; i < n; i++) squares += (samples[i] - mean) * (samples[i] - mean);
    const double deviation = sqrt(squares / (double)(n - 1));
    const double half =
        qn_student_quantile((int)n - 1, 0.5 + 0.5 * confidence) * deviation / sqrt((double)n);
    return (struct qn_mean){mean, deviation, mean - half, mean + half};
}
