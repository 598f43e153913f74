/* SPDX-License-Identifier: Apache-2.0
 *
 * NumPy files.
 */
#include "npy.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "floats are written as they lie");

/* Magic, version and a length of two bytes take 10; the dictionary is padded with spaces and ends
 * with a newline, so that the data starts at a multiple of 64. */
bool npy_write_header(FILE *file, size_t rows, size_t columns) {
    enum { BEFORE = 10, TOTAL = 128 };
    char header[TOTAL];
    memset(header, ' ', sizeof header);
    const int length =
        snprintf(header + BEFORE, sizeof header - BEFORE,
                 "{'descr': '<f4', 'fortran_order': False, 'shape': (%zu, %zu), }", rows, columns);
    header[BEFORE + length] = ' ';
    header[TOTAL - 1] = '\n';
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    header[8] = TOTAL - BEFORE;
    header[9] = 0;
    return fwrite(header, 1, sizeof header, file) == sizeof header;
}

bool npy_write_floats(FILE *file, const float *data, size_t n) {
    return fwrite(data, sizeof *data, n, file) == n;
}
