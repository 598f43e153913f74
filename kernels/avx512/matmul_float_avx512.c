/* SPDX-License-Identifier: Apache-2.0
 *
 * Float matmuls for AVX-512.
 */
#include "kernels/tiles/lanes_avx512.h"

#define QN_KERNEL_NAME(operation, form) qn_##operation##_##form##__avx512

#include "kernels/tiles/matmul_float.h"
