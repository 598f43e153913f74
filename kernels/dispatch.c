/* SPDX-License-Identifier: Apache-2.0
 *
 * Chooses kernels. Compiled with baseline flags only; a pure function of the bundles.
 */
#include <string.h>

#include "kernels/inventory.h"

static const struct {
    const char *name;
    uint32_t mask; /* the bundle and those it builds on */
} isas[QN_ISA_COUNT] = {
    [QN_ISA_REF] = {"ref", 1 << QN_ISA_REF},
    [QN_ISA_AVX2] = {"avx2", 1 << QN_ISA_REF | 1 << QN_ISA_AVX2},
    [QN_ISA_AVXVNNI] = {"avxvnni", 1 << QN_ISA_REF | 1 << QN_ISA_AVX2 | 1 << QN_ISA_AVXVNNI},
    [QN_ISA_AVX512] = {"avx512", 1 << QN_ISA_REF | 1 << QN_ISA_AVX2 | 1 << QN_ISA_AVX512},
    [QN_ISA_AVX512VNNI] = {"avx512vnni", 1 << QN_ISA_REF | 1 << QN_ISA_AVX2 | 1 << QN_ISA_AVX512 |
                                             1 << QN_ISA_AVX512VNNI},
    [QN_ISA_AVX512BF16] = {"avx512bf16", 1 << QN_ISA_REF | 1 << QN_ISA_AVX2 | 1 << QN_ISA_AVX512 |
                                             1 << QN_ISA_AVX512VNNI | 1 << QN_ISA_AVX512BF16},
    [QN_ISA_AMXINT8] = {"amxint8", 1 << QN_ISA_REF | 1 << QN_ISA_AVX2 | 1 << QN_ISA_AVX512 |
                                       1 << QN_ISA_AVX512VNNI | 1 << QN_ISA_AMXINT8},
    [QN_ISA_AMXBF16] = {"amxbf16", 1 << QN_ISA_REF | 1 << QN_ISA_AVX2 | 1 << QN_ISA_AVX512 |
                                       1 << QN_ISA_AVX512VNNI | 1 << QN_ISA_AMXINT8 |
                                       1 << QN_ISA_AMXBF16},
    [QN_ISA_AMXFAST] = {"amxfast", 1 << QN_ISA_REF | 1 << QN_ISA_AVX2 | 1 << QN_ISA_AVX512 |
                                       1 << QN_ISA_AVX512VNNI | 1 << QN_ISA_AMXINT8 |
                                       1 << QN_ISA_AMXBF16 | 1 << QN_ISA_AMXFAST},
    [QN_ISA_NEON] = {"neon", 1 << QN_ISA_REF | 1 << QN_ISA_NEON},
    [QN_ISA_DOTPROD] = {"dotprod", 1 << QN_ISA_REF | 1 << QN_ISA_NEON | 1 << QN_ISA_DOTPROD},
    [QN_ISA_I8MM] = {"i8mm",
                     1 << QN_ISA_REF | 1 << QN_ISA_NEON | 1 << QN_ISA_DOTPROD | 1 << QN_ISA_I8MM},
};

const char *qn_isa_name(enum qn_isa isa) {
    return isas[isa].name;
}

bool qn_isa_parse(const char *name, enum qn_isa *isa) {
    for (int i = 0; i < QN_ISA_COUNT; i++) {
        if (strcmp(name, isas[i].name) != 0) continue;
        *isa = (enum qn_isa)i;
        return true;
    }
    return false;
}

uint32_t qn_isa_mask(enum qn_isa isa) {
    return isas[isa].mask;
}

static const struct qn_kernel_entry entries[] = {
#define QN_KERNEL(bundle, operation, variant, function)                                            \
    {QN_ISA_##bundle, #operation, variant, #variant, #function},
#include "kernels/inventory.def"
#undef QN_KERNEL
};

const struct qn_kernel_entry *qn_kernel_list(size_t *n) {
    *n = sizeof entries / sizeof *entries;
    return entries;
}

/* 16 rows fill a 512-bit vector of int32 sums, 8 a 256-bit one; NEON takes two vectors of 4. */
static int tile_rows(uint32_t bundles) {
    return bundles >> QN_ISA_AVX512 & 1 ? 16 : 8;
}

/* Those of the bundles that are compiled in, with all that they build on: half a family would mix
 * tile shapes. */
static uint32_t usable_bundles(uint32_t bundles) {
    uint32_t compiled = 0, usable = 0;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) compiled |= 1u << entries[i].isa;
    for (int i = 0; i < QN_ISA_COUNT; i++)
        if (!(isas[i].mask & ~(compiled & bundles))) usable |= 1u << i;
    return usable;
}

void qn_kernels_select(uint32_t bundles, struct qn_kernels *out) {
    const uint32_t usable = usable_bundles(bundles | 1u << QN_ISA_REF);
    memset(out, 0, sizeof *out);
#define QN_KERNEL(bundle, operation, variant, function)                                            \
    if (usable >> QN_ISA_##bundle & 1) {                                                           \
        out->operation[variant] = function;                                                        \
        out->bundles |= 1u << QN_ISA_##bundle;                                                     \
        out->isa = QN_ISA_##bundle;                                                                \
    }
#include "kernels/inventory.def"
#undef QN_KERNEL
    out->tile_rows = tile_rows(out->bundles);
    out->amd = qn_cpu_is_amd();
}
