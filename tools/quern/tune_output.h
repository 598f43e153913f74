/* SPDX-License-Identifier: Apache-2.0
 *
 * What tuning measured and what it chose, as tables with bars or as JSON.
 */
#ifndef QUERN_TOOLS_TUNE_OUTPUT_H
#define QUERN_TOOLS_TUNE_OUTPUT_H

#include <jansson.h>

#include "report/tune_model.h"

/* "searching ..." of a search. */
const char *tune_title(enum qn_tune_what what);

void tune_print_report(const struct qn_tune_report *report);
void tune_print_settings(const struct qn_tuned *tuned);
json_t *tune_settings_json(const struct qn_tuned *tuned);
json_t *tune_report_json(const struct qn_tune_report *report);

#endif
