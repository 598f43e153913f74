/* SPDX-License-Identifier: Apache-2.0
 *
 * A tensor as it lies in a file, whatever the file's format.
 */
#ifndef QN_FORMATS_TENSOR_H
#define QN_FORMATS_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/types.h"

struct qn_tensor {
    const char *name; /* terminated, owned by the reader */
    enum qn_type type;
    int n_dims;
    uint64_t shape[4]; /* shape[0] is contiguous (K), then N, ...; unused ones are 1 */
    const void *data;  /* in the mapping, perhaps unaligned */
    size_t size;       /* bytes */
};

#endif
