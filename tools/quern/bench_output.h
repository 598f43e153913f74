/* SPDX-License-Identifier: Apache-2.0
 *
 * Results of the bench as Markdown, CSV or JSON, with llama-bench's names of columns, so that
 * scripts made for it read ours too; columns that it has not come last.
 */
#ifndef QUERN_TOOLS_BENCH_OUTPUT_H
#define QUERN_TOOLS_BENCH_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "quern.h"

struct bench_result {
    const char *model_path;
    struct quern_model_info model;
    int n_batch, n_ubatch;
    const char *type_k, *type_v;
    int n_prompt, n_gen;
    uint64_t *samples; /* [n_samples] nanoseconds of a run */
    int n_samples;
    uint64_t bytes; /* read by one run */
};

/* form: "md", "csv" or "json". */
void bench_print_result(const char *form, const struct bench_result *result, bool first);
void bench_print_end(const char *form, int n_printed);

#endif
