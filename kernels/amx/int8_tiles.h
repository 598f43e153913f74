/* SPDX-License-Identifier: Apache-2.0
 *
 * The tile registers as the integer matmuls use them: dots of 32 k of 16 rows of activations with
 * 32 k of 16 rows of weights, which fill half the depth of a tile.
 */
#ifndef QN_KERNELS_AMX_INT8_TILES_H
#define QN_KERNELS_AMX_INT8_TILES_H

#include "kernels/amx/tile_config.h"
#include "kernels/tiles/lanes_avx512.h"

/* Unpacked weights are signed bytes (matmul_panel_tile.h). */
#define QN_PANEL_SIGNED 1

enum {
    TILE_M = 16,     /* rows of activations of a tile register */
    TILE_DOTS = 256, /* int32 numbers of one */
    TILE_Q = 512     /* bytes of 32 k of 16 rows */
};

/* As the intrinsics want them: digits. */
#define DOTS_0      0
#define DOTS_1      1
#define DOTS_2      2
#define DOTS_3      3
#define ACTIVATIONS 4
#define WEIGHTS_0   5
#define WEIGHTS_1   6

static const struct tile_config int8_tiles = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, [ACTIVATIONS] = 32, [WEIGHTS_0] = 64, 64},
    .rows = {16, 16, 16, 16, [ACTIVATIONS] = 16, [WEIGHTS_0] = 8, 8},
};

#endif
