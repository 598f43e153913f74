/* SPDX-License-Identifier: Apache-2.0
 *
 * Search for the value of a setting at which the engine is fastest. Knows nothing of models: what
 * is measured is the caller's.
 */
#ifndef QN_REPORT_TUNE_H
#define QN_REPORT_TUNE_H

#include <stdbool.h>

enum {
    QN_TUNE_MAX_POINTS = 32,
    QN_TUNE_ROUNDS = 3,   /* the least of which a median throws out a disturbed one */
    QN_TUNE_HALVINGS = 7, /* at most; without noise 6 are enough for 256 values */
    QN_TUNE_DUEL = 9,     /* rounds of the usual value against the best */
    QN_TUNE_MAX_SAMPLES = 64
};

/* Less than this is noise on a quiet machine. */
#define QN_TUNE_LEAST_GAIN 0.03

/* One measurement. value: of the setting; rate: the higher the better; joules: of energy a token,
 * 0 when not known. False: time is over, or nothing can be measured. */
struct qn_tune_meter {
    bool (*measure)(void *context, int value, double *rate, double *joules);
    void *context;
};

struct qn_tune_point {
    int value;
    int n; /* samples */
    double rate, joules;
    double rates[QN_TUNE_MAX_SAMPLES], energies[QN_TUNE_MAX_SAMPLES];
};

struct qn_tune_search {
    struct qn_tune_point points[QN_TUNE_MAX_POINTS]; /* by value; rate and joules are medians */
    int n_points, n_measured;                        /* measurements of all points */
    int usual, chosen;                               /* values */
    double gain;   /* of the best over the usual in the duel: 0.1 is 10 %; 0 without a duel */
    double noise;  /* that the gain had to exceed */
    bool complete; /* false: time was over before */
};

/* Measures the usual value and the n others, in rounds that take each once, so that what disturbs
 * the machine meets all; where `refine` is set then what lies between the best and its neighbours,
 * by halves until they are a 32nd of it away. At last the best meets the usual value again, by
 * turns. It is chosen when the median of the duel's ratios exceeds 1 by more than the noise: 3 %,
 * or half the width of that median's 95 % interval by its quartiles (McGill, Tukey and Larsen,
 * Variations of Box Plots, 1978), whichever is more. Of a response that rises to a peak and falls
 * it finds what is within 3 % of the best; on a plateau the usual value stays. */
void qn_tune_find(const int *values, int n, int usual, bool refine,
                  const struct qn_tune_meter *meter, struct qn_tune_search *search);

/* The point of a value, or NULL. */
const struct qn_tune_point *qn_tune_at(const struct qn_tune_search *search, int value);

/* Numbers of threads to begin with: 1, 2, 4, ... below n_cores, n_cores, and n_allowed (hardware
 * threads that share cores) where it is larger; none above `most`. values [16]; their number. */
int qn_tune_threads(int n_cores, int n_allowed, int most, int *values);

#endif
