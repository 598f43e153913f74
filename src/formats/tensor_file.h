/* SPDX-License-Identifier: Apache-2.0
 *
 * One file of tensors in a Hugging Face folder, whatever its format: mapped, with a record of each
 * tensor that a format's reader has validated. Types and shapes that no language model computes
 * with (masks, position ids, convolutions in five dimensions) are no fault of a file: such tensors
 * are recorded too, with the reason why they are left out.
 */
#ifndef QN_FORMATS_TENSOR_FILE_H
#define QN_FORMATS_TENSOR_FILE_H

#include <stdbool.h>

#include "base/file_map.h"
#include "formats/tensor.h"

/* Dimensions that a tensor may have in a file; those with more than struct qn_tensor holds are
 * left out. */
#define QN_TENSOR_FILE_MAX_DIMS 8u

/* An element type under the name that a format gives it. */
struct qn_element {
    const char *name;
    unsigned bits;     /* of one element; formats pack 4 and 6 bits */
    enum qn_type type; /* QN_TYPE_COUNT: not one that weights are computed from */
};

struct qn_stored_tensor {
    struct qn_tensor tensor;
    const char *left_out; /* why it is: "I64", "no elements"; NULL when it is not */
};

struct qn_tensor_file {
    char *path;          /* owned */
    const uint8_t *data; /* [size] */
    size_t size;
    struct qn_file_map map; /* closed when the bytes are the caller's memory */
    size_t n_tensors;
    struct qn_stored_tensor *tensors; /* [n_tensors], in the file's order; owned */
    char *names;                      /* the tensors', terminated, one after the other; owned */
    size_t names_size;                /* bytes used of them */
};

/* Maps a file. It holds no tensors yet. Errors: as qn_file_map_open; QN_BAD_FILE for the text that
 * Git LFS leaves in place of a file. */
enum qn_status qn_tensor_file_open(const char *path, struct qn_tensor_file *file,
                                   struct qn_error *err);
void qn_tensor_file_close(struct qn_tensor_file *file); /* a zeroed struct counts as closed */

/* Makes room for n records whose names take names_size bytes, zero bytes included. */
enum qn_status qn_tensor_file_reserve(struct qn_tensor_file *file, size_t n, size_t names_size,
                                      struct qn_error *err);
/* The next record: name copied, all else to be filled. */
struct qn_stored_tensor *qn_tensor_file_add(struct qn_tensor_file *file, const char *name,
                                            size_t name_size);
/* Sets type, shape, size and left_out. shape [n_dims] is in PyTorch's order, the contiguous
 * dimension last; n_dims at most QN_TENSOR_FILE_MAX_DIMS. False when the bytes cannot be counted
 * or are not whole. */
bool qn_stored_tensor_describe(struct qn_stored_tensor *stored, const struct qn_element *element,
                               const uint64_t *shape, size_t n_dims);

/* "PATH: MESSAGE"; of a long path the end. */
enum qn_status qn_tensor_file_fail(const struct qn_tensor_file *file, struct qn_error *err,
                                   enum qn_status status, const char *format, ...)
    __attribute__((format(printf, 4, 5), cold));

#endif
