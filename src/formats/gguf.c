/* SPDX-License-Identifier: Apache-2.0
 *
 * The GGUF reader: opens the files of a model, joins their tensors and indexes keys and tensors
 * by name. Lookups are binary searches in sorted pointers: no input can make them slow.
 */
#include "formats/gguf.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/gguf_internal.h"

/* ---- parts ---- */

static void close_part(struct qn_gguf_part *part) {
    qn_file_map_close(&part->map);
    free(part->path);
    free(part->values);
    free(part->tensors);
    free(part->names);
    *part = (struct qn_gguf_part){0};
}

static enum qn_status open_part(const char *path, struct qn_gguf_part *part, struct qn_error *err) {
    QN_TRY(qn_file_map_open(path, &part->map, err));
    part->data = part->map.data;
    part->size = part->map.size;
    part->path = strdup(path);
    enum qn_status status = part->path ? QN_OK : qn_fail(err, QN_NO_MEMORY, "no memory for a path");
    if (status == QN_OK) status = qn_gguf_read_header(part, err);
    if (status != QN_OK) close_part(part);
    return status;
}

/* Opens part `index` of the split that `given` belongs to. */
static enum qn_status open_other_part(const struct qn_gguf_part *given,
                                      const struct qn_gguf_split *split, uint64_t index,
                                      struct qn_gguf_part *part, struct qn_error *err) {
    char *path = NULL;
    QN_TRY(qn_gguf_split_path(given->path, split, index, &path, err));
    struct qn_error cause = {0};
    enum qn_status status = open_part(path, part, &cause);
    free(path);
    if (status != QN_OK)
        return qn_fail(err, status, "part %" PRIu64 " of %" PRIu64 ": %s", index + 1, split->count,
                       cause.message);
    struct qn_gguf_split own;
    QN_TRY(qn_gguf_read_split(part, &own, err));
    if (own.index != index || own.count != split->count || own.n_tensors != split->n_tensors)
        return qn_fail(err, QN_BAD_FILE,
                       "%s: calls itself part %" PRIu64 " of %" PRIu64 " with %" PRIu64
                       " tensors in all, expected %" PRIu64 " of %" PRIu64 " with %" PRIu64,
                       part->path, own.index + 1, own.count, own.n_tensors, index + 1, split->count,
                       split->n_tensors);
    return QN_OK;
}

/* Moves the given part to its place among all parts and opens the others. */
static enum qn_status open_split(struct qn_gguf *gguf, struct qn_gguf_part *given,
                                 struct qn_error *err) {
    struct qn_gguf_split split;
    QN_TRY(qn_gguf_read_split(given, &split, err));
    gguf->parts = calloc((size_t)split.count, sizeof *gguf->parts);
    if (!gguf->parts)
        return qn_fail(err, QN_NO_MEMORY, "no memory for %" PRIu64 " parts", split.count);
    gguf->n_parts = (size_t)split.count;
    struct qn_gguf_part *place = &gguf->parts[split.index];
    *place = *given;
    *given = (struct qn_gguf_part){0};
    for (size_t i = 0; i < gguf->n_parts; i++) {
        if (&gguf->parts[i] == place) continue;
        QN_TRY(open_other_part(place, &split, i, &gguf->parts[i], err));
    }
    size_t n_tensors = 0;
    for (size_t i = 0; i < gguf->n_parts; i++) n_tensors += gguf->parts[i].n_tensors;
    if (n_tensors != split.n_tensors)
        return qn_fail(err, QN_BAD_FILE,
                       "%s: the parts hold %zu tensors, but 'split.tensors.count' is %" PRIu64,
                       place->path, n_tensors, split.n_tensors);
    return QN_OK;
}

/* ---- joining and indexing ---- */

static enum qn_status join_parts(struct qn_gguf *gguf, struct qn_error *err) {
    gguf->values = gguf->parts[0].values;
    gguf->n_values = gguf->parts[0].n_values;
    gguf->parts[0].values = NULL;
    if (gguf->n_parts == 1) {
        gguf->tensors = gguf->parts[0].tensors;
        gguf->n_tensors = gguf->parts[0].n_tensors;
        gguf->parts[0].tensors = NULL;
        return QN_OK;
    }
    for (size_t i = 0; i < gguf->n_parts; i++) gguf->n_tensors += gguf->parts[i].n_tensors;
    if (gguf->n_tensors == 0) return QN_OK;
    gguf->tensors = calloc(gguf->n_tensors, sizeof *gguf->tensors);
    if (!gguf->tensors)
        return qn_fail(err, QN_NO_MEMORY, "no memory for %zu tensors", gguf->n_tensors);
    size_t n = 0;
    for (size_t i = 0; i < gguf->n_parts; i++) {
        struct qn_gguf_part *part = &gguf->parts[i];
        if (part->n_tensors == 0) continue;
        memcpy(gguf->tensors + n, part->tensors, part->n_tensors * sizeof *part->tensors);
        n += part->n_tensors;
        free(part->tensors);
        part->tensors = NULL;
    }
    return QN_OK;
}

