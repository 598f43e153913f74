/* SPDX-License-Identifier: Apache-2.0
 *
 * What the processor has and the operating system saves. A bundle needs all of its features and
 * every bundle that it builds on: AVX2 without FMA, or AVX-512 whose registers the system does not
 * save, counts as absent.
 */
#include "kernels/cpu.h"

#include "kernels/kernels.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

enum {
    /* leaf 1, ECX */
    FMA = 1u << 12,
    OSXSAVE = 1u << 27,
    AVX = 1u << 28,
    F16C = 1u << 29,
    /* leaf 7, EBX */
    AVX2 = 1u << 5,
    AVX512F = 1u << 16,
    AVX512DQ = 1u << 17,
    AVX512BW = 1u << 30,
    /* leaf 7, ECX */
    AVX512VNNI = 1u << 11,
    /* leaf 7, EDX */
    AMXBF16 = 1u << 22,
    AMXTILE = 1u << 24,
    AMXINT8 = 1u << 25,
    /* leaf 7 subleaf 1, EAX */
    AVXVNNI = 1u << 4,
    AVX512BF16 = 1u << 5,
    /* XCR0: SSE and the upper halves of ymm; masks, upper halves of zmm0-15, zmm16-31 */
    XCR0_YMM = 0x06,
    XCR0_ZMM = 0xe6,
    XCR0_TILES = 0x60000, /* configuration and data */
    /* AArch64 hwcaps */
    QN_HWCAP_FPHP = 1u << 9,
    QN_HWCAP_ASIMDHP = 1u << 10,
    QN_HWCAP_ASIMDDP = 1u << 20,
    QN_HWCAP2_I8MM = 1u << 13
};
static const uint32_t AVX512VL = 1u << 31;

static bool has(uint64_t word, uint64_t bits) {
    return (word & bits) == bits;
}

uint32_t qn_cpu_bundles_x86(const struct qn_cpuid_words *words) {
    uint32_t bundles = 1u << QN_ISA_REF;
    if (!has(words->leaf1_ecx, OSXSAVE | AVX | FMA | F16C) || !has(words->leaf7_ebx, AVX2) ||
        !has(words->xcr0, XCR0_YMM))
        return bundles;
    bundles |= 1u << QN_ISA_AVX2;
    if (has(words->leaf7_1_eax, AVXVNNI)) bundles |= 1u << QN_ISA_AVXVNNI;
    if (!has(words->leaf7_ebx, AVX512F | AVX512DQ | AVX512BW | AVX512VL) ||
        !has(words->xcr0, XCR0_ZMM))
        return bundles;
    bundles |= 1u << QN_ISA_AVX512;
    if (!has(words->leaf7_ecx, AVX512VNNI)) return bundles;
    bundles |= 1u << QN_ISA_AVX512VNNI;
    if (has(words->leaf7_1_eax, AVX512BF16)) bundles |= 1u << QN_ISA_AVX512BF16;
    if (!has(words->leaf7_edx, AMXTILE | AMXINT8) || !has(words->xcr0, XCR0_TILES)) return bundles;
    bundles |= 1u << QN_ISA_AMXINT8;
    if (has(words->leaf7_edx, AMXBF16) && has(words->leaf7_1_eax, AVX512BF16))
        bundles |= 1u << QN_ISA_AMXBF16 | 1u << QN_ISA_AMXFAST;
    return bundles;
}

uint32_t qn_cpu_optional_x86(const struct qn_cpuid_words *words) {
    return 1u << QN_ISA_AMXFAST | (words->amd ? 0 : 1u << QN_ISA_AVX512BF16);
}

/* NEON itself is part of AArch64. The kernels of dotprod are compiled for half precision too. */
uint32_t qn_cpu_bundles_aarch64(unsigned long hwcap, unsigned long hwcap2) {
    uint32_t bundles = 1u << QN_ISA_REF | 1u << QN_ISA_NEON;
    if (!has(hwcap, QN_HWCAP_ASIMDDP | QN_HWCAP_FPHP | QN_HWCAP_ASIMDHP)) return bundles;
    bundles |= 1u << QN_ISA_DOTPROD;
    if (has(hwcap2, QN_HWCAP2_I8MM)) bundles |= 1u << QN_ISA_I8MM;
    return bundles;
}

#if defined(__x86_64__)

static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* The system hands out tile registers on request, to the whole process. */
static bool may_use_tiles(void) {
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

static struct qn_cpuid_words read_words(void) {
    struct qn_cpuid_words words = {0};
    uint32_t eax, ebx, ecx, edx;
    if (__get_cpuid(0, &eax, &ebx, &ecx, &edx)) {
        const uint32_t vendor[3] = {ebx, edx, ecx};
        words.amd = memcmp(vendor, "AuthenticAMD", sizeof vendor) == 0;
    }
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx)) words.leaf1_ecx = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
        const uint32_t last_subleaf = eax;
        words.leaf7_ebx = ebx;
        words.leaf7_ecx = ecx;
        words.leaf7_edx = edx;
        if (last_subleaf >= 1 && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx))
            words.leaf7_1_eax = eax;
    }
    if (has(words.leaf1_ecx, OSXSAVE)) words.xcr0 = read_xcr0();
    return words;
}

uint32_t qn_cpu_bundles(void) {
    const struct qn_cpuid_words words = read_words();
    uint32_t bundles = qn_cpu_bundles_x86(&words);
    if (bundles >> QN_ISA_AMXINT8 & 1 && !may_use_tiles())
        bundles &= ~(1u << QN_ISA_AMXINT8 | 1u << QN_ISA_AMXBF16 | 1u << QN_ISA_AMXFAST);
#ifdef QN_EMULATED /* a test build, where these are compiled to AVX2 */
    if (has(bundles, 1u << QN_ISA_AVX2))
        bundles |= 1u << QN_ISA_AVX512 | 1u << QN_ISA_AVX512VNNI | 1u << QN_ISA_AVX512BF16 |
                   1u << QN_ISA_AMXINT8 | 1u << QN_ISA_AMXBF16 | 1u << QN_ISA_AMXFAST;
#endif
    return bundles;
}

uint32_t qn_cpu_default_bundles(void) {
    const struct qn_cpuid_words words = read_words();
    return qn_cpu_bundles() & ~qn_cpu_optional_x86(&words);
}

bool qn_cpu_is_amd(void) {
    return read_words().amd;
}

#elif defined(__aarch64__)

uint32_t qn_cpu_bundles(void) {
    return qn_cpu_bundles_aarch64(getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
}

#else

uint32_t qn_cpu_bundles(void) {
    return 1u << QN_ISA_REF;
}

#endif

#if !defined(__x86_64__)

uint32_t qn_cpu_default_bundles(void) {
    return qn_cpu_bundles();
}

bool qn_cpu_is_amd(void) {
    return false;
}

#endif
