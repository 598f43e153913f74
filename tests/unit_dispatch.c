/* SPDX-License-Identifier: Apache-2.0
 *
 * Which bundles a processor gets, and which kernels a set of bundles gets.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/inventory.h"
#include "models/quantize.h"

/* Feature bits as Intel's and AMD's manuals number them, written apart from cpu.c on purpose. */
#define FMA        (1u << 12)
#define OSXSAVE    (1u << 27)
#define AVX        (1u << 28)
#define F16C       (1u << 29)
#define AVX2       (1u << 5)
#define AVX512F    (1u << 16)
#define AVX512DQ   (1u << 17)
#define AVX512BW   (1u << 30)
#define AVX512VL   (1u << 31)
#define AVX512VNNI (1u << 11)
#define AVXVNNI    (1u << 4)
#define AVX512BF16 (1u << 5)
#define AMXTILE    (1u << 24)
#define AMXINT8    (1u << 25)
#define AMXBF16    (1u << 22)

#define LEAF1_ALL  (FMA | OSXSAVE | AVX | F16C)
#define AVX512_ALL (AVX2 | AVX512F | AVX512DQ | AVX512BW | AVX512VL)

#define BIT(isa)      (1u << QN_ISA_##isa)
#define TO_AVX2       (BIT(REF) | BIT(AVX2))
#define TO_AVX512     (TO_AVX2 | BIT(AVX512))
#define TO_AVX512VNNI (TO_AVX512 | BIT(AVX512VNNI))

static const struct {
    const char *name;
    struct qn_cpuid_words words;
    uint32_t bundles;
} processors[] = {
    {"no AVX", {0, 0, 0, 0, 0}, BIT(REF)},
    {"AVX and F16C, no AVX2", {OSXSAVE | AVX | F16C, 0, 0, 0, 0x07}, BIT(REF)},
    {"AVX2", {LEAF1_ALL, AVX2, 0, 0, 0x07}, TO_AVX2},
    {"AVX2 without FMA", {LEAF1_ALL & ~FMA, AVX2, 0, 0, 0x07}, BIT(REF)},
    {"AVX2 without F16C", {LEAF1_ALL & ~F16C, AVX2, 0, 0, 0x07}, BIT(REF)},
    {"AVX2, no XGETBV", {LEAF1_ALL & ~OSXSAVE, AVX2, 0, 0, 0}, BIT(REF)},
    {"AVX2, system saves xmm only", {LEAF1_ALL, AVX2, 0, 0, 0x03}, BIT(REF)},
    {"AVX2, system saves ymm without xmm", {LEAF1_ALL, AVX2, 0, 0, 0x05}, BIT(REF)},
    {"AVX-VNNI", {LEAF1_ALL, AVX2, 0, AVXVNNI, 0x07}, TO_AVX2 | BIT(AVXVNNI)},
    {"AVX-512 without VL", {LEAF1_ALL, AVX512_ALL & ~AVX512VL, 0, 0, 0xe7}, TO_AVX2},
    {"AVX-512 without BW", {LEAF1_ALL, AVX512_ALL & ~AVX512BW, 0, 0, 0xe7}, TO_AVX2},
    {"AVX-512 without DQ", {LEAF1_ALL, AVX512_ALL & ~AVX512DQ, 0, 0, 0xe7}, TO_AVX2},
    {"AVX-512", {LEAF1_ALL, AVX512_ALL, 0, 0, 0xe7}, TO_AVX512},
    {"AVX-512, system saves ymm", {LEAF1_ALL, AVX512_ALL, AVX512VNNI, 0, 0x07}, TO_AVX2},
    {"AVX-512, zmm16-31 not saved", {LEAF1_ALL, AVX512_ALL, AVX512VNNI, 0, 0x67}, TO_AVX2},
    {"AVX-512 without FMA", {LEAF1_ALL & ~FMA, AVX512_ALL, AVX512VNNI, 0, 0xe7}, BIT(REF)},
    {"AVX-512 VNNI", {LEAF1_ALL, AVX512_ALL, AVX512VNNI, 0, 0xe7}, TO_AVX512VNNI},
    {"AVX-512 BF16",
     {LEAF1_ALL, AVX512_ALL, AVX512VNNI, AVX512BF16, 0xe7},
     TO_AVX512VNNI | BIT(AVX512BF16)},
    {"BF16 without VNNI", {LEAF1_ALL, AVX512_ALL, 0, AVX512BF16, 0xe7}, TO_AVX512},
    {"VNNI and BF16 without AVX-512 F",
     {LEAF1_ALL, AVX512_ALL & ~AVX512F, AVX512VNNI, AVX512BF16, 0xe7},
     TO_AVX2},
    {"AMX",
     {LEAF1_ALL, AVX512_ALL, AVX512VNNI, 0, 0x600e7, AMXTILE | AMXINT8},
     TO_AVX512VNNI | BIT(AMXINT8)},
    {"AMX with bf16",
     {LEAF1_ALL, AVX512_ALL, AVX512VNNI, AVX512BF16, 0x600e7, AMXTILE | AMXINT8 | AMXBF16},
     TO_AVX512VNNI | BIT(AVX512BF16) | BIT(AMXINT8) | BIT(AMXBF16) | BIT(AMXFAST)},
    {"AMX with bf16, no vectors of it",
     {LEAF1_ALL, AVX512_ALL, AVX512VNNI, 0, 0x600e7, AMXTILE | AMXINT8 | AMXBF16},
     TO_AVX512VNNI | BIT(AMXINT8)},
    {"AMX with bf16, without int8",
     {LEAF1_ALL, AVX512_ALL, AVX512VNNI, AVX512BF16, 0x600e7, AMXTILE | AMXBF16},
     TO_AVX512VNNI | BIT(AVX512BF16)},
    {"AMX, system does not save tiles",
     {LEAF1_ALL, AVX512_ALL, AVX512VNNI, 0, 0x200e7, AMXTILE | AMXINT8},
     TO_AVX512VNNI},
    {"AMX without int8", {LEAF1_ALL, AVX512_ALL, AVX512VNNI, 0, 0x600e7, AMXTILE}, TO_AVX512VNNI},
    {"all",
     {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT64_MAX, UINT32_MAX},
     TO_AVX512VNNI | BIT(AVXVNNI) | BIT(AVX512BF16) | BIT(AMXINT8) | BIT(AMXBF16) | BIT(AMXFAST)},
};

