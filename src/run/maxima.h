/* SPDX-License-Identifier: Apache-2.0
 *
 * The largest of each block of logits, which the threads that compute them find on the way: greedy
 * choice looks into one block, top-k into those that may hold a survivor.
 */
#ifndef QN_RUN_MAXIMA_H
#define QN_RUN_MAXIMA_H

#include "plan/plan.h"

/* logits [n] -> maxima [qn_n_maxima(n)]: -infinity where nothing in the block is larger; no
 * comparison with a NaN is true. */
void qn_maxima_find(const float *logits, int n, float *maxima);

#endif
