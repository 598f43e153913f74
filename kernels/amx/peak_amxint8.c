/* SPDX-License-Identifier: Apache-2.0
 *
 * The tile unit's peak: 16 x 16 dots of 64 bytes an instruction, into six tiles in turn.
 */
#include <immintrin.h>

#include "kernels/amx/tile_config.h"
#include "kernels/peak.h"

enum { ROWS = 16, STEP_OPS = 2 * ROWS * ROWS * 64 };
_Static_assert(STEP_OPS == 32768, "as kernels/peak.def has it");

qn_peak_fn qn_peak_int8__amxint8;

void qn_peak_int8__amxint8(long rounds) {
    static const struct tile_config config = {
        .palette = 1,
        .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
        .rows = {ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS, ROWS},
    };
    _tile_loadconfig(&config); /* tiles are zero then */
    for (long n = 0; n < rounds; n++) {
        for (int half = 0; half < QN_PEAK_CHAINS / 6; half++) {
            _tile_dpbssd(0, 6, 7);
            _tile_dpbssd(1, 6, 7);
            _tile_dpbssd(2, 6, 7);
            _tile_dpbssd(3, 6, 7);
            _tile_dpbssd(4, 6, 7);
            _tile_dpbssd(5, 6, 7);
        }
    }
    _tile_release();
}
