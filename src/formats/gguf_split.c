/* SPDX-License-Identifier: Apache-2.0
 *
 * Models in several files: part I of N is named PREFIX-0000I-of-0000N.gguf and says the same in
 * its keys split.no (from 0) and split.count.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "formats/gguf_internal.h"

/* Fills *out when the part has the key; leaves it alone when not. */
static enum qn_status optional_u64(const struct qn_gguf_part *part, const char *key, uint64_t *out,
                                   bool *found, struct qn_error *err) {
    const struct qn_gguf_value *value = qn_gguf_find_in(part->values, part->n_values, key);
    *found = value != NULL;
    if (!value) return QN_OK;
    struct qn_error cause;
    const enum qn_status status = qn_gguf_value_u64(value, out, &cause);
    return status == QN_OK ? QN_OK : qn_fail(err, status, "%s: %s", part->path, cause.message);
}

enum qn_status qn_gguf_read_split(const struct qn_gguf_part *part, struct qn_gguf_split *split,
                                  struct qn_error *err) {
    *split = (struct qn_gguf_split){.index = 0, .count = 1, .n_tensors = part->n_tensors};
    bool has_count, has_index, has_tensors;
    QN_TRY(optional_u64(part, "split.count", &split->count, &has_count, err));
    if (!has_count || split->count <= 1) {
        split->count = 1;
        return QN_OK;
    }
    QN_TRY(optional_u64(part, "split.no", &split->index, &has_index, err));
    QN_TRY(optional_u64(part, "split.tensors.count", &split->n_tensors, &has_tensors, err));
    if (!has_index || !has_tensors)
        return qn_fail(err, QN_BAD_FILE, "%s: has the key 'split.count' but not '%s'", part->path,
                       has_index ? "split.tensors.count" : "split.no");
    if (split->count > QN_GGUF_MAX_PARTS || split->index >= split->count)
        return qn_fail(err, QN_BAD_FILE,
                       "%s: has 'split.no' %" PRIu64 " and 'split.count' %" PRIu64
                       ", expected no below count and count up to %u",
                       part->path, split->index, split->count, QN_GGUF_MAX_PARTS);
    return QN_OK;
}

enum qn_status qn_gguf_split_path(const char *path, const struct qn_gguf_split *split,
                                  uint64_t index, char **out, struct qn_error *err) {
    char suffix[64];
    const int size = snprintf(suffix, sizeof suffix, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf",
                              split->index + 1, split->count);
    const size_t length = strlen(path);
    if (length < (size_t)size || strcmp(path + length - (size_t)size, suffix) != 0)
        return qn_fail(err, QN_BAD_FILE,
                       "%s: is part %" PRIu64 " of %" PRIu64 " by its keys, so its name has to end "
                       "in %s for the other parts to be found",
                       path, split->index + 1, split->count, suffix);
    char *other = malloc(length + 1);
    if (!other) return qn_fail(err, QN_NO_MEMORY, "no memory for a path");
    memcpy(other, path, length - (size_t)size);
    snprintf(other + length - (size_t)size, (size_t)size + 1,
             "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", index + 1, split->count);
    *out = other;
    return QN_OK;
}
