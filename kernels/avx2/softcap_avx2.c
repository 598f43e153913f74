/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/inventory.h"

#include "kernels/vec/vec_avx2.h"

#include "kernels/tmpl/softcap.inc"
