/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of kernel measurements as tables, CSV and JSON.
 */
#ifndef QUERN_TOOLS_KBENCH_OUTPUT_H
#define QUERN_TOOLS_KBENCH_OUTPUT_H

#include "report/lab.h"

struct kbench_row {
    const char *op, *variant, *function;
    const char *isa;  /* or what a library says of itself */
    const char *name; /* in place of op and variant in tables; NULL: those */
    struct qn_lab_shape shape;
    enum qn_level where; /* asked for */
    int n_threads;
    struct qn_lab_result result;
    double peak; /* GOP/s of these threads, 0: none to compare with */
    double read; /* GB/s of the level that the operands lie in */
    bool noisy;  /* peak, read or the row itself */
};

struct kbench_output {
    const char *form; /* "md", "csv", "json" */
    int n_printed;
    char group[128]; /* md: what the last heading said */
};

void kbench_print_row(struct kbench_output *output, const struct kbench_row *row);
void kbench_print_end(const struct kbench_output *output);

#endif
