/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads NumPy's .npy files of float32 and int32, C order.
 */
#ifndef NPY_H
#define NPY_H

#include <stddef.h>
#include <stdint.h>

struct npy {
    size_t rows, columns; /* columns is 1 for a vector */
    union {
        float *f32;
        int32_t *i32;
        void *data;
    };
};

/* kind: "f4" or "i4". Ends the program with a message when the file is not such an array. */
struct npy npy_read(const char *path, const char *kind);
void npy_free(struct npy *array);

#endif
