/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/tiles/lanes_avx2.h"

#define QN_HEAD_NAME(function) function##__avx2
#include "kernels/tiles/matmul_head.h"
