/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls for 256-bit VNNI.
 */
#include "kernels/tiles/lanes_avx2.h"

#define QN_KERNEL_NAME(operation, form) qn_##operation##_##form##__avxvnni

#include "kernels/tiles/matmul_quant.h"
