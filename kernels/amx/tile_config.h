/* SPDX-License-Identifier: Apache-2.0
 *
 * What LDTILECFG reads: eight tile registers of up to 16 rows of up to 64 bytes.
 */
#ifndef QN_KERNELS_AMX_TILE_CONFIG_H
#define QN_KERNELS_AMX_TILE_CONFIG_H

#include <stdint.h>

struct tile_config {
    uint8_t palette, start_row, reserved[14]; /* palette 1 */
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

/* Ordinary stores before are seen by tile loads behind, which gcc's intrinsics do not say. */
#define TILE_FENCE() __asm__ volatile("" : : : "memory")

#endif
