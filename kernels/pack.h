/* SPDX-License-Identifier: Apache-2.0
 *
 * Weight packing: rows of a stored matrix [N][K] become tiles of R rows, each one contiguous,
 * 64-byte aligned stream that a kernel reads forward, with no shuffles and no horizontal sums.
 * R comes from the kernel table (16 for AVX-512, 8 for AVX2 and NEON). N is padded to R with zero
 * rows (scale 0), K to the form's unit.
 */
#ifndef QN_KERNELS_PACK_H
#define QN_KERNELS_PACK_H

#include "kernels/types.h"

/* Bytes of one packed tile of R rows of K elements of a stored type; a multiple of 64. */
size_t qn_pack_tile_size(enum qn_type type, int tile_rows, int k);

/* Packs rows [n0, n1) of src (row-major, src_row_size bytes from row to row) of a matrix with
 * n rows; n0 is a multiple of tile_rows. Tile i goes to dst + i * qn_pack_tile_size(). */
void qn_pack_rows(enum qn_type type, int tile_rows, int k, const void *src, size_t src_row_size,
                  int n, int n0, int n1, void *dst);

#endif
