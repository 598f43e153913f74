/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls for 256-bit VNNI.
 */
#include "kernels/x86/lanes_avx2.h"

#define QN_KERNEL_NAME(operation, form) qn_##operation##_##form##__avxvnni

#include "kernels/x86/matmul_quant.h"
