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
#include "formats/tensor.h"

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

struct qn_gguf;

/* path: a file, or the first part (or any part) of a split named *-00001-of-0000N.gguf.
 * A file without tensors (vocabulary only) is valid. Of a split, the values are those of the
 * first part, the tensors those of all parts in order.
 * Errors: QN_NOT_FOUND and QN_IO for the file or a part, QN_BAD_FILE (with the byte where a rule
 * is broken), QN_UNSUPPORTED (version, byte order, tensor type, nested arrays), QN_NO_MEMORY. */
enum qn_status qn_gguf_open(const char *path, struct qn_gguf **out, struct qn_error *err);
/* The same for a whole file that is in memory already and outlives the reader; name stands for
 * the path in messages. A part of a split is QN_UNSUPPORTED. */
enum qn_status qn_gguf_open_memory(const void *data, size_t size, const char *name,
                                   struct qn_gguf **out, struct qn_error *err);
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
const struct qn_file_map *qn_gguf_file_at(const struct qn_gguf *gguf, size_t i);
size_t qn_gguf_file_size(const struct qn_gguf *gguf); /* all parts */
/* QN_IO when a file was written since it was opened. To be asked after its data have been read. */
enum qn_status qn_gguf_check_unchanged(const struct qn_gguf *gguf, struct qn_error *err);
/* Tells the kernel that bytes [data, data + size), which lie in a tensor, will be read soon, or
 * will not be read again soon. */
void qn_gguf_prefetch(const struct qn_gguf *gguf, const void *data, size_t size);
void qn_gguf_release(const struct qn_gguf *gguf, const void *data, size_t size);

/* Typed access. Any integer type that holds the value is accepted for integers, F32/F64 with a
 * finite value for floats. QN_NOT_FOUND when absent, QN_BAD_FILE with key and type found when of
 * another type. */
enum qn_status qn_gguf_get_u64(const struct qn_gguf *gguf, const char *key, uint64_t *out,
                               struct qn_error *err);
enum qn_status qn_gguf_get_float(const struct qn_gguf *gguf, const char *key, float *out,
                                 struct qn_error *err);
enum qn_status qn_gguf_get_bool(const struct qn_gguf *gguf, const char *key, bool *out,
                                struct qn_error *err);
enum qn_status qn_gguf_get_string(const struct qn_gguf *gguf, const char *key,
                                  struct qn_string *out, struct qn_error *err);
/* Arrays: QN_BAD_FILE unless the elements are of the named type; integers of the same width stand
 * for each other (I32 for U32), so that elements can be read as asked for. */
enum qn_status qn_gguf_get_array(const struct qn_gguf *gguf, const char *key,
                                 enum qn_gguf_type element, const struct qn_gguf_value **out,
                                 struct qn_error *err);
/* Walks a string array: *cursor starts at value->data and moves past the string. */
struct qn_string qn_gguf_next_string(const uint8_t **cursor);
/* "u32", "array", ...; for messages and listings. */
const char *qn_gguf_type_name(enum qn_gguf_type type);

#endif
