/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/inventory.h"

#define QN_VEC_NAME(function) function##__avxvnni
#include "kernels/vec/vec_avx2.h"

#define QN_INTEGERS_ONLY
#include "kernels/tmpl/attention.inc"
