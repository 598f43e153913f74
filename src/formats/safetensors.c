/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading of safetensors headers. Nothing in one is believed: each tensor's bytes are counted
 * from its type and shape, and all of them together must tile the data.
 */
#include "formats/safetensors.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as they are stored");

enum { MAX_HEADER_SIZE = 100000000 }; /* the reference implementation's */

static const struct qn_element elements[] = {
    {"F32", 32, QN_TYPE_F32},      {"F16", 16, QN_TYPE_F16},      {"BF16", 16, QN_TYPE_BF16},
    {"BOOL", 8, QN_TYPE_COUNT},    {"U8", 8, QN_TYPE_COUNT},      {"I8", 8, QN_TYPE_COUNT},
    {"U16", 16, QN_TYPE_COUNT},    {"I16", 16, QN_TYPE_COUNT},    {"U32", 32, QN_TYPE_COUNT},
    {"I32", 32, QN_TYPE_COUNT},    {"U64", 64, QN_TYPE_COUNT},    {"I64", 64, QN_TYPE_COUNT},
    {"F64", 64, QN_TYPE_COUNT},    {"C64", 64, QN_TYPE_COUNT},    {"F8_E4M3", 8, QN_TYPE_COUNT},
    {"F8_E5M2", 8, QN_TYPE_COUNT}, {"F8_E8M0", 8, QN_TYPE_COUNT}, {"F6_E2M3", 6, QN_TYPE_COUNT},
    {"F6_E3M2", 6, QN_TYPE_COUNT}, {"F4", 4, QN_TYPE_COUNT},
};

/* A file while its header is read. */
struct reader {
    struct qn_tensor_file *file;
    const uint8_t *data; /* [size], behind the header */
    size_t size;
    const char *name; /* of the tensor, for messages */
    struct qn_error *err;
};

/* "PATH: tensor 'NAME': MESSAGE". */
static enum qn_status fail(const struct reader *r, enum qn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

static enum qn_status fail(const struct reader *r, enum qn_status status, const char *format, ...) {
    char message[200];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return qn_tensor_file_fail(r->file, r->err, status, "tensor '%.80s': %s", r->name, message);
}

/* ---- one tensor ---- */

static enum qn_status read_element(const struct reader *r, const json_t *record,
                                   const struct qn_element **element) {
    const json_t *const value = json_object_get(record, "dtype");
    if (!json_is_string(value)) return fail(r, QN_BAD_FILE, "has no string 'dtype'");
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++) {
        *element = &elements[i];
        if (strcmp(elements[i].name, json_string_value(value)) == 0) return QN_OK;
    }
    return fail(r, QN_UNSUPPORTED, "has dtype '%.40s', which is not known",
                json_string_value(value));
}

