/* SPDX-License-Identifier: Apache-2.0
 *
 * Prints the instruction sets that this machine has and this build has kernels for, one a line in
 * rising order, less the one that a model gets by default: the values of QUERN_ISA that tools/check
 * goes through.
 */
#include <stdio.h>

#include "kernels/kernels.h"

int main(void) {
    const uint32_t present = qn_cpu_bundles();
    struct qn_kernels by_default;
    qn_kernels_select(qn_cpu_default_bundles(), &by_default);
    for (int i = 0; i < QN_ISA_COUNT; i++) {
        enum qn_isa isa = (enum qn_isa)i;
        uint32_t mask = qn_isa_mask(isa);
        struct qn_kernels kernels;
        qn_kernels_select(mask & present, &kernels);
        if (isa == QN_ISA_AMXFAST) continue; /* its prompts have other bits, see cli_check.py */
        if ((mask & present) == mask && kernels.isa == isa && isa != by_default.isa)
            puts(qn_isa_name(isa));
    }
    return 0;
}
