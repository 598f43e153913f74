/* SPDX-License-Identifier: Apache-2.0
 *
 * The roofline of a profile for the terminal.
 */
#ifndef QUERN_TOOLS_PROFILE_ROOFLINE_H
#define QUERN_TOOLS_PROFILE_ROOFLINE_H

#include "report/roofline.h"

/* What the machine was measured to do with the model's threads, from the cache or now. EXIT_DONE,
 * or EXIT_FAILED with the sentence printed. */
int profile_measure(const struct qn_model *model, const struct qn_machine_key *host,
                    struct qn_roof *roof);

int profile_print_roofline(const struct qn_profile *profile, const struct qn_roof *roof);

#endif
