/* SPDX-License-Identifier: Apache-2.0
 *
 * What the processor has and the operating system saves.
 */
#include "kernels/kernels.h"

uint32_t qn_cpu_bundles(void) { return 1u << QN_ISA_REF; }
