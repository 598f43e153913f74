/* SPDX-License-Identifier: Apache-2.0
 *
 * A mixture of experts within a ubatch: who computes what, and the sum of the results. The products
 * themselves are in products.c.
 */
#ifndef QN_RUN_EXPERTS_H
#define QN_RUN_EXPERTS_H

#include "run/executor.h"
#include "run/slots.h"

/* The slots of the ubatch as the thread has numbered them, the same in each thread. */
struct qn_slots qn_experts_slots(const struct qn_executor *e, int thread);

/* Chooses the experts of the thread's share of the tokens; of a single token each thread does.
 * Returns how many it were. */
int qn_experts_route(const struct qn_executor *e, int thread);
void qn_experts_number(const struct qn_executor *e, const struct qn_step *step, int thread);

/* Elements [n0, n1) of every token: the sum over its slots, by rising expert, of weight times
 * output, starting from 0. */
void qn_experts_combine(const struct qn_executor *e, const struct qn_step *step, int n0, int n1,
                        int thread);

#endif
