/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/tensor_file.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

_Static_assert(sizeof(size_t) == sizeof(uint64_t), "sizes in files are counted in size_t");

enum qn_status qn_tensor_file_fail(const struct qn_tensor_file *file, struct qn_error *err,
                                   enum qn_status status, const char *format, ...) {
    enum { SHOWN = 160 };
    char message[320];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    const size_t length = strlen(file->path);
    const char *const path = length > SHOWN ? file->path + length - SHOWN : file->path;
    return qn_fail(err, status, "%s: %s", path, message);
}

/* ---- opening ---- */

enum qn_status qn_tensor_file_open(const char *path, struct qn_tensor_file *file,
                                   struct qn_error *err) {
    static const char lfs[] = "version https://git-lfs.github.com/spec/";
    *file = (struct qn_tensor_file){0};
    QN_TRY(qn_file_map_open(path, &file->map, err));
    file->data = file->map.data;
    file->size = file->map.size;
    file->path = strdup(path);
    enum qn_status status = file->path ? QN_OK : qn_fail(err, QN_NO_MEMORY, "no memory for a path");
    if (status == QN_OK && file->size >= sizeof lfs && memcmp(file->data, lfs, sizeof lfs - 1) == 0)
        status = qn_tensor_file_fail(file, err, QN_BAD_FILE,
                                     "is what Git LFS leaves in place of a file that was not "
                                     "downloaded; 'git lfs pull' in the folder gets it");
    if (status != QN_OK) qn_tensor_file_close(file);
    return status;
}

void qn_tensor_file_close(struct qn_tensor_file *file) {
    qn_file_map_close(&file->map);
    free(file->path);
    free(file->tensors);
    free(file->names);
    *file = (struct qn_tensor_file){0};
}

/* ---- records ---- */

enum qn_status qn_tensor_file_reserve(struct qn_tensor_file *file, size_t n, size_t names_size,
                                      struct qn_error *err) {
    if (n == 0) return QN_OK;
    file->tensors = calloc(n, sizeof *file->tensors);
    file->names = malloc(names_size);
    if (file->tensors && file->names) return QN_OK;
    return qn_tensor_file_fail(file, err, QN_NO_MEMORY, "no memory for %zu tensors", n);
}

struct qn_stored_tensor *qn_tensor_file_add(struct qn_tensor_file *file, const char *name,
                                            size_t name_size) {
    struct qn_stored_tensor *const stored = &file->tensors[file->n_tensors++];
    char *const copy = file->names + file->names_size;
    memcpy(copy, name, name_size);
    copy[name_size] = '\0';
    file->names_size += name_size + 1;
    stored->tensor.name = copy;
    return stored;
}

bool qn_stored_tensor_describe(struct qn_stored_tensor *stored, const struct qn_element *element,
                               const uint64_t *shape, size_t n_dims) {
    enum { HELD = sizeof stored->tensor.shape / sizeof *stored->tensor.shape };
    assert(n_dims <= QN_TENSOR_FILE_MAX_DIMS);
    struct qn_tensor *const tensor = &stored->tensor;
    size_t n = 1, bits;
    for (size_t i = 0; i < n_dims; i++)
        if (!qn_checked_mul(n, (size_t)shape[i], &n)) return false;
    if (!qn_checked_mul(n, element->bits, &bits) || bits % 8 != 0) return false;
    tensor->size = bits / 8;
    tensor->type = element->type;
    tensor->n_dims = (int)n_dims;
    for (size_t i = 0; i < HELD; i++) tensor->shape[i] = i < n_dims ? shape[n_dims - 1 - i] : 1;
    if (n_dims > HELD)
        stored->left_out = "more than 4 dimensions";
    else if (n == 0)
        stored->left_out = "no elements";
    else if (element->type == QN_TYPE_COUNT)
        stored->left_out = element->name;
    return true;
}
