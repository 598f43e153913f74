/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts that a plan is made of, in this order.
 */
#ifndef QN_PLAN_PLAN_INTERNAL_H
#define QN_PLAN_PLAN_INTERNAL_H

#include "plan/plan.h"

/* Fills plan->steps and n_steps from the specification; n_steps alone where steps is NULL. */
void qn_plan_add_steps(struct qn_plan *plan);

/* Fills the buffers and the layout from the steps. Errors: QN_NO_MEMORY (too large to address). */
enum qn_status qn_plan_lay_out(struct qn_plan *plan, struct qn_error *err);

/* Whether the model has weights of this role in the layer; none has any of QN_ROLE_COUNT. */
bool qn_plan_has(const struct qn_plan *plan, enum qn_role role, int layer);

#endif
