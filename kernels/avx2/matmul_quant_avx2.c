/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls for AVX2.
 */
#include "kernels/tiles/lanes_avx2.h"

#define QN_KERNEL_NAME(operation, form) qn_##operation##_##form##__avx2

#include "kernels/tiles/matmul_quant.h"
