/* SPDX-License-Identifier: Apache-2.0
 *
 * Showing the tensors inside a forward pass to the caller. A session with a tap is planned so that
 * every tensor that has a name stands in a buffer of its own at some moment (limits.tapped); the
 * numbers are those of a session without.
 */
#ifndef QN_RUN_TAP_H
#define QN_RUN_TAP_H

#include "plan/plan.h"
#include "quern.h"

struct qn_executor;

struct qn_tap {
    quern_tap_fn *call; /* NULL: nobody looks */
    void *context;
    const char *const *patterns; /* ended by NULL; NULL: every name */
};

/* After a step, on thread 0, while the others wait: calls back with each tensor that the step has
 * completed and a pattern names. */
void qn_tap_step(const struct qn_executor *executor, const struct qn_step *step);

#endif
