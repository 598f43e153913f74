/* SPDX-License-Identifier: Apache-2.0
 *
 * How far a mean of few samples can be trusted.
 */
#ifndef QN_REPORT_INTERVAL_H
#define QN_REPORT_INTERVAL_H

#include <stddef.h>

/* The number that a variable of Student's t distribution with n_free >= 1 degrees of freedom stays
 * below with the probability; in (0.5, 1). To 1e-9 of itself. */
double qn_student_quantile(int n_free, double probability);

/* Mean and deviation of samples (divided by n - 1; 0 of one), and the interval of their mean of the
 * given confidence (0.95) by Student's t: for samples that scatter about as a normal distribution.
 * n >= 1; of a single sample the interval is NAN. */
struct qn_mean {
    double mean, deviation, low, high;
};
struct qn_mean qn_mean_of(const double *samples, size_t n, double confidence);

#endif
