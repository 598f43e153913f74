/* SPDX-License-Identifier: Apache-2.0
 *
 * Measured limits: what is asked of the machine, what is kept, and when figures are not believed.
 * No test here asserts a speed.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/counters.h"
#include "report/machine_cache.h"
#include "report/roofline.h"

/* ---- footprints ---- */

Test(machine, footprints_lie_in_their_level) {
    const struct qn_caches caches = {.l2 = 2 << 20, .l3 = (size_t)64 << 20};
    const size_t l2 = qn_machine_footprint(&caches, QN_LEVEL_L2, 4);
    const size_t l3 = qn_machine_footprint(&caches, QN_LEVEL_L3, 4);
    const size_t memory = qn_machine_footprint(&caches, QN_LEVEL_MEMORY, 4);
    cr_assert_eq(l2, 1 << 20);
    cr_assert(l3 > caches.l2 && 4 * l3 <= caches.l3, "%zu", l3);
    cr_assert(memory * 4 >= 2 * caches.l3 || memory > 0, "%zu", memory);
    cr_assert_eq(l2 % (1 << 16) + l3 % (1 << 16) + memory % (1 << 16), 0);
    const struct qn_caches tiny = {.l2 = 1, .l3 = 1};
    for (int level = 0; level < QN_LEVEL_COUNT; level++)
        cr_assert_gt(qn_machine_footprint(&tiny, (enum qn_level)level, 256), 0);
}

/* A model of 98 MB: in an L3 of 32 MiB it is not, in four of them it is. */
Test(machine, weights_come_from_caches_that_hold_them) {
    struct qn_machine_limits limits = {.n_threads = 2, .caches = {32 << 10, 1 << 20, 32 << 20}};
    limits.read[QN_LEVEL_L2].best = 400;
    limits.read[QN_LEVEL_L3].best = 200;
    limits.read[QN_LEVEL_MEMORY].best = 40;
    const size_t model = 98000000;
    cr_assert_eq(qn_roof_of(&limits, model).weights, QN_LEVEL_MEMORY);
    limits.caches.l3 *= 4;
    cr_assert_eq(qn_roof_of(&limits, model).weights, QN_LEVEL_L3);
    cr_assert_eq(qn_roof_of(&limits, 1 << 20).weights, QN_LEVEL_L2);
    limits.read[QN_LEVEL_L3].best = 30;
    cr_assert_eq(qn_roof_of(&limits, model).weights, QN_LEVEL_MEMORY, "slower caches help nobody");
}

Test(machine, figures_are_of_the_caches_of_their_threads) {
    struct qn_topology topology;
    struct qn_pool *pool;
    cr_assert_eq(
        qn_topology_read("l3:2(size=1048576) l2:1(size=262144) core:1 pu:1", &topology, NULL),
        QN_OK);
    for (int n = 1; n <= 2; n++) {
        const struct qn_pool_options options = {.n_threads = n, .pin = false};
        cr_assert_eq(qn_pool_new(&topology, &options, &pool, NULL), QN_OK);
        cr_assert_eq(qn_pool_caches(pool).l2, 1 << 18);
        cr_assert_eq(qn_pool_caches(pool).l3, (size_t)n << 20);
        qn_pool_free(pool);
        struct qn_machine_key key;
        const struct qn_kernels kernels = {0};
        qn_machine_key_read("", &kernels, &topology, n, &key);
        cr_assert_eq(key.caches.l3, (size_t)n << 20);
        cr_assert_eq(key.n_processors, 2);
    }
    qn_topology_free(&topology);
}

/* ---- noise ---- */

Test(machine, noise_is_told) {
    const struct qn_rate quiet = {100, 96, 20, 15}, scattered = {100, 94, 20, 15};
    const struct qn_rate few = {100, 100, 400, 4}, none = {0};
    cr_assert_not(qn_rate_is_noisy(&quiet));
    cr_assert(qn_rate_is_noisy(&scattered));
    cr_assert(qn_rate_is_noisy(&few));
    cr_assert_not(qn_rate_is_noisy(&none), "what was not measured is not noisy");
}

/* ---- peaks ---- */

