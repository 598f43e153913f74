/* SPDX-License-Identifier: Apache-2.0
 *
 * What a step of a plan has to do at the least, whatever the machine.
 */
#ifndef QN_REPORT_COST_H
#define QN_REPORT_COST_H

#include "kernels/peak.h"
#include "plan/plan.h"
#include "run/record.h"

/* Nominal cost: bytes that have to be read or written once, multiply-adds counted as two. */
struct qn_cost {
    double bytes, flops;
};

/* In a pass of so many tokens and outputs that see so much of the cache. */
struct qn_cost qn_plan_cost(const struct qn_plan *plan, int step, const struct qn_pass *pass);

/* The arithmetic that bounds a step: of several products that of the one with most operations.
 * bundles: instruction sets that the kernels are chosen from. */
struct qn_peak_use qn_plan_peak_use(const struct qn_plan *plan, int step, uint32_t bundles);

#endif
