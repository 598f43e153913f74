/* SPDX-License-Identifier: Apache-2.0
 *
 * QN_PEAK_TILES(name, dot, depth): a loop of `dot`, an instruction that adds 16 x 16 dots of
 * `depth` products, into six tiles in turn.
 */
#ifndef QN_KERNELS_AMX_PEAK_TILES_H
#define QN_KERNELS_AMX_PEAK_TILES_H

#include <immintrin.h>

#include "kernels/amx/tile_config.h"
#include "kernels/peak.h"

#define QN_PEAK(bundle, kind, function, ops) qn_peak_fn function;
#include "kernels/peak.def"
#undef QN_PEAK

enum {
#define QN_PEAK(bundle, kind, function, ops) function##_ops = (ops),
#include "kernels/peak.def"
#undef QN_PEAK
    QN_PEAK_TILE_ROWS = 16
};

static const struct tile_config qn_peak_tiles = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {QN_PEAK_TILE_ROWS, QN_PEAK_TILE_ROWS, QN_PEAK_TILE_ROWS, QN_PEAK_TILE_ROWS,
             QN_PEAK_TILE_ROWS, QN_PEAK_TILE_ROWS, QN_PEAK_TILE_ROWS, QN_PEAK_TILE_ROWS},
};

#define QN_PEAK_TILES(name, dot, depth)                                                            \
    _Static_assert(2 * QN_PEAK_TILE_ROWS * QN_PEAK_TILE_ROWS * (depth) == name##_ops,              \
                   "as kernels/peak.def has it");                                                  \
    void name(long rounds) {                                                                       \
        _tile_loadconfig(&qn_peak_tiles); /* tiles are zero then */                                \
        for (long n = 0; n < rounds; n++) {                                                        \
            for (int i = 0; i < QN_PEAK_CHAINS / 6; i++) {                                         \
                dot(0, 6, 7);                                                                      \
                dot(1, 6, 7);                                                                      \
                dot(2, 6, 7);                                                                      \
                dot(3, 6, 7);                                                                      \
                dot(4, 6, 7);                                                                      \
                dot(5, 6, 7);                                                                      \
            }                                                                                      \
        }                                                                                          \
        _tile_release();                                                                           \
    }

#endif
