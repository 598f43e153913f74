/* SPDX-License-Identifier: Apache-2.0
 *
 * What kbench measures: kernels, shapes, levels, as the command line gives them.
 */
#ifndef QUERN_TOOLS_KBENCH_CASES_H
#define QUERN_TOOLS_KBENCH_CASES_H

#include "options.h"
#include "report/plugin.h"

enum { KBENCH_MAX_SHAPES = 64, KBENCH_MAX_ROWS = 512, KBENCH_MAX_PLUGINS = 8 };

struct kbench_args {
    const char *shapes, *shapes_from, *rows, *heads, *where, *isa, *filter, *plugins, *against;
    struct qn_int_list n_threads, context;
    const char *output;
    float seconds;
    int samples;
    bool list, no_pin;
};

struct kbench_case {
    const struct qn_lab_kernel *kernel;
    struct qn_lab_shape shape;
    const char *problem; /* why the kernel does not take the shape; NULL: it does */
    bool plugin;
};

struct kbench_cases {
    struct qn_lab_kernel *kernels; /* free */
    int n_kernels;
    struct qn_plugin plugins[KBENCH_MAX_PLUGINS];
    int n_plugins;
    int n[KBENCH_MAX_SHAPES], k[KBENCH_MAX_SHAPES], n_shapes;
    int m[KBENCH_MAX_ROWS], n_m;
    int heads, g, d;
    bool where[QN_LEVEL_COUNT];
    struct kbench_case *cases; /* free; plug-ins' first */
    int n_cases, n_fit;        /* those without a problem */
    const char *problem;       /* the last, or NULL */
};

/* EXIT_DONE; otherwise an exit status with the sentence printed, and nothing to free. */
int kbench_cases_read(const struct kbench_args *args, struct kbench_cases *cases);
void kbench_cases_free(struct kbench_cases *cases);

/* Why nothing was found to list or to measure, in a sentence; EXIT_WRONG_USAGE. */
int kbench_say_nothing(const struct kbench_args *args, const struct kbench_cases *cases);

#endif