Test(machine, peaks_exist_for_the_sets_that_have_them) {
    cr_assert_null(qn_peak_find(1u << QN_ISA_REF, QN_PEAK_F32).run);
    struct qn_kernels kernels;
    qn_kernels_select(qn_cpu_bundles(), &kernels); /* less what is not compiled in */
    const uint32_t mine = kernels.bundles;
    const bool has_bf16 = mine & (1u << QN_ISA_AVX512BF16 | 1u << QN_ISA_AMXBF16);
    const enum qn_peak bf16 = has_bf16 ? QN_PEAK_BF16 : QN_PEAK_F32;
    if (mine >> QN_ISA_AVX2 & 1) {
        cr_assert_eq(qn_peak_find(qn_isa_mask(QN_ISA_AVX2), QN_PEAK_F32).ops, 16 * QN_PEAK_CHAINS);
        cr_assert_null(qn_peak_find(qn_isa_mask(QN_ISA_AVX2), QN_PEAK_BF16).run);
    }
    const struct {
        enum qn_pack form;
        enum qn_act act;
        uint32_t bundles;
        struct qn_peak_use use;
    } uses[] = {
        {QN_PACK_Q4_K, QN_ACT_Q8, mine, {QN_PEAK_INT8, 1}},
        {QN_PACK_Q4_K, QN_ACT_Q8X2, mine, {QN_PEAK_INT8, 2}},
        {QN_PACK_I16, QN_ACT_I16, qn_isa_mask(QN_ISA_AVX512), {QN_PEAK_INT8, 1}},
        {QN_PACK_I16, QN_ACT_I16, qn_isa_mask(QN_ISA_AVX512VNNI), {QN_PEAK_INT8, 2}},
        {QN_PACK_F16, QN_ACT_F32, mine, {QN_PEAK_F32, 1}},
        {QN_PACK_F16, QN_ACT_BF16X2, mine, {bf16, 4}},
        {QN_PACK_BF16, QN_ACT_BF16X2, mine, {bf16, 2}},
        {QN_PACK_BF16, QN_ACT_BF16, mine, {bf16, 1}},
        {QN_PACK_BF16, QN_ACT_BF16, 1u << QN_ISA_REF, {QN_PEAK_F32, 1}},
    };
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        const struct qn_peak_use use =
            qn_peak_of_product(uses[i].form, uses[i].act, uses[i].bundles);
        cr_assert(use.peak == uses[i].use.peak && use.steps == uses[i].use.steps, "%zu: %s %d", i,
                  qn_peak_name(use.peak), use.steps);
    }
    cr_assert_eq(qn_peak_of_attention(QN_CACHE_F16, mine).peak, QN_PEAK_F32);
    cr_assert_eq(qn_peak_of_attention(QN_CACHE_I16, qn_isa_mask(QN_ISA_AVX512VNNI)).steps, 2);
    cr_assert_eq(qn_peak_of_attention(QN_CACHE_I16, 1u << QN_ISA_REF).peak, QN_PEAK_F32);
}

static void run_nothing(void *context, int thread) {
    (void)context, (void)thread;
}

Test(machine, a_rate_counts_its_runs) {
    struct qn_topology topology;
    struct qn_pool *pool;
    cr_assert_eq(qn_topology_read(NULL, &topology, NULL), QN_OK);
    const struct qn_pool_options options = {.n_threads = 2, .pin = false};
    cr_assert_eq(qn_pool_new(&topology, &options, &pool, NULL), QN_OK);
    const struct qn_rate rate = qn_machine_rate(pool, run_nothing, NULL, 1);
    cr_assert(rate.n_runs >= 1 && rate.n_clean <= rate.n_runs);
    cr_assert(rate.best >= rate.median && rate.median > 0);
    struct qn_machine_limits limits;
    struct qn_error err;
    for (int isa = 0; isa < QN_ISA_COUNT; isa++)
        if (!(qn_cpu_bundles() >> isa & 1))
            cr_assert_eq(qn_machine_measure(pool, 1u << isa, &limits, &err), QN_BAD_ARGUMENT,
                         "%s is not here", qn_isa_name((enum qn_isa)isa));
    qn_pool_free(pool);
    qn_topology_free(&topology);
}

/* ---- counters ---- */

Test(machine, counters_count_where_there_are_some) {
    struct qn_counters counters;
    const int n = qn_counters_open(&counters);
    cr_assert(n == QN_COUNTER_COUNT || counters.reason != 0, "what is missing has a reason");
    int n_open = 0;
    for (int i = 0; i < QN_COUNTER_COUNT; i++) {
        uint64_t before, after;
        n_open += counters.fd[i] >= 0;
        const bool counts = qn_counters_read(&counters, (enum qn_counter)i, &before);
        qn_peak_add_chain(1000000);
        cr_assert_eq(qn_counters_read(&counters, (enum qn_counter)i, &after), counts);
        cr_assert(after >= before && (counts || after == 0), "%s",
                  qn_counter_name((enum qn_counter)i));
        cr_assert(!counts || i != QN_COUNTER_INSTRUCTIONS || after - before > 1000000,
                  "a million additions are as many instructions");
    }
    cr_assert_eq(n_open, n);
    qn_counters_close(&counters);
    uint64_t count;
    cr_assert_not(qn_counters_read(&counters, QN_COUNTER_CYCLES, &count), "closed");
    qn_counters_close(&counters);
}

