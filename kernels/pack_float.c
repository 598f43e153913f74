/* SPDX-License-Identifier: Apache-2.0
 *
 * Packing of float types: a tile is the transpose of its rows, of 4-byte elements for F32 and for
 * pairs of BF16, of 2-byte ones for F16. Squares are transposed in registers: interleaving row i
 * with row i + n/2 of n rows, log2 n times over, exchanges rows and columns.
 */
#include <assert.h>

#include "kernels/pack.h"
#include "kernels/pack_blocks.h"

typedef uint32_t words __attribute__((vector_size(16)));  /* 4 */
typedef uint16_t halves __attribute__((vector_size(16))); /* 8 */

static inline void transpose_words(words *x /* [4] */) {
    for (int stage = 0; stage < 2; stage++) {
        words y[4];
        for (int i = 0; i < 2; i++) {
            y[2 * i] = __builtin_shufflevector(x[i], x[i + 2], 0, 4, 1, 5);
            y[2 * i + 1] = __builtin_shufflevector(x[i], x[i + 2], 2, 6, 3, 7);
        }
        memcpy(x, y, sizeof y);
    }
}

static inline void transpose_halves(halves *x /* [8] */) {
    for (int stage = 0; stage < 3; stage++) {
        halves y[8];
        for (int i = 0; i < 4; i++) {
            y[2 * i] = __builtin_shufflevector(x[i], x[i + 4], 0, 8, 1, 9, 2, 10, 3, 11);
            y[2 * i + 1] = __builtin_shufflevector(x[i], x[i + 4], 4, 12, 5, 13, 6, 14, 7, 15);
        }
        memcpy(x, y, sizeof y);
    }
}

/* Rows [row, row + n) and columns [k, k + n) of elements, n of which fill 16 bytes, where all of
 * the columns exist; missing rows are zeros. dst: [columns][r]. */
static inline void pack_words(const uint8_t *src, size_t src_row_size, int k, int row, int rows,
                              int r, uint8_t *dst) {
    words x[4] = {{0}};
    for (int i = 0; i < 4 && row + i < rows; i++)
        memcpy(&x[i], src + (size_t)(row + i) * src_row_size + 4 * (size_t)k, 16);
    transpose_words(x);
    for (int i = 0; i < 4; i++)
        memcpy(dst + ((size_t)(k + i) * (size_t)r + (size_t)row) * 4, &x[i], 16);
}

static inline void pack_halves(const uint8_t *src, size_t src_row_size, int k, int row, int rows,
                               int r, uint8_t *dst) {
    halves x[8] = {{0}};
    for (int i = 0; i < 8 && row + i < rows; i++)
        memcpy(&x[i], src + (size_t)(row + i) * src_row_size + 2 * (size_t)k, 16);
    transpose_halves(x);
    for (int i = 0; i < 8; i++)
        memcpy(dst + ((size_t)(k + i) * (size_t)r + (size_t)row) * 2, &x[i], 16);
}

void qn_pack_tile_float(enum qn_type type, int r, int k, const uint8_t *src, size_t src_row_size,
                        int rows, uint8_t *dst) {
    assert(r % 8 == 0);
    const bool by_halves = type == QN_TYPE_F16;
    const int in_element = type == QN_TYPE_BF16 ? 2 : 1; /* values of a transposed element */
    const int size = by_halves ? 2 : 4, n = 16 / size;
    const int columns = k / in_element, whole = columns / n * n;
    for (int column = 0; column < whole; column += n)
        for (int row = 0; row < r; row += n) {
            if (by_halves)
                pack_halves(src, src_row_size, column, row, rows, r, dst);
            else
                pack_words(src, src_row_size, column, row, rows, r, dst);
        }
    /* What is left of the last unit, by single values: value b of element c of a row. */
    const size_t done = (size_t)whole * (size_t)r * (size_t)size;
    const int value = size / in_element;
    memset(dst + done, 0, qn_pack_tile_size(type, r, k) - done);
    for (int i = whole * in_element; i < k; i++)
        for (int row = 0; row < rows; row++)
            memcpy(dst + ((size_t)(i / in_element) * (size_t)r + (size_t)row) * (size_t)size +
                       i % in_element * value,
                   src + (size_t)row * src_row_size + (size_t)i * (size_t)value, (size_t)value);
}
