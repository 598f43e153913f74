/* SPDX-License-Identifier: Apache-2.0
 *
 * The MATMUL step: divides the rows of its products over the threads and finishes each piece
 * where it was computed.
 */
#ifndef QN_RUN_PRODUCTS_H
#define QN_RUN_PRODUCTS_H

#include "run/executor.h"

/* This thread's part of the step for n_rows prepared rows; the number of pieces that it was. */
int qn_products_run(const struct qn_executor *executor, const struct qn_step *step, int thread,
                    int n_rows);

#endif
