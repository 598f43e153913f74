/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/amx/peak_tiles.h"

QN_PEAK_TILES(qn_peak_bf16__amxbf16, _tile_dpbf16ps, 32)