Test(cpu, x86_processors) {
    for (size_t i = 0; i < sizeof processors / sizeof *processors; i++) {
        const uint32_t bundles = qn_cpu_bundles_x86(&processors[i].words);
        cr_assert_eq(bundles, processors[i].bundles, "%s: %#x, expected %#x", processors[i].name,
                     bundles, processors[i].bundles);
    }
}

/* A feature less never means a bundle more. */
Test(cpu, x86_is_monotonic) {
    const struct qn_cpuid_words all = {UINT32_MAX, UINT32_MAX, UINT32_MAX,
                                       UINT32_MAX, UINT64_MAX, UINT32_MAX};
    const uint32_t full = qn_cpu_bundles_x86(&all);
    int matter = 0;
    for (int bit = 0; bit < 32; bit++) {
        struct qn_cpuid_words less[6] = {all, all, all, all, all, all};
        less[0].leaf1_ecx &= ~(1u << bit);
        less[1].leaf7_ebx &= ~(1u << bit);
        less[2].leaf7_ecx &= ~(1u << bit);
        less[3].leaf7_1_eax &= ~(1u << bit);
        less[4].xcr0 &= ~((uint64_t)1 << bit);
        less[5].leaf7_edx &= ~(1u << bit);
        for (int word = 0; word < 6; word++) {
            const uint32_t bundles = qn_cpu_bundles_x86(&less[word]);
            cr_assert_eq(bundles & ~full, 0);
            matter += bundles != full;
        }
    }
    cr_assert_eq(matter, 4 + 5 + 1 + 2 + 7 + 3, "%d bits matter", matter);
}

static void assert_closed(uint32_t bundles) {
    for (int isa = 0; isa < QN_ISA_COUNT; isa++)
        if (bundles >> isa & 1)
            cr_assert_eq(qn_isa_mask((enum qn_isa)isa) & ~bundles, 0, "%s without its base in %#x",
                         qn_isa_name((enum qn_isa)isa), bundles);
}

/* Whatever the words are, a bundle comes with all that it builds on. */
Test(cpu, bundles_are_closed) {
    uint64_t state = 1;
    for (int i = 0; i < 200000; i++) {
        struct qn_cpuid_words words;
        uint32_t *const parts[] = {&words.leaf1_ecx, &words.leaf7_ebx, &words.leaf7_ecx,
                                   &words.leaf7_1_eax, &words.leaf7_edx};
        for (int p = 0; p < 5; p++) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            const uint32_t once = (uint32_t)(state >> 32);
            state = state * 6364136223846793005u + 1442695040888963407u;
            *parts[p] = once | (uint32_t)(state >> 32); /* three bits of four are set */
        }
        words.xcr0 = (state >> 40 & 0xff) | (state >> 48 & 3) << 17;
        assert_closed(qn_cpu_bundles_x86(&words));
    }
    assert_closed(qn_cpu_bundles());
}

