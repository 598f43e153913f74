/* SPDX-License-Identifier: Apache-2.0
 *
 * The attention step: who attends with which heads over which positions.
 */
#ifndef QN_RUN_ATTENTION_H
#define QN_RUN_ATTENTION_H

#include "run/executor.h"

/* Decides how the threads of a pass divide a single token's attention, before they start. */
void qn_attention_divide(struct qn_executor *executor);

/* A thread's part of the step; the number of pieces that it was. */
int qn_attention_run(const struct qn_executor *executor, const struct qn_step *step, int thread);

#endif
