/* SPDX-License-Identifier: Apache-2.0
 *
 * Which rows of a step's products a thread has. Packing, which touches memory first, and executing
 * divide by the same rule, so that a thread's weights lie on its node.
 */
#ifndef QN_RUN_DIVISION_H
#define QN_RUN_DIVISION_H

#include "plan/plan.h"

/* A set of products that are cut at the same rows: gate and up together, else one each. */
struct qn_group {
    int first, count; /* products */
    int n;            /* rows */
    int granule;      /* cuts are multiples of it */
    size_t cost;      /* bytes of one granule */
    size_t base;      /* where it begins on the line */
};

/* The granules of a step's groups lie one behind the other on a line as long as their bytes. A
 * thread has those that start within its even part of it. */
struct qn_line {
    struct qn_group groups[3];
    int n_groups;
    size_t size;
};

struct qn_line qn_line_of(const struct qn_plan *plan, const struct qn_step *step);
/* Where a thread's part of the line begins; that of thread n_threads: its end. */
size_t qn_line_share(const struct qn_line *line, int thread, int n_threads);
/* The first row of a group whose granule starts at `at` or behind it; n: none. */
int qn_group_row(const struct qn_group *group, size_t at);

/* For each weight of the specification, the first tile of each thread that decodes, then the number
 * of tiles (of one part): cuts [n_weights][n_threads + 1]. Errors: those of a plan. */
enum qn_status qn_division_tiles(const struct qn_spec *spec, int n_threads, int *cuts,
                                 struct qn_error *err);

#endif
