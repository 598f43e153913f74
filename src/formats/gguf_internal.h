/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the GGUF reader share: the reader's own record, a file's header while it is
 * parsed, and the limits that a file has to keep.
 */
#ifndef QN_FORMATS_GGUF_INTERNAL_H
#define QN_FORMATS_GGUF_INTERNAL_H

#include <stdio.h>

#include "base/file_map.h"
#include "formats/gguf.h"

/* Key and tensor name lengths are the specification's. Keys: real files have under a hundred.
 * Tensors: the largest mixtures of experts, one tensor an expert, have some 70 000. */
#define QN_GGUF_MAX_KEY_SIZE    65535u
#define QN_GGUF_MAX_KEYS        65536u
#define QN_GGUF_MAX_NAME_SIZE   64u
#define QN_GGUF_MAX_TENSORS     (1u << 20)
#define QN_GGUF_MAX_DIMS        4u
#define QN_GGUF_MAX_PARTS       9999u
#define QN_GGUF_MIN_ALIGNMENT   8u
#define QN_GGUF_MAX_ALIGNMENT   65536u
#define QN_GGUF_FIXED_ALIGNMENT 32u /* when the file names none */

/* One file, validated: a whole model, or a part of a split. Owned by struct qn_gguf, but for
 * values and tensors, which move there. */
struct qn_gguf_part {
    const uint8_t *data; /* [size] */
    size_t size;
    struct qn_file_map map; /* closed when the file is the caller's memory */
    char *path;             /* owned */

    uint32_t version;
    size_t n_values;
    struct qn_gguf_value *values; /* [n_values] */
    size_t n_tensors;
    struct qn_tensor *tensors; /* [n_tensors] */
    char *names;               /* the tensors' names, terminated, one after the other; owned */
};

struct qn_gguf {
    size_t n_parts;
    struct qn_gguf_part *parts; /* [n_parts] */
    size_t n_values;
    struct qn_gguf_value *values;               /* [n_values], in the file's order */
    const struct qn_gguf_value **values_by_key; /* [n_values] */
    size_t n_tensors;
    struct qn_tensor *tensors;                /* [n_tensors], in the order of parts and files */
    const struct qn_tensor **tensors_by_name; /* [n_tensors] */
};

/* gguf_header.c: parses and validates one file whose data and path are set. On failure nothing
 * is left allocated but what was there before. */
enum qn_status qn_gguf_read_header(struct qn_gguf_part *part, struct qn_error *err);

/* gguf_split.c */
struct qn_gguf_split {
    uint64_t index;     /* from 0 */
    uint64_t count;     /* 1: not a split */
    uint64_t n_tensors; /* of all parts */
};
/* What the values of one part say about the split it belongs to. */
enum qn_status qn_gguf_read_split(const struct qn_gguf_part *part, struct qn_gguf_split *split,
                                  struct qn_error *err);
/* Path of part `index` (from 0) next to `path`, a file named *-0000I-of-0000N.gguf with I ==
 * split->index + 1 and N == split->count. *out is allocated. */
enum qn_status qn_gguf_split_path(const char *path, const struct qn_gguf_split *split,
                                  uint64_t index, char **out, struct qn_error *err);

/* gguf_value.c: the typed access of gguf.h on a list of values that is not indexed yet. NULL when
 * there is none of that key. */
const struct qn_gguf_value *qn_gguf_find_in(const struct qn_gguf_value *values, size_t n,
                                            const char *key);
enum qn_status qn_gguf_value_u64(const struct qn_gguf_value *value, uint64_t *out,
                                 struct qn_error *err);
/* Bytes of an element as stored; 0 for strings and arrays, whose sizes vary. */
size_t qn_gguf_type_size(enum qn_gguf_type type);

#endif