Test(cpu, inputs_are_rounded_when_asked_for_or_where_it_pays) {
    cr_assert_eq(qn_cpu_optional_x86(&(struct qn_cpuid_words){.amd = false}),
                 BIT(AVX512BF16) | BIT(AMXFAST));
    cr_assert_eq(qn_cpu_optional_x86(&(struct qn_cpuid_words){.amd = true}), BIT(AMXFAST));
    const uint32_t all = qn_cpu_bundles(), by_default = qn_cpu_default_bundles();
    cr_assert_eq(by_default | (all & (BIT(AVX512BF16) | BIT(AMXFAST))), all);
    cr_assert_eq(by_default & BIT(AMXFAST), 0);
}

Test(cpu, aarch64_processors) {
    const unsigned long fphp = 1ul << 9, asimdhp = 1ul << 10, asimddp = 1ul << 20, i8mm = 1ul << 13;
    const uint32_t neon = BIT(REF) | BIT(NEON), dotprod = neon | BIT(DOTPROD);
    cr_assert_eq(qn_cpu_bundles_aarch64(0, 0), neon);
    cr_assert_eq(qn_cpu_bundles_aarch64(fphp | asimdhp | asimddp, 0), dotprod);
    cr_assert_eq(qn_cpu_bundles_aarch64(fphp | asimddp, i8mm), neon);
    cr_assert_eq(qn_cpu_bundles_aarch64(0, i8mm), neon);
    cr_assert_eq(qn_cpu_bundles_aarch64(fphp | asimdhp | asimddp, i8mm), dotprod | BIT(I8MM));
}

Test(isa, names_are_parsed) {
    for (int i = 0; i < QN_ISA_COUNT; i++) {
        enum qn_isa isa = QN_ISA_COUNT;
        cr_assert(qn_isa_parse(qn_isa_name((enum qn_isa)i), &isa));
        cr_assert_eq((int)isa, i);
    }
    enum qn_isa isa = QN_ISA_NEON;
    cr_assert_not(qn_isa_parse("avx", &isa));
    cr_assert_not(qn_isa_parse("", &isa));
    cr_assert_eq(isa, QN_ISA_NEON);
}

/* ---- the table, for every subset of bundles ---------------------------------------------- */

static int slots_set(const struct qn_kernels *kernels) {
    void (*const *const slots)(void) = (void (*const *)(void))(const void *)kernels->prepare;
    const size_t n = (sizeof *kernels - offsetof(struct qn_kernels, prepare)) / sizeof *slots;
    int set = 0;
    for (size_t i = 0; i < n; i++) set += slots[i] != NULL;
    return set;
}

/* The bundle whose kernel stands in a slot: the last of the list that the table uses. */
static enum qn_isa provider(const char *op, int variant, uint32_t bundles) {
    size_t n;
    const struct qn_kernel_entry *const list = qn_kernel_list(&n);
    enum qn_isa isa = QN_ISA_COUNT;
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].op, op) == 0 && list[i].variant == variant && bundles >> list[i].isa & 1)
            isa = list[i].isa;
    return isa;
}

static void assert_tiles_agree(const struct qn_kernels *kernels) {
    static const char *const ops[] = {"matmul", "matvec"};
    for (int form = 0; form < QN_PACK_COUNT; form++)
        for (int op = 0; op < 2; op++) {
            const enum qn_isa isa = provider(ops[op], form, kernels->bundles);
            const bool wide = isa >= QN_ISA_AVX512 && isa <= QN_ISA_AMXFAST;
            cr_assert(isa == QN_ISA_REF || kernels->tile_rows == (wide ? 16 : 8),
                      "%s %d of %s reads tiles of another height than %d", ops[op], form,
                      qn_isa_name(isa), kernels->tile_rows);
        }
}

Test(select, every_subset_gives_a_whole_table) {
    const int all_slots =
        (int)((sizeof(struct qn_kernels) - offsetof(struct qn_kernels, prepare)) / sizeof(void *));
    for (uint32_t bundles = 0; bundles < 1u << QN_ISA_COUNT; bundles++) {
        struct qn_kernels kernels;
        qn_kernels_select(bundles, &kernels);
        cr_assert_eq(slots_set(&kernels), all_slots, "bundles %#x", bundles);
        cr_assert_eq(kernels.bundles & ~(bundles | BIT(REF)), 0, "bundles %#x", bundles);
        cr_assert_eq(kernels.bundles >> kernels.isa, 1, "bundles %#x", bundles);
        assert_closed(kernels.bundles);
        assert_tiles_agree(&kernels);
    }
}

/* So that register tiles find the same place of several rows in different sets of a cache. */
Test(sizes, activation_rows_are_odd_numbers_of_lines) {
    for (int act = 0; act < QN_ACT_COUNT; act++)
        for (int k = 1; k <= 8192; k++) {
            const size_t parts = act == QN_ACT_Q8X2 ? 2 : 1; /* the second is a row of its own */
            const size_t size = qn_act_row_size((enum qn_act)act, k) / parts;
            cr_assert_eq(size % 128, 64, "%zu bytes for %d of kind %d", size, k, act);
        }
}

