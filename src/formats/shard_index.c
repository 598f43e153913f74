/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/shard_index.h"

#include <stdlib.h>
#include <string.h>

#include "formats/json_file.h"

enum {
    MAX_INDEX_SIZE = 64 << 20, /* 70 000 tensors, the most known, take 10 MB */
    MAX_FILES = 1000,          /* each is an open file; the most known are 200 */
};

/* A file name, and nothing that leads out of the folder. */
static bool is_plain_name(const char *name) {
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int compare_names(const void *a, const void *b) {
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static enum qn_status list_files(const char *folder, const char *name, json_t *weight_map,
                                 struct qn_shard_index *index, struct qn_error *err) {
    const char *tensor;
    json_t *file;
    size_t n = 0;
    json_object_foreach(weight_map, tensor, file) {
        if (!json_is_string(file) || !is_plain_name(json_string_value(file)))
            return qn_fail(
                err, QN_BAD_FILE,
                "%s/%s: tensor '%.80s' is in '%.80s', which is not the name of a file in "
                "this folder",
                folder, name, tensor, json_is_string(file) ? json_string_value(file) : "?");
        index->files[n++] = json_string_value(file);
    }
    qsort(index->files, n, sizeof *index->files, compare_names);
    for (size_t i = 0; i < n; i++)
        if (index->n_files == 0 || strcmp(index->files[index->n_files - 1], index->files[i]) != 0)
            index->files[index->n_files++] = index->files[i];
    if (index->n_files <= MAX_FILES) return QN_OK;
    return qn_fail(err, QN_UNSUPPORTED, "%s/%s: names %zu files, at most %d are read", folder, name,
                   index->n_files, MAX_FILES);
}

enum qn_status qn_shard_index_read(const char *folder, const char *name,
                                   struct qn_shard_index *index, struct qn_error *err) {
    *index = (struct qn_shard_index){0};
    QN_TRY(qn_json_read(folder, name, MAX_INDEX_SIZE, &index->root, err));
    json_t *const weight_map = json_object_get(index->root, "weight_map");
    index->weight_map = weight_map;
    enum qn_status status = QN_OK;
    if (json_object_size(weight_map) == 0)
        status = qn_fail(err, QN_BAD_FILE, "%s/%s: has no object 'weight_map' that names tensors",
                         folder, name);
    else if (!(index->files = calloc(json_object_size(weight_map), sizeof *index->files)))
        status = qn_fail(err, QN_NO_MEMORY, "%s/%s: no memory for %zu names", folder, name,
                         json_object_size(weight_map));
    else
        status = list_files(folder, name, weight_map, index, err);
    if (status != QN_OK) qn_shard_index_free(index);
    return status;
}

const char *qn_shard_index_find(const struct qn_shard_index *index, const char *tensor) {
    return json_string_value(json_object_get(index->weight_map, tensor));
}

void qn_shard_index_free(struct qn_shard_index *index) {
    json_decref(index->root);
    free(index->files);
    *index = (struct qn_shard_index){0};
}
