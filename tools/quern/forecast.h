/* SPDX-License-Identifier: Apache-2.0
 *
 * What the engine would make of a file, without loading its weights: for plan and inspect.
 */
#ifndef QUERN_TOOLS_FORECAST_H
#define QUERN_TOOLS_FORECAST_H

#include "kernels/kernels.h"
#include "options.h"
#include "plan/plan.h"

struct forecast {
    char *path;
    struct qn_checkpoint *checkpoint;
    struct qn_kernels kernels;
    struct qn_spec spec; /* of no meaning unless has_spec */
    struct qn_plan plan; /* of no meaning unless err.status is QN_OK */
    bool has_spec;
    struct qn_error err; /* why the engine cannot run the file */
};

/* EXIT_DONE when the file could be read, runnable or not; otherwise another exit status with the
 * sentence printed, and nothing to close. */
int forecast_open(const struct model_args *model_args, const struct session_args *session_args,
                  struct forecast *out);
void forecast_close(struct forecast *forecast);

#endif
