/* SPDX-License-Identifier: Apache-2.0
 *
 * The decision which bundles a processor can run, apart from asking it, so that processors which
 * are not here can be tested.
 */
#ifndef QN_KERNELS_CPU_H
#define QN_KERNELS_CPU_H

#include <stdbool.h>
#include <stdint.h>

/* What CPUID and XGETBV answered; words of leaves that the processor does not have are 0. */
struct qn_cpuid_words {
    uint32_t leaf1_ecx;
    uint32_t leaf7_ebx, leaf7_ecx; /* subleaf 0 */
    uint32_t leaf7_1_eax;          /* subleaf 1 */
    uint64_t xcr0;                 /* 0 where the system does not offer XGETBV (OSXSAVE) */
    uint32_t leaf7_edx;            /* subleaf 0 */
    bool amd;                      /* leaf 0 says AuthenticAMD */
};

/* Bundles (1 << enum qn_isa) of an x86-64 processor; always with QN_ISA_REF. Pure. */
uint32_t qn_cpu_bundles_x86(const struct qn_cpuid_words *words);

/* Of these, the ones that a model does not get unless it is told so; kernels.h says why. Pure. */
uint32_t qn_cpu_optional_x86(const struct qn_cpuid_words *words);

/* Bundles of an AArch64 processor from AT_HWCAP and AT_HWCAP2 of the auxiliary vector. Pure. */
uint32_t qn_cpu_bundles_aarch64(unsigned long hwcap, unsigned long hwcap2);

#endif
