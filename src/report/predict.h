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
/* What each of n_sequences (1 or more) evaluates: n_prompt tokens in ubatches, one sequence after
 * the other, and then n_gen tokens one by one, those of all sequences together; after `depth`
 * tokens that are in the cache already. Logits of the last token of a prompt, and of each after it.
 */
struct qn_run {
    int depth, n_prompt, n_gen, n_sequences;
};
/* The least time of that, in nanoseconds. Of many tokens one by one, some stand for their
 * neighbours. */
double qn_predict_run(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                      const struct qn_run *run);
/* The operations that it takes, as of qn_plan_cost: a table of embeddings is looked up and not
 * multiplied, and of a prompt the head multiplies the last token alone. */
double qn_run_flops(const struct qn_plan *plan, const struct qn_run *run);
void qn_predict_free(struct qn_plan_times *times); /* idempotent */

#endif
