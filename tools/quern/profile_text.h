/* SPDX-License-Identifier: Apache-2.0
 *
 * A profile for the terminal.
 */
#ifndef QUERN_TOOLS_PROFILE_TEXT_H
#define QUERN_TOOLS_PROFILE_TEXT_H

#include "quern.h"
#include "report/profile.h"

/* overhead: what recording costs, see profile_run_overhead. EXIT_DONE, or EXIT_FAILED with the
 * sentence printed. */
int profile_print(const struct qn_profile *profile, const struct quern_model_info *model,
                  const struct qn_comparison *overhead);

#endif
