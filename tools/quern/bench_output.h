/* SPDX-License-Identifier: Apache-2.0
 *
 * Results of the bench as Markdown, CSV, JSON, JSON lines or SQL, with llama-bench's names of
 * columns and forms of values, so that scripts made for it read ours too; columns that it has not
 * come last.
 */
#ifndef QUERN_TOOLS_BENCH_OUTPUT_H
#define QUERN_TOOLS_BENCH_OUTPUT_H

#include "bench_row.h"

#define BENCH_FORMS "md|csv|json|jsonl|sql"

struct bench_output {
    const char *form;                       /* of BENCH_FORMS */
    bool n_batch, n_ubatch, type_k, type_v; /* md: what differs from the default, or by row */
    int n_printed;
};

void bench_print_row(struct bench_output *output, const struct bench_row *row);
/* After at least one row; last: that which was printed last. */
void bench_print_end(const struct bench_output *output, const struct bench_row *last);

#endif
