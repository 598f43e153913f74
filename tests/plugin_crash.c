/* SPDX-License-Identifier: Apache-2.0
 *
 * A plug-in whose kernel ends the process: the laboratory is to survive it.
 */
#include <quern_kernel.h>

static void add(const float *x, int n, float *y) {
    (void)x, (void)n, (void)y;
    __builtin_trap();
}

const struct quern_kernel quern_kernel = {.abi = QUERN_KERNEL_ABI,
                                          .name = "crash",
                                          .op = "add",
                                          .variant = "",
                                          .isa = "ref",
                                          .run = {.add = add}};
