/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls for NEON with integer dot products.
 */
#include "kernels/x86/lanes_neon.h"

#define QN_KERNEL_NAME(operation, form) qn_##operation##_##form##__dotprod

#include "kernels/x86/matmul_quant.h"
