/* SPDX-License-Identifier: Apache-2.0
 *
 * run --explain-slow: remembers what each token met, and names those that took too long.
 */
#ifndef QUERN_TOOLS_SLOW_REPORT_H
#define QUERN_TOOLS_SLOW_REPORT_H

#include "quern.h"
#include "report/slow.h"

struct slow_report {
    struct qn_slow_watch watch;
    struct qn_slow_reading *readings; /* [n] */
    int32_t *tokens;                  /* [n] */
    size_t n, capacity;
    bool watching;
};

/* Before the first token that counts. */
void slow_report_start(struct slow_report *report);
/* A token is done. bytes: that were read for it. */
void slow_report_token(struct slow_report *report, int32_t token, uint64_t bytes);
/* On stderr: tokens that took longer than `factor` times the median, and why. */
void slow_report_print(const struct slow_report *report, const struct quern_model *model,
                       double factor);
void slow_report_free(struct slow_report *report);

#endif
