/* SPDX-License-Identifier: Apache-2.0
 *
 * Percentages as users write them: "3" or "3%".
 */
#ifndef QUERN_TOOLS_PERCENT_H
#define QUERN_TOOLS_PERCENT_H

#include <stdbool.h>

/* False, with the sentence printed, when it is none from 0 to a million. NULL leaves *percent. */
bool percent_parse(const char *option, const char *text, double *percent);

#endif