/* ---- types ------------------------------------------------------------------------------ */

Test(types, halves_become_integers_where_these_are_faster) {
    static const struct {
        enum qn_type type;
        int k;
        enum qn_isa isa;
        enum qn_type packed;
        bool is_head;
    } cases[] = {{QN_TYPE_F16, 64, QN_ISA_REF, QN_TYPE_F16},
                 {QN_TYPE_F16, 64, QN_ISA_AVX2, QN_TYPE_I16},
                 {QN_TYPE_F16, 96, QN_ISA_AVX2, QN_TYPE_F16},
                 {QN_TYPE_F16, 128, QN_ISA_AVXVNNI, QN_TYPE_I16},
                 {QN_TYPE_F16, 64, QN_ISA_AVX512VNNI, QN_TYPE_I16},
                 {QN_TYPE_F16, 64, QN_ISA_AVX512BF16, QN_TYPE_I16},
                 {QN_TYPE_F16, 64, QN_ISA_AMXINT8, QN_TYPE_F16},
                 {QN_TYPE_F16, 64, QN_ISA_AMXBF16, QN_TYPE_F16},
                 {QN_TYPE_F16, 64, QN_ISA_I8MM, QN_TYPE_F16},
                 {QN_TYPE_BF16, 64, QN_ISA_AVX2, QN_TYPE_I16},
                 {QN_TYPE_BF16, 64, QN_ISA_AVX512VNNI, QN_TYPE_I16},
                 {QN_TYPE_BF16, 64, QN_ISA_AVX512BF16, QN_TYPE_BF16},
                 {QN_TYPE_F32, 64, QN_ISA_AVX512VNNI, QN_TYPE_F32},
                 {QN_TYPE_F16, 64, QN_ISA_AVX2, QN_TYPE_I16, true},
                 {QN_TYPE_Q8_0, 64, QN_ISA_AVX2, QN_TYPE_Q8_0},
                 {QN_TYPE_Q8_0, 32, QN_ISA_AVX2, QN_TYPE_Q8_I16, true},
                 {QN_TYPE_Q8_0, 32, QN_ISA_AVX512, QN_TYPE_Q8_I16, true},
                 {QN_TYPE_Q8_0, 64, QN_ISA_AVXVNNI, QN_TYPE_Q8_0, true},
                 {QN_TYPE_Q8_0, 64, QN_ISA_AVX512VNNI, QN_TYPE_Q8_0, true},
                 {QN_TYPE_Q8_0, 64, QN_ISA_AMXINT8, QN_TYPE_Q8_0, true},
                 {QN_TYPE_Q8_0, 64, QN_ISA_NEON, QN_TYPE_Q8_0, true},
                 {QN_TYPE_Q8_0, 64, QN_ISA_REF, QN_TYPE_Q8_0, true},
                 {QN_TYPE_Q6_K, 256, QN_ISA_AVX2, QN_TYPE_Q6_I16, true},
                 {QN_TYPE_Q6_K, 256, QN_ISA_AVX512VNNI, QN_TYPE_Q6_K, true},
                 {QN_TYPE_Q4_K, 256, QN_ISA_AVX2, QN_TYPE_Q4_K, true}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect_eq(
            qn_type_at_load(cases[i].type, cases[i].k, cases[i].is_head, qn_isa_mask(cases[i].isa)),
            cases[i].packed, "%s of %d for %s", qn_type_infos[cases[i].type].name, cases[i].k,
            qn_isa_name(cases[i].isa));
    const uint32_t avx2 = qn_isa_mask(QN_ISA_AVX2);
    cr_expect_eq(qn_packed_type(QN_TYPE_F16, QN_ROLE_ATTN_Q, 64, avx2), QN_TYPE_I16);
    cr_expect_eq(qn_packed_type(QN_TYPE_F16, QN_ROLE_OUTPUT, 64, avx2), QN_TYPE_I16);
    cr_expect_eq(qn_packed_type(QN_TYPE_F16, QN_ROLE_ROUTER, 64, avx2), QN_TYPE_F16);
    cr_expect_eq(qn_packed_type(QN_TYPE_F16, QN_ROLE_TOKEN_EMBD, 64, avx2), QN_TYPE_F16);
    cr_expect_eq(qn_packed_type(QN_TYPE_Q8_0, QN_ROLE_OUTPUT, 64, avx2), QN_TYPE_Q8_I16);
    cr_expect_eq(qn_packed_type(QN_TYPE_Q8_0, QN_ROLE_FFN_DOWN, 64, avx2), QN_TYPE_Q8_0);
}