/* A whole number that is not negative. */
static bool read_count(const json_t *value, uint64_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static enum qn_status read_shape(const struct reader *r, const json_t *record, uint64_t *shape,
                                 size_t *n_dims) {
    const json_t *const values = json_object_get(record, "shape");
    if (!json_is_array(values)) return fail(r, QN_BAD_FILE, "has no array 'shape'");
    *n_dims = json_array_size(values);
    if (*n_dims > QN_TENSOR_FILE_MAX_DIMS)
        return fail(r, QN_UNSUPPORTED, "has %zu dimensions, at most %u are read", *n_dims,
                    QN_TENSOR_FILE_MAX_DIMS);
    for (size_t i = 0; i < *n_dims; i++)
        if (!read_count(json_array_get(values, i), &shape[i]))
            return fail(r, QN_BAD_FILE, "has a shape that is not of whole numbers");
    return QN_OK;
}

static enum qn_status read_tensor(const struct reader *r, const json_t *record,
                                  struct qn_stored_tensor *stored) {
    const struct qn_element *element = NULL;
    uint64_t shape[QN_TENSOR_FILE_MAX_DIMS], start, end;
    size_t n_dims = 0;
    if (!json_is_object(record)) return fail(r, QN_BAD_FILE, "is not described by an object");
    QN_TRY(read_element(r, record, &element));
    QN_TRY(read_shape(r, record, shape, &n_dims));
    if (!qn_stored_tensor_describe(stored, element, shape, n_dims))
        return fail(r, QN_BAD_FILE, "has a shape whose bytes cannot be counted");
    const json_t *const offsets = json_object_get(record, "data_offsets");
    if (json_array_size(offsets) != 2 || !read_count(json_array_get(offsets, 0), &start) ||
        !read_count(json_array_get(offsets, 1), &end))
        return fail(r, QN_BAD_FILE, "has no two whole numbers in 'data_offsets'");
    if (start > end)
        return fail(r, QN_BAD_FILE,
                    "ends before it starts: data_offsets are %" PRIu64 " and %" PRIu64, start, end);
    if (end > r->size)
        return fail(r, QN_BAD_FILE,
                    "ends at byte %" PRIu64 " of the data, which is cut off: the "
                    "file has %zu bytes of data",
                    end, r->size);
    if (end - start != stored->tensor.size)
        return fail(r, QN_BAD_FILE, "has %" PRIu64 " bytes, but its dtype and shape need %zu",
                    end - start, stored->tensor.size);
    stored->tensor.data = r->data + start;
    return QN_OK;
}

/* ---- all tensors ---- */

/* Texts by name, which nothing here has a use for. */
static enum qn_status check_metadata(const struct reader *r, json_t *metadata) {
    const char *key;
    json_t *value;
    bool right = json_is_object(metadata);
    json_object_foreach(metadata, key, value) {
        right = right && json_is_string(value);
    }
    if (right) return QN_OK;
    return qn_tensor_file_fail(r->file, r->err, QN_BAD_FILE, "__metadata__ is not of strings");
}

static enum qn_status read_tensors(struct reader *r, json_t *header) {
    static const char metadata[] = "__metadata__";
    const char *name;
    json_t *record;
    size_t n = 0, names_size = 0;
    json_object_foreach(header, name, record) {
        n++;
        names_size += strlen(name) + 1;
    }
    QN_TRY(qn_tensor_file_reserve(r->file, n, names_size, r->err));
    json_object_foreach(header, name, record) {
        r->name = name;
        if (strcmp(name, metadata) != 0)
            QN_TRY(read_tensor(r, record, qn_tensor_file_add(r->file, name, strlen(name))));
        else
            QN_TRY(check_metadata(r, record));
    }
    return QN_OK;
}

/* By place; an empty tensor before the one that starts where it is. */
static int compare_places(const void *a, const void *b) {
    const struct qn_tensor *const *x = a, *const *y = b;
    const uintptr_t start_x = (uintptr_t)(*x)->data, start_y = (uintptr_t)(*y)->data;
    if (start_x != start_y) return start_x < start_y ? -1 : 1;
    return ((*x)->size > (*y)->size) - ((*x)->size < (*y)->size);
}

/* Each tensor must start where the one before it ends, and the last end where the file does. */
static enum qn_status check_tiling(const struct reader *r, const struct qn_tensor **sorted) {
    const struct qn_tensor_file *const file = r->file;
    for (size_t i = 0; i < file->n_tensors; i++) sorted[i] = &file->tensors[i].tensor;
    qsort(sorted, file->n_tensors, sizeof *sorted, compare_places);
    const uint8_t *end = r->data;
    for (size_t i = 0; i < file->n_tensors; i++) {
        const uint8_t *const data = sorted[i]->data;
        if (data < end)
            return qn_tensor_file_fail(file, r->err, QN_BAD_FILE,
                                       "the data of tensors '%.80s' and '%.80s' overlap",
                                       sorted[i - 1]->name, sorted[i]->name);
        if (data > end)
            return qn_tensor_file_fail(file, r->err, QN_BAD_FILE,
                                       "%zu bytes before the data of tensor '%.80s' belong to none",
                                       (size_t)(data - end), sorted[i]->name);
        end = data + sorted[i]->size;
    }
    const size_t rest = (size_t)(r->data + r->size - end);
    if (rest == 0) return QN_OK;
    return qn_tensor_file_fail(file, r->err, QN_BAD_FILE,
                               "%zu bytes at the end of the file belong to no tensor", rest);
}

static enum qn_status check_places(const struct reader *r) {
    const struct qn_tensor **const sorted = malloc((r->file->n_tensors + 1) * sizeof(*sorted));
    if (!sorted) return qn_tensor_file_fail(r->file, r->err, QN_NO_MEMORY, "no memory to sort");
    const enum qn_status status = check_tiling(r, sorted);
    free(sorted);
    return status;
}

/* ---- the file ---- */

static enum qn_status parse_header(const struct qn_tensor_file *file, size_t size, json_t **header,
                                   struct qn_error *err) {
    json_error_t problem;
    const char *const text = (const char *)file->data + sizeof(uint64_t);
    if (size == 0 || *text != '{')
        return qn_tensor_file_fail(file, err, QN_BAD_FILE, "its header does not begin with {");
    *header = json_loadb(text, size, JSON_REJECT_DUPLICATES, &problem);
    if (*header) return QN_OK;
    return qn_tensor_file_fail(file, err, QN_BAD_FILE, "header, byte %d: %s", problem.position,
                               problem.text);
}

enum qn_status qn_safetensors_read(struct qn_tensor_file *file, struct qn_error *err) {
    uint64_t size;
    if (file->size < sizeof size)
        return qn_tensor_file_fail(file, err, QN_BAD_FILE,
                                   "has %zu bytes, too few for a safetensors file", file->size);
    memcpy(&size, file->data, sizeof size);
    if (size > MAX_HEADER_SIZE)
        return qn_tensor_file_fail(file, err, QN_BAD_FILE,
                                   "is not a safetensors file: its header would have %" PRIu64
                                   " bytes, at most %d are allowed",
                                   size, MAX_HEADER_SIZE);
    const size_t room = file->size - sizeof size;
    if (size > room)
        return qn_tensor_file_fail(
            file, err, QN_BAD_FILE,
            "is cut off: its header has %" PRIu64 " bytes, the file %zu more", size, room);
    json_t *header;
    QN_TRY(parse_header(file, (size_t)size, &header, err));
    struct reader r = {.file = file,
                       .data = file->data + sizeof size + size,
                       .size = room - (size_t)size,
                       .err = err};
    enum qn_status status = read_tensors(&r, header);
    json_decref(header);
    if (status == QN_OK) status = check_places(&r);
    return status;
}
