/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of what the tiled matmuls keep in scratch: a panel, then the sums of every row or
 * activations in pairs; or activations rounded to bf16.
 */
#ifndef QN_KERNELS_TILES_PANEL_SIZE_H
#define QN_KERNELS_TILES_PANEL_SIZE_H

enum {
    /* Rows of activations of an integer register tile at the most. */
    QN_PANEL_M = 6,

    /* A panel stays in the first level cache: weight rows, k of an integer panel at the most (512
     * of K-quants; 32 rows with scales and mins are 25 KiB, of Q2_K 24), k of a float panel,
     * numbers of 4 bytes for a row in a block of 32 k of the largest, which is of signed bytes:
     * these, their signs, scales and starts; and the bytes of that, 45 KiB that pass through that
     * cache, which still takes less time than panels of half the k. */
    QN_PANEL_ROWS = 32,
    QN_PANEL_K = 640,
    QN_FLOAT_K = 256,
    QN_PANEL_VECTORS = 8 + 8 + 1 + 1,
    QN_PANEL_BYTES = QN_PANEL_K / 32 * QN_PANEL_ROWS * QN_PANEL_VECTORS * 4,

    /* Weight rows whose sums are kept between panels; pieces of a product that are handed out to
     * threads have as many. And rows of activations that pass by every panel before others do, in
     * whole register tiles of every height. What these have of one panel's k (495 KiB, 528 of
     * floats) and the sums (264 KiB) stay in a second level cache of 1 MiB. */
    QN_GROUP_ROWS = 128,
    QN_PASS_M = 528,

    /* Bytes that each k of a weight row takes as tiles of bytes, at the most (tile_weights.h). */
    QN_TILE_BYTES_K = 3,

    /* Rows of activations in pairs at a time, 2 bytes for each k of a row; and as bf16 or integers
     * of 16 bits. */
    QN_PAIR_ROWS = 96,
    QN_BF16_M = 96,

    /* Bytes ahead in each of four streams of floats, on the way into L1 and into L2 before. */
    QN_FLOAT_AHEAD_L1 = 1024,
    QN_FLOAT_AHEAD_L2 = 3072,

    /* Weight rows of a panel for bf16 tiles, and its k, each as two bf16. */
    QN_GEMM_N = 128,
    QN_GEMM_PANEL_K = 1024,
};
_Static_assert(QN_PANEL_BYTES >= QN_FLOAT_K * QN_PANEL_ROWS * 4, "floats fit a panel");

#endif
