/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints the instruction sets that this machine has and this build has kernels for, one a line in
 * rising order: the values of QUERN_ISA that tools/check goes through.
 */
#include <stdio.h>

#include "kernels/kernels.h"

int main(void) {
    uint32_t present = qn_cpu_bundles();
    for (int i = 0; i < QN_ISA_COUNT; i++) {
        enum qn_isa isa = (enum qn_isa)i;
        uint32_t mask = qn_isa_mask(isa);
        struct qn_kernels kernels;
        qn_kernels_select(mask & present, &kernels);
        if ((mask & present) == mask && kernels.isa == isa) puts(qn_isa_name(isa));
    }
    return 0;
}
