/* SPDX-License-Identifier: Apache-2.0
 *
 * What tools/reference.py has written of a model, and the same tensors of ours: pairs to compare.
 */
#ifndef QN_REPORT_REFERENCE_H
#define QN_REPORT_REFERENCE_H

#include <jansson.h>

#include "base/file_map.h"
#include "run/session.h"

struct qn_pair {
    const char *name;    /* "layers.0.q" */
    int layer;           /* -1 outside the layers */
    const char *module;  /* "q": what follows the layer in the name */
    int columns;         /* of [n] rows */
    const float *theirs; /* [n][columns] */
    float *ours;         /* [n][columns] */
    int n_seen;          /* rows of ours that came */
    struct qn_file_map map;
};

struct qn_reference {
    json_t *manifest;
    int n; /* positions */
    int32_t *ids;
    size_t n_pairs;
    struct qn_pair *pairs; /* in the order of the forward pass */
};

/* Reads the folder and evaluates its ids, in a session with a cache of this kind. Q and K of a
 * model that has the components of a rotated pair beside each other are brought into the
 * reference's order. Errors: QN_NOT_FOUND, QN_IO, QN_BAD_FILE for the folder's files,
 * QN_BAD_ARGUMENT where the reference is of another model (ids beyond the vocabulary, other
 * widths), those of sessions. */
enum qn_status qn_reference_open(const char *folder, struct qn_model *model, enum qn_cache cache,
                                 struct qn_reference *out, struct qn_error *err);
void qn_reference_close(struct qn_reference *reference); /* idempotent when zeroed */

/* NULL when the reference has none of that name. */
const struct qn_pair *qn_reference_find(const struct qn_reference *reference, int layer,
                                        const char *module);

#endif
