/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/tiles/lanes_avx512.h"

#define QN_I16_NAME(function) function##__avx512
#include "kernels/tiles/matmul_i16.h"
