/* SPDX-License-Identifier: Apache-2.0
 *
 * How long a plan takes at the least on a machine that was measured: the roofline of
 * report/roofline.h, before anything runs. Waiting at barriers and starting threads come on top.
 */
#ifndef QN_REPORT_PREDICT_H
#define QN_REPORT_PREDICT_H

#include "report/cost.h"
#include "report/roofline.h"

enum { QN_PREDICTED_PREFILL = 512 };

/* Fills times for a prefill of 512 tokens, or the context where that is shorter, and for the token
 * after it. bundles: instruction sets that the kernels are chosen from. Errors: QN_NO_MEMORY. */
enum qn_status qn_predict(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                          struct qn_plan_times *times, struct qn_error *err);
/* The least time, in nanoseconds, of n_prompt tokens in ubatches and then n_gen tokens one by one,
 * after `depth` tokens that are in the cache already; logits of the last one of the prompt, and of
 * each after it. Of many tokens one by one, some stand for their neighbours. */
double qn_predict_run(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                      int depth, int n_prompt, int n_gen);
void qn_predict_free(struct qn_plan_times *times); /* idempotent */

#endif