static int compare_strings(struct qn_string a, struct qn_string b) {
    const int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static int compare_values(const void *a, const void *b) {
    const struct qn_gguf_value *const *value_a = a, *const *value_b = b;
    return compare_strings((*value_a)->key, (*value_b)->key);
}

static int compare_tensor_names(const void *a, const void *b) {
    const struct qn_tensor *const *tensor_a = a, *const *tensor_b = b;
    return strcmp((*tensor_a)->name, (*tensor_b)->name);
}

static int compare_tensor_places(const void *a, const void *b) {
    const struct qn_tensor *const *tensor_a = a, *const *tensor_b = b;
    const uintptr_t place_a = (uintptr_t)(*tensor_a)->data, place_b = (uintptr_t)(*tensor_b)->data;
    return (place_a > place_b) - (place_a < place_b);
}

static enum qn_status index_values(struct qn_gguf *gguf, struct qn_error *err) {
    const size_t n = gguf->n_values;
    if (n == 0) return QN_OK;
    const struct qn_gguf_value **sorted = malloc(n * sizeof(*sorted));
    if (!sorted) return qn_fail(err, QN_NO_MEMORY, "no memory for %zu keys", n);
    for (size_t i = 0; i < n; i++) sorted[i] = &gguf->values[i];
    gguf->values_by_key = sorted;
    qsort(sorted, n, sizeof(*sorted), compare_values);
    for (size_t i = 1; i < n; i++) {
        if (compare_strings(sorted[i - 1]->key, sorted[i]->key) != 0) continue;
        const int shown = (int)(sorted[i]->key.size < 80 ? sorted[i]->key.size : 80);
        return qn_fail(err, QN_BAD_FILE, "%s: has the key '%.*s' twice", gguf->parts[0].path, shown,
                       sorted[i]->key.data);
    }
    return QN_OK;
}

static enum qn_status index_tensors(struct qn_gguf *gguf, struct qn_error *err) {
    const size_t n = gguf->n_tensors;
    if (n == 0) return QN_OK;
    const struct qn_tensor **sorted = malloc(n * sizeof(*sorted));
    if (!sorted) return qn_fail(err, QN_NO_MEMORY, "no memory for %zu tensors", n);
    gguf->tensors_by_name = sorted;
    for (size_t i = 0; i < n; i++) sorted[i] = &gguf->tensors[i];
    /* Parts are separate mappings, so addresses order the data of all of them at once. */
    qsort(sorted, n, sizeof(*sorted), compare_tensor_places);
    for (size_t i = 1; i < n; i++) {
        const uintptr_t end = (uintptr_t)sorted[i - 1]->data + sorted[i - 1]->size;
        if (end > (uintptr_t)sorted[i]->data)
            return qn_fail(err, QN_BAD_FILE, "%s: the data of tensors '%s' and '%s' overlap",
                           gguf->parts[0].path, sorted[i - 1]->name, sorted[i]->name);
    }
    qsort(sorted, n, sizeof(*sorted), compare_tensor_names);
    for (size_t i = 1; i < n; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
            return qn_fail(err, QN_BAD_FILE, "%s: has the tensor '%s' twice", gguf->parts[0].path,
                           sorted[i]->name);
    }
    return QN_OK;
}

/* ---- opening ---- */

/* Takes over the given part, whether it succeeds or not. */
static enum qn_status finish(struct qn_gguf_part *given, struct qn_gguf **out,
                             struct qn_error *err) {
    struct qn_gguf *gguf = calloc(1, sizeof *gguf);
    enum qn_status status = gguf ? QN_OK : qn_fail(err, QN_NO_MEMORY, "no memory for a model file");
    if (status == QN_OK) status = open_split(gguf, given, err);
    if (status == QN_OK) status = join_parts(gguf, err);
    if (status == QN_OK) status = index_values(gguf, err);
    if (status == QN_OK) status = index_tensors(gguf, err);
    close_part(given);
    if (status == QN_OK)
        *out = gguf;
    else
        qn_gguf_close(gguf);
    return status;
}

enum qn_status qn_gguf_open(const char *path, struct qn_gguf **out, struct qn_error *err) {
    *out = NULL;
    struct qn_gguf_part part = {0};
    QN_TRY(open_part(path, &part, err));
    return finish(&part, out, err);
}

enum qn_status qn_gguf_open_memory(const void *data, size_t size, const char *name,
                                   struct qn_gguf **out, struct qn_error *err) {
    *out = NULL;
    struct qn_gguf_part part = {.data = data, .size = size, .path = strdup(name)};
    if (!part.path) return qn_fail(err, QN_NO_MEMORY, "no memory for a name");
    struct qn_gguf_split split;
    enum qn_status status = qn_gguf_read_header(&part, err);
    if (status == QN_OK) status = qn_gguf_read_split(&part, &split, err);
    if (status == QN_OK && split.count > 1)
        status = qn_fail(err, QN_UNSUPPORTED, "%s: is one of %" PRIu64 " parts of a split model",
                         name, split.count);
    if (status == QN_OK) return finish(&part, out, err);
    close_part(&part);
    return status;
}

void qn_gguf_close(struct qn_gguf *gguf) {
    if (!gguf) return;
    for (size_t i = 0; i < gguf->n_parts; i++) close_part(&gguf->parts[i]);
    free(gguf->parts);
    free(gguf->values);
    free(gguf->values_by_key);
    free(gguf->tensors);
    free(gguf->tensors_by_name);
    free(gguf);
}

/* ---- lookups ---- */

size_t qn_gguf_n_values(const struct qn_gguf *gguf) {
    return gguf->n_values;
}

const struct qn_gguf_value *qn_gguf_value_at(const struct qn_gguf *gguf, size_t i) {
    return &gguf->values[i];
}

const struct qn_gguf_value *qn_gguf_find(const struct qn_gguf *gguf, const char *key) {
    const struct qn_gguf_value wanted = {.key = {key, strlen(key)}}, *pointer = &wanted;
    if (gguf->n_values == 0) return NULL;
    const struct qn_gguf_value *const *found =
        bsearch(&pointer, gguf->values_by_key, gguf->n_values, sizeof(*found), compare_values);
    return found ? *found : NULL;
}

size_t qn_gguf_n_tensors(const struct qn_gguf *gguf) {
    return gguf->n_tensors;
}

const struct qn_tensor *qn_gguf_tensor_at(const struct qn_gguf *gguf, size_t i) {
    return &gguf->tensors[i];
}

const struct qn_tensor *qn_gguf_find_tensor(const struct qn_gguf *gguf, const char *name) {
    const struct qn_tensor wanted = {.name = name}, *pointer = &wanted;
    if (gguf->n_tensors == 0) return NULL;
    const struct qn_tensor *const *found = bsearch(&pointer, gguf->tensors_by_name, gguf->n_tensors,
                                                   sizeof(*found), compare_tensor_names);
    return found ? *found : NULL;
}

/* ---- files ---- */

uint32_t qn_gguf_version(const struct qn_gguf *gguf) {
    return gguf->parts[0].version;
}

size_t qn_gguf_n_files(const struct qn_gguf *gguf) {
    return gguf->n_parts;
}

const struct qn_file_map *qn_gguf_file_at(const struct qn_gguf *gguf, size_t i) {
    return &gguf->parts[i].map;
}

size_t qn_gguf_file_size(const struct qn_gguf *gguf) {
    size_t size = 0;
    for (size_t i = 0; i < gguf->n_parts; i++) size += gguf->parts[i].size;
    return size;
}

enum qn_status qn_gguf_check_unchanged(const struct qn_gguf *gguf, struct qn_error *err) {
    for (size_t i = 0; i < gguf->n_parts; i++) {
        const struct qn_gguf_part *part = &gguf->parts[i];
        if (part->map.data) QN_TRY(qn_file_map_check(&part->map, part->path, err));
    }
    return QN_OK;
}

/* The part whose mapping holds the bytes. */
static const struct qn_gguf_part *part_of(const struct qn_gguf *gguf, const void *data) {
    const uintptr_t at = (uintptr_t)data;
    const struct qn_gguf_part *part = gguf->parts;
    while (at < (uintptr_t)part->data || at >= (uintptr_t)part->data + part->size) part++;
    return part;
}

void qn_gguf_prefetch(const struct qn_gguf *gguf, const void *data, size_t size) {
    const struct qn_gguf_part *const part = part_of(gguf, data);
    qn_file_map_prefetch(&part->map, (size_t)((const uint8_t *)data - part->data), size);
}

void qn_gguf_release(const struct qn_gguf *gguf, const void *data, size_t size) {
    const struct qn_gguf_part *const part = part_of(gguf, data);
    qn_file_map_release(&part->map, (size_t)((const uint8_t *)data - part->data), size);
}
