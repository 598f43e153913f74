/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether the weights lie on the memory nodes of the threads that multiply them, read back from the
 * kernel.
 */
#ifndef QN_REPORT_LOCALITY_H
#define QN_REPORT_LOCALITY_H

#include "models/model.h"

enum { QN_LOCALITY_NODES = 64 };

struct qn_locality {
    bool known;     /* the kernel told */
    size_t n_pages; /* that were looked at: some of each thread's part of each matrix */
    size_t n_local; /* of them, on the node of the thread that reads them when decoding */
    size_t on_node[QN_LOCALITY_NODES]; /* of them, by node */
};

/* Errors: QN_NO_MEMORY, and those of a plan. */
enum qn_status qn_locality_read(const struct qn_model *model, struct qn_locality *locality,
                                struct qn_error *err);

/* "node 0", or "nodes 0-1, 98 % near their threads"; "not shown" where the kernel does not tell. */
void qn_locality_describe(const struct qn_locality *locality, char *text, size_t size);

#endif
