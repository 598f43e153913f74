/* SPDX-License-Identifier: Apache-2.0
 *
 * The largest context that fits into a machine's memory.
 */
#ifndef QN_REPORT_CAPACITY_H
#define QN_REPORT_CAPACITY_H

#include "plan/plan.h"

/* Bytes of packed weights, KV cache, work buffers and scratch; what lies between them in the arena
 * is never touched. */
size_t qn_capacity_needed(const struct qn_plan *plan);

/* The largest context whose weights and session need at most so many bytes, with caches of the type
 * and everything else as in the plan; 0 when none does, or the model cannot have such caches. At
 * most the positions that a model has learned, and QN_CAPACITY_MAX. By bisection over qn_plan_new:
 * a longer context never needs less. */
enum { QN_CAPACITY_MAX = 1 << 24 };
int qn_capacity_context(const struct qn_plan *plan, enum qn_cache cache, double memory);

#endif
