/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/vec/vec_neon.h"

#include "vec_exp.inc"
