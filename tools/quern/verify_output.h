/* SPDX-License-Identifier: Apache-2.0
 *
 * The report of verify as text.
 */
#ifndef QUERN_TOOLS_VERIFY_OUTPUT_H
#define QUERN_TOOLS_VERIFY_OUTPUT_H

#include <jansson.h>

/* What is being verified, and one stage when it is done. */
void verify_print_model(const json_t *model);
void verify_print_stage(const json_t *stage);
/* One row a model, one column a stage, in the order of the plan: the simple architectures first. */
void verify_print_table(const json_t *models);

#endif
