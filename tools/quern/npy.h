/* SPDX-License-Identifier: Apache-2.0
 *
 * Writer of NumPy's .npy format, version 1.0: a header, then the array, row after row.
 * Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
#ifndef QUERN_TOOLS_NPY_H
#define QUERN_TOOLS_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The header of a little-endian float32 array [rows][columns]; false when writing failed. */
bool npy_write_header(FILE *file, size_t rows, size_t columns);
/* n floats of its data. */
bool npy_write_floats(FILE *file, const float *data, size_t n);

#endif
