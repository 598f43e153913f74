/* SPDX-License-Identifier: Apache-2.0
 *
 * A plug-in whose kernel gives one NaN among right values: the laboratory is to show it.
 */
#include <math.h>
#include <quern_kernel.h>

static void add(const float *x, int n, float *y) {
    for (int i = 0; i < n; i++) y[i] += x[i];
    y[0] = NAN;
}

const struct quern_kernel quern_kernel = {.abi = QUERN_KERNEL_ABI,
                                          .name = "nan",
                                          .op = "add",
                                          .variant = "",
                                          .isa = "ref",
                                          .run = {.add = add}};
