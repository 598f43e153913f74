/* SPDX-License-Identifier: Apache-2.0 */
#include "peak.h"

#include <string.h>
#include <time.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

double qn_peak_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A loop runs `count` rounds of CHAINS independent operations; 12 hide any latency. */
enum { CHAINS = 12, ROUNDS = 200000, REPEATS = 20 };
typedef void peak_loop(long count);

#if defined(__x86_64__)

/* The empty statement makes the compiler keep every round and every chain. */
#define KEEP(v) __asm__ volatile("" : "+v"(v))

/* Chains are variables, not an array, so that they stay in registers. `step` works on x. */
#define PEAK_STEP(type, xi, step)                                                                  \
    do {                                                                                           \
        const type x = xi;                                                                         \
        xi = step;                                                                                 \
        KEEP(xi);                                                                                  \
    } while (0)
#define PEAK_LOOP(name, features, type, zero, step)                                                \
    __attribute__((target(features))) static void name(long count) {                               \
        type a = zero, b = zero, x0 = zero, x1 = zero, x2 = zero, x3 = zero, x4 = zero, x5 = zero; \
        type x6 = zero, x7 = zero, x8 = zero, x9 = zero, x10 = zero, x11 = zero;                   \
        KEEP(a);                                                                                   \
        KEEP(b);                                                                                   \
        for (long n = 0; n < count; n++) {                                                         \
            PEAK_STEP(type, x0, step);                                                             \
            PEAK_STEP(type, x1, step);                                                             \
            PEAK_STEP(type, x2, step);                                                             \
            PEAK_STEP(type, x3, step);                                                             \
            PEAK_STEP(type, x4, step);                                                             \
            PEAK_STEP(type, x5, step);                                                             \
            PEAK_STEP(type, x6, step);                                                             \
            PEAK_STEP(type, x7, step);                                                             \
            PEAK_STEP(type, x8, step);                                                             \
            PEAK_STEP(type, x9, step);                                                             \
            PEAK_STEP(type, x10, step);                                                            \
            PEAK_STEP(type, x11, step);                                                            \
        }                                                                                          \
    }

PEAK_LOOP(fma_256, "avx2,fma", __m256, _mm256_setzero_ps(), _mm256_fmadd_ps(a, b, x))
PEAK_LOOP(fma_512, "avx512f", __m512, _mm512_setzero_ps(), _mm512_fmadd_ps(a, b, x))
PEAK_LOOP(maddubs_256, "avx2", __m256i, _mm256_setzero_si256(),
          _mm256_add_epi32(x, _mm256_madd_epi16(_mm256_maddubs_epi16(a, x), b)))
PEAK_LOOP(maddubs_512, "avx512f,avx512bw", __m512i, _mm512_setzero_si512(),
          _mm512_add_epi32(x, _mm512_madd_epi16(_mm512_maddubs_epi16(a, x), b)))
PEAK_LOOP(dpbusd_256, "avx2,avxvnni", __m256i, _mm256_setzero_si256(),
          _mm256_dpbusd_avx_epi32(x, a, b))
PEAK_LOOP(dpbusd_512, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(),
          _mm512_dpbusd_epi32(x, a, b))
PEAK_LOOP(dpbf16_512, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(),
          _mm512_dpbf16_ps(x, (__m512bh)_mm512_castps_si512(a), (__m512bh)_mm512_castps_si512(b)))

enum { OP_FLOAT, OP_INTEGER, OP_BF16, OP_COUNT };
static const struct {
    peak_loop *loop;
    int ops; /* of one step */
} loops[QN_ISA_COUNT][OP_COUNT] = {
    [QN_ISA_AVX2] = {[OP_FLOAT] = {fma_256, 16}, [OP_INTEGER] = {maddubs_256, 64}},
    [QN_ISA_AVXVNNI] = {[OP_FLOAT] = {fma_256, 16}, [OP_INTEGER] = {dpbusd_256, 64}},
    [QN_ISA_AVX512] = {[OP_FLOAT] = {fma_512, 32}, [OP_INTEGER] = {maddubs_512, 128}},
    [QN_ISA_AVX512VNNI] = {[OP_FLOAT] = {fma_512, 32}, [OP_INTEGER] = {dpbusd_512, 128}},
    [QN_ISA_AVX512BF16] = {[OP_FLOAT] = {fma_512, 32},
                           [OP_INTEGER] = {dpbusd_512, 128},
                           [OP_BF16] = {dpbf16_512, 64}},
    [QN_ISA_AMXINT8] = {[OP_FLOAT] = {fma_512, 32}, [OP_INTEGER] = {dpbusd_512, 128}},
};

double qn_peak_ops(enum qn_isa isa, enum qn_act act, bool bf16) {
    int op = act == QN_ACT_Q8 ? OP_INTEGER : OP_FLOAT;
    if (bf16 && loops[isa][OP_BF16].loop) op = OP_BF16;
    peak_loop *const loop = loops[isa][op].loop;
    if (!loop) return 0;
    double best = 0;
    for (int i = 0; i < REPEATS; i++) {
        const double start = qn_peak_now();
        loop(ROUNDS);
        const double ops = (double)ROUNDS * CHAINS * loops[isa][op].ops;
        const double rate = ops / (qn_peak_now() - start);
        if (rate > best) best = rate;
    }
    return best;
}

#else

double qn_peak_ops(enum qn_isa isa, enum qn_act act, bool bf16) {
    (void)isa, (void)act, (void)bf16;
    return 0;
}

#endif

/* Four streams at once, as fast as a core asks for lines; one word of a line brings it in. */
static uint64_t touch(const char *p, size_t size) {
    const size_t quarter = size / 4 / 64 * 64;
    uint64_t sum = 0;
    for (size_t i = 0; i < quarter; i += 64)
        for (size_t s = 0; s < 4; s++) {
            uint64_t word;
            memcpy(&word, p + s * quarter + i, sizeof word);
            __builtin_prefetch(p + s * quarter + i + 1024);
            sum += word;
        }
    return sum;
}

double qn_peak_read(const void *p, size_t size) {
    double best = 0;
    for (int i = 0; i < 5; i++) {
        const double start = qn_peak_now();
        const uint64_t sum = touch(p, size);
        __asm__ volatile("" : : "r"(sum));
        const double rate = (double)size / (qn_peak_now() - start);
        if (rate > best) best = rate;
    }
    return best;
}
