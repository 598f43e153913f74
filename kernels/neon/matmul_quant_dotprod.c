/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls for NEON with integer dot products.
 */
#include "kernels/tiles/lanes_neon.h"

#define QN_KERNEL_NAME(operation, form) qn_##operation##_##form##__dotprod

#include "kernels/tiles/matmul_quant.h"
