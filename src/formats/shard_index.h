/* SPDX-License-Identifier: Apache-2.0
 *
 * The index of a checkpoint in several files: {"weight_map": {TENSOR: FILE, ...}}, beside them.
 */
#ifndef QN_FORMATS_SHARD_INDEX_H
#define QN_FORMATS_SHARD_INDEX_H

#include <jansson.h>
#include <stddef.h>

#include "base/status.h"

struct qn_shard_index {
    json_t *root;
    json_t *weight_map; /* in root: tensor -> file */
    size_t n_files;
    const char **files; /* [n_files], each name once, in order; the names are in root */
};

/* Reads folder/name. Errors: as qn_json_read; QN_BAD_FILE for a file that is not beside the
 * index, QN_UNSUPPORTED for too many. */
enum qn_status qn_shard_index_read(const char *folder, const char *name,
                                   struct qn_shard_index *index, struct qn_error *err);
/* The file that a tensor is in; NULL when the index does not know the tensor. */
const char *qn_shard_index_find(const struct qn_shard_index *index, const char *tensor);
void qn_shard_index_free(struct qn_shard_index *index); /* a zeroed struct counts as free */

#endif
