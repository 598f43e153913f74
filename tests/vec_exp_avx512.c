/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec/vec_avx512.h"

#include "vec_exp.inc"
