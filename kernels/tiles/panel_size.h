/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes of what the tiled matmuls keep in scratch: a panel, then the sums of every row or
 * activations in pairs; or activations rounded to bf16.
 */
#ifndef QN_KERNELS_TILES_PANEL_SIZE_H
#define QN_KERNELS_TILES_PANEL_SIZE_H

enum {
    QN_PANEL_M = 6,     /* rows of activations of an integer register tile */
    QN_PANEL_K = 640,   /* k of an integer panel at most, 512 of K-quants: 32 rows with scales
                           and mins are 25 KiB, of Q2_K 24 */
    QN_PANEL_ROWS = 32, /* weight rows of a panel at the most */
    QN_PANEL_X_BYTES = 1 << 20, /* activations that pass by every panel before others do: they stay
                                   in the second level cache */
    QN_FLOAT_K = 256,           /* k of a float panel */
    QN_PANEL_BYTES = QN_FLOAT_K * QN_PANEL_ROWS * 4, /* the largest panel: floats */
    QN_PAIR_ROWS = 96, /* rows of activations in pairs at a time, 2 bytes for each k of a row */
    QN_BF16_M = 96,    /* rows of activations rounded to bf16 at a time */
    QN_FLOAT_AHEAD_L1 = 1024, /* bytes ahead in each of four streams of floats, on the way into */
    QN_FLOAT_AHEAD_L2 = 3072, /* L1 and into L2 before */
    QN_GEMM_N = 128,          /* weight rows of a panel for bf16 tiles, */
    QN_GEMM_PANEL_K = 1024,   /* and its k, each as two bf16 */
};

#endif
