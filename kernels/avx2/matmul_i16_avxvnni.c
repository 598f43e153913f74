/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/tiles/lanes_avx2.h"

#define QN_I16_NAME(function) function##__avxvnni
#include "kernels/tiles/matmul_i16.h"
