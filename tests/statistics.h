/* SPDX-License-Identifier: Apache-2.0
 *
 * Tests of distributions, free of any test framework.
 */
#ifndef QN_TESTS_STATISTICS_H
#define QN_TESTS_STATISTICS_H

#include <stddef.h>

/* Pearson's statistic of counts [n] against probabilities [n] that sum to 1. Cells expected less
 * than 5 times are pooled into one, as the chi-square approximation asks. *freedom is the number
 * of cells - 1. Infinite when a cell of probability 0 was seen. */
double chi_square(const size_t *counts, const double *probabilities, size_t n, int *freedom);

/* The value that a chi-square variable exceeds once in 10^6, by Wilson and Hilferty: its cube
 * root is nearly normal. */
double chi_square_limit(int freedom);

#endif
