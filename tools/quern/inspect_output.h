/* SPDX-License-Identifier: Apache-2.0
 *
 * The report of inspect as text.
 */
#ifndef QUERN_TOOLS_INSPECT_OUTPUT_H
#define QUERN_TOOLS_INSPECT_OUTPUT_H

#include <jansson.h>

void inspect_print(const json_t *report);

#endif
