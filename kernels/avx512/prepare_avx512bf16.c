/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation rows for VDPBF16PS.
 */
#include <assert.h>

#include "kernels/avx512/round_bf16.h"
#include "kernels/inventory.h"

void qn_prepare_bf16__avx512bf16(const float *x, int k, void *dst) {
    assert(k > 0 && (uintptr_t)dst % 64 == 0);
    round_row(x, k, dst);
}
