/* SPDX-License-Identifier: Apache-2.0
 *
 * Chooses peak loops; compiled with baseline flags only, as is the reading of memory.
 */
#include "kernels/peak.h"

#include <string.h>

#define QN_PEAK(bundle, kind, function, ops) qn_peak_fn function;
#include "kernels/peak.def"
#undef QN_PEAK

static const struct {
    enum qn_isa isa;
    enum qn_peak peak;
    struct qn_peak_loop loop;
} loops[] = {
#define QN_PEAK(bundle, kind, function, ops)                                                       \
    {QN_ISA_##bundle, QN_PEAK_##kind, {function, (ops)*QN_PEAK_CHAINS}},
#include "kernels/peak.def"
#undef QN_PEAK
    {QN_ISA_COUNT, QN_PEAK_COUNT, {NULL, 0}}, /* a build without instruction sets has no others */
};

struct qn_peak_loop qn_peak_find(uint32_t bundles, enum qn_peak peak) {
    struct qn_peak_loop found = {NULL, 0};
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (loops[i].peak == peak && (bundles >> loops[i].isa & 1)) found = loops[i].loop;
    return found;
}

const char *qn_peak_name(enum qn_peak peak) {
    static const char *const names[QN_PEAK_COUNT] = {"f32", "int8", "bf16"};
    return names[peak];
}

static struct qn_peak_use use_of_i16(uint32_t bundles) {
    return (struct qn_peak_use){QN_PEAK_INT8, qn_isa_has_dots(bundles) ? 2 : 1};
}

struct qn_peak_use qn_peak_of_product(enum qn_pack form, enum qn_act act, uint32_t bundles) {
    const bool has_bf16 = qn_peak_find(bundles, QN_PEAK_BF16).run != NULL;
    const enum qn_peak bf16 = has_bf16 ? QN_PEAK_BF16 : QN_PEAK_F32;
    switch (act) {
    case QN_ACT_Q8:
        return (struct qn_peak_use){QN_PEAK_INT8, 1};
    case QN_ACT_Q8X2:
        return (struct qn_peak_use){QN_PEAK_INT8, 2};
    case QN_ACT_I16:
        return use_of_i16(bundles);
    case QN_ACT_BF16:
        return (struct qn_peak_use){bf16, 1};
    case QN_ACT_BF16X2:
        return (struct qn_peak_use){bf16, form == QN_PACK_F16 ? 4 : 2};
    default:
        return (struct qn_peak_use){QN_PEAK_F32, 1};
    }
}

struct qn_peak_use qn_peak_of_attention(enum qn_cache cache, uint32_t bundles) {
    const bool integers = cache == QN_CACHE_I16 && bundles >> QN_ISA_AVX2 & 1;
    return integers ? use_of_i16(bundles) : (struct qn_peak_use){QN_PEAK_F32, 1};
}

void qn_peak_add_chain(long n) {
    enum { UNROLLED = 8 };
    uint64_t sum = 0, one = 1; /* of registers: additions of constants may take no time at all */
    __asm__ volatile("" : "+r"(one));
    for (long i = 0; i < n; i += UNROLLED)
#if defined(__x86_64__)
        __asm__ volatile("add %1, %0; add %1, %0; add %1, %0; add %1, %0;"
                         "add %1, %0; add %1, %0; add %1, %0; add %1, %0"
                         : "+r"(sum)
                         : "r"(one)
                         : "cc");
#elif defined(__aarch64__)
        __asm__ volatile("add %0, %0, %1; add %0, %0, %1; add %0, %0, %1; add %0, %0, %1;"
                         "add %0, %0, %1; add %0, %0, %1; add %0, %0, %1; add %0, %0, %1"
                         : "+r"(sum)
                         : "r"(one));
#else
        for (int j = 0; j < UNROLLED; j++) __asm__ volatile("" : "+r"(sum) : "0"(sum + one));
#endif
    __asm__ volatile("" : : "r"(sum));
}

static uint64_t read_word(const char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* One stream, asked for 2 KiB ahead: faster than leaving it to the processor. */
void qn_peak_read(const char *data, size_t size) {
    uint64_t sum = 0;
    for (size_t i = 0; i < size; i += 64) {
        __builtin_prefetch(data + i + 2048);
        sum += read_word(data + i);
    }
    __asm__ volatile("" : : "r"(sum));
}

/* Four streams have more requests open than one, and than eight. */
static inline __attribute__((always_inline)) void read_streams(const char *data, size_t size,
                                                               const bool ask) {
    enum { STREAMS = 4 };
    const size_t stream = size / STREAMS / 64 * 64, all = STREAMS * stream;
    uint64_t sum = 0;
    for (const char *i = data; i < data + stream; i += 64)
        for (const char *p = i; p < i + all; p += stream) {
            if (ask) {
                __builtin_prefetch(p + 1024, 0, 3);
                __builtin_prefetch(p + 3072, 0, 2);
            }
            sum += read_word(p);
        }
    __asm__ volatile("" : : "r"(sum));
    qn_peak_read(data + all, size - all);
}

void qn_peak_read_asked(const char *data, size_t size) {
    read_streams(data, size, true);
}

void qn_peak_read_plain(const char *data, size_t size) {
    read_streams(data, size, false);
}
