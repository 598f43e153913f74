/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls for 512-bit VNNI.
 */
#include "kernels/tiles/lanes_avx512.h"

#define QN_KERNEL_NAME(operation, form) qn_##operation##_##form##__avx512vnni

#include "kernels/tiles/matmul_quant.h"
