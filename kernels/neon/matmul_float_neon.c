/* SPDX-License-Identifier: Apache-2.0
 *
 * Float matmuls for baseline NEON.
 */
#include "kernels/tiles/lanes_neon.h"

#define QN_KERNEL_NAME(operation, form) qn_##operation##_##form##__neon

#include "kernels/tiles/matmul_float.h"
