/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/amx/peak_tiles.h"

QN_PEAK_TILES(qn_peak_int8__amxint8, _tile_dpbssd, 64)