/* ---- the cache ---- */

static struct qn_machine_figures make_figures(void) {
    struct qn_machine_figures f = {.measured_at = 1700000000};
    f.one.peak[QN_PEAK_F32] = (struct qn_rate){123.5, 120.25, 30, 28};
    f.all.read[QN_LEVEL_MEMORY] = (struct qn_rate){40.5, 39, 15, 15};
    return f;
}

/* folder: of make_folder. */
static void remove_folder(const char *folder) {
    char command[192];
    snprintf(command, sizeof command, "rm -r %.*s", (int)(strlen(folder) - strlen("/deeper/quern")),
             folder);
    cr_assert_eq(system(command), 0);
}

static void make_folder(char *folder, size_t size) {
    char top[] = "/tmp/quern-cache-XXXXXX";
    cr_assert_not_null(mkdtemp(top));
    snprintf(folder, size, "%s/deeper/quern", top);
}

Test(machine, figures_come_back_for_their_key_alone) {
    char folder[128];
    make_folder(folder, sizeof folder);
    struct qn_machine_key key = {.cpu = "A \"CPU\"/<x>",
                                 .microcode = "0x1",
                                 .bundles = 6,
                                 .n_threads = 4,
                                 .caches = {32 << 10, 1 << 20, 32 << 20}};
    struct qn_machine_figures put = make_figures();
    put.all.caches = key.caches;
    struct qn_machine_figures got;
    cr_assert_not(qn_machine_cache_read(folder, &key, &got), "nothing yet");
    cr_assert_eq(qn_machine_cache_write(folder, &key, &put, NULL), QN_OK);
    cr_assert_eq(qn_machine_cache_write(folder, &key, &put, NULL), QN_OK, "again");
    cr_assert(qn_machine_cache_read(folder, &key, &got));
    cr_assert_eq(got.measured_at, put.measured_at);
    cr_assert_eq(got.one.peak[QN_PEAK_F32].best, 123.5);
    cr_assert_eq(got.all.read[QN_LEVEL_MEMORY].n_clean, 15);
    cr_assert_eq(got.all.n_threads, 4);
    cr_assert_eq(got.all.caches.l3, 32 << 20);
    struct qn_machine_key other = key;
    other.bundles = 14;
    cr_assert_not(qn_machine_cache_read(folder, &other, &got));
    other = key;
    strcpy(other.microcode, "0x2");
    cr_assert_not(qn_machine_cache_read(folder, &other, &got), "new microcode, new figures");
    other = key;
    other.caches.l3 *= 10;
    cr_assert_not(qn_machine_cache_read(folder, &other, &got), "read from other places");
    other = key;
    other.n_threads = 2;
    cr_assert_not(qn_machine_cache_read(folder, &other, &got));
    remove_folder(folder);
}

Test(machine, a_cache_that_is_not_ours_is_passed_over) {
    char folder[128], command[320];
    make_folder(folder, sizeof folder);
    const struct qn_machine_key key = {.cpu = "c", .bundles = 6, .n_threads = 1};
    const struct qn_machine_figures put = make_figures();
    struct qn_machine_figures got;
    cr_assert_eq(qn_machine_cache_write(folder, &key, &put, NULL), QN_OK);
    snprintf(command, sizeof command, "test $(stat -c %%a %s/machine-*.json) = 600", folder);
    cr_assert_eq(system(command), 0, "others may not read it");
    static const char *const contents[] = {"", "[]", "{}", "{\\\"cpu\\\": \\\"c\\\"}", "nonsense"};
    for (size_t i = 0; i < sizeof contents / sizeof *contents; i++) {
        snprintf(command, sizeof command, "for f in %s/machine-*; do echo \"%s\" > $f; done",
                 folder, contents[i]);
        cr_assert_eq(system(command), 0);
        cr_assert_not(qn_machine_cache_read(folder, &key, &got), "%s", contents[i]);
    }
    remove_folder(folder);
    struct qn_error err;
    cr_assert_eq(qn_machine_cache_write("/dev/null/quern", &key, &put, &err), QN_IO);
    cr_assert_not_null(strstr(err.message, "/dev/null/quern"));
}
