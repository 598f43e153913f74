/* SPDX-License-Identifier: Apache-2.0
 *
 * Well-known libraries on the laboratory's shapes: y = x w^T of floats, as matmul of F32
 * weights, and of bf16 and of bytes (without scales) where they have it. They are loaded at run
 * time where they are installed.
 */
#ifndef QN_REPORT_LAB_BLAS_H
#define QN_REPORT_LAB_BLAS_H

#include "report/lab.h"

struct qn_blas {
    const char *name;    /* "openblas" */
    const char *variant; /* what it multiplies: "F32", "BF16", "INT8" */
    int call;            /* which of its functions */
    void *handle, *gemm, *set_threads;
    char detail[64]; /* "SkylakeX", "2.6.0" */
};

enum { QN_BLAS_VARIANTS = 3 };

/* Opens a library: one entry of `blas` [QN_BLAS_VARIANTS] for each kind of product that it has
 * here; *n of them. QN_NOT_FOUND with the package that has it; QN_BAD_ARGUMENT (an unknown name). A
 * library's threads stop at the end of the process: it stays loaded. */
enum qn_status qn_blas_open(const char *name, struct qn_blas *blas, int *n, struct qn_error *err);

/* As qn_lab_measure; takes m, n and k of the shape. No pool may be alive that has pinned the
 * caller, or the library's threads share its core. Of more than one thread the times are those of
 * the clock on the wall. */
enum qn_status qn_blas_measure(const struct qn_blas *blas, const struct qn_caches *caches,
                               int n_threads, const struct qn_lab_shape *shape, enum qn_level where,
                               const struct qn_lab_options *options, struct qn_lab_result *result,
                               struct qn_error *err);

#endif
