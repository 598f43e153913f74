/* SPDX-License-Identifier: Apache-2.0
 *
 * The tile unit's peak for bf16: 16 x 16 dots of 32 pairs of bytes an instruction, into six tiles
 * in turn.
 */
#include <immintrin.h>

#include "kernels/amx/tile_config.h"
#include "kernels/peak.h"

enum { ROWS = 16, STEP_OPS = 2 * ROWS * ROWS * 32 };
_Static_assert(STEP_OPS == 16384, "as kernels/peak.def has it");

qn_peak_fn qn_peak_bf16__amxbf16;

void qn_peak_bf16__amxbf16(long rounds) {
    static const struct tile_config config = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS},
    };
    _tile_loadconfig(&config); /* tiles are zero then */
    for (long n = 0; n < rounds; n++) {
        for (int half = 0; half < QN_PEAK_CHAINS / 6; half++) {
            _tile_dpbf16ps(0, 6, 7);
            _tile_dpbf16ps(1, 6, 7);
            _tile_dpbf16ps(2, 6, 7);
            _tile_dpbf16ps(3, 6, 7);
            _tile_dpbf16ps(4, 6, 7);
            _tile_dpbf16ps(5, 6, 7);
        }
    }
    _tile_release();
}
