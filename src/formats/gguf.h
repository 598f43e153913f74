/* SPDX-License-Identifier: Apache-2.0
 *
 * GGUF reader: v2 and v3, little-endian, mapped, single files and splits. Everything is
 * validated before anything is allocated from it; strings, arrays and tensor data point into the
 * mapping. Knows no model: keys and tensors are looked up by name.
 */
#ifndef QN_FORMATS_GGUF_H
#define QN_FORMATS_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/types.h"

enum qn_gguf_type { /* values as stored */
    QN_GGUF_U8,
    QN_GGUF_I8,
    QN_GGUF_U16,
    QN_GGUF_I16,
    QN_GGUF_U32,
    QN_GGUF_I32,
    QN_GGUF_F32,
    QN_GGUF_BOOL,
    QN_GGUF_STRING,
    QN_GGUF_ARRAY,
    QN_GGUF_U64,
    QN_GGUF_I64,
    QN_GGUF_F64
};

struct qn_string { /* not terminated; points into the file */
    const char *data;
    size_t size;
};

struct qn_gguf_value {
    struct qn_string key;
    enum qn_gguf_type type;
    enum qn_gguf_type element; /* of an array; never ARRAY */
    uint64_t count;            /* elements of an array, else 1 */
    const uint8_t *data;       /* first element as stored, unaligned */
    size_t size;               /* bytes at data */
};

struct qn_tensor {
    const char *name; /* terminated, owned by the reader */
    enum qn_type type;
    int n_dims;
    uint64_t shape[4]; /* shape[0] is contiguous (K), then N, ...; unused ones are 1 */
    const void *data;
    size_t size; /* bytes */
};

struct qn_gguf;

/* path: a file, or the first part (or any part) of a split named *-00001-of-0000N.gguf.
 * A file without tensors (vocabulary only) is valid. */
enum qn_status qn_gguf_open(const char *path, struct qn_gguf **out, struct qn_error *err);
void qn_gguf_close(struct qn_gguf *gguf); /* NULL is allowed */

size_t qn_gguf_n_values(const struct qn_gguf *gguf);
const struct qn_gguf_value *qn_gguf_value_at(const struct qn_gguf *gguf, size_t i);
/* NULL when there is none of that key. */
const struct qn_gguf_value *qn_gguf_find(const struct qn_gguf *gguf, const char *key);

size_t qn_gguf_n_tensors(const struct qn_gguf *gguf);
const struct qn_tensor *qn_gguf_tensor_at(const struct qn_gguf *gguf, size_t i);
const struct qn_tensor *qn_gguf_find_tensor(const struct qn_gguf *gguf, const char *name);

uint32_t qn_gguf_version(const struct qn_gguf *gguf);
size_t qn_gguf_n_files(const struct qn_gguf *gguf);
size_t qn_gguf_file_size(const struct qn_gguf *gguf); /* all parts */
/* Tells the kernel that a tensor's pages will not be read again soon. */
void qn_gguf_release_tensor(const struct qn_gguf *gguf, const struct qn_tensor *tensor);

/* Typed access. Any integer type that holds the value is accepted for integers, F32/F64 for
 * floats. QN_NOT_FOUND when absent, QN_BAD_FILE with key and type found when of another type. */
enum qn_status qn_gguf_get_u64(const struct qn_gguf *gguf, const char *key, uint64_t *out,
                               struct qn_error *err);
enum qn_status qn_gguf_get_float(const struct qn_gguf *gguf, const char *key, float *out,
                                 struct qn_error *err);
enum qn_status qn_gguf_get_bool(const struct qn_gguf *gguf, const char *key, bool *out,
                                struct qn_error *err);
enum qn_status qn_gguf_get_string(const struct qn_gguf *gguf, const char *key,
                                  struct qn_string *out, struct qn_error *err);
/* Arrays: fails unless the element type is one of the named kind. */
enum qn_status qn_gguf_get_array(const struct qn_gguf *gguf, const char *key,
                                 enum qn_gguf_type element, const struct qn_gguf_value **out,
                                 struct qn_error *err);
/* Walks a string array: *cursor starts at value->data and moves past the string. */
struct qn_string qn_gguf_next_string(const uint8_t **cursor);

#endif
