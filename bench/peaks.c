/* SPDX-License-Identifier: Apache-2.0
 *
 * quern-bench-peaks: the probes of `quern doctor` beside loops that share nothing with them: a sum
 * over an array, as STREAM reads, and multiply-adds that the compiler makes from plain C. They are
 * to agree within 5 %; exit status 1 if they do not on a machine that is quiet enough to tell. A
 * sum that leaves prefetching to the processor is shown beside, as it may fall short of what the
 * memory gives.
 */
#include <stdio.h>

#include "base/arena.h"
#include "report/machine.h"

/* ---- the other loops ---- */

enum { LANES_MAX = 16, ROUNDS = 100000, RUN_SIZE = 8 << 20 };

/* a[i] = a[i] * x + y for independent a, each a register of so many lanes, as many as leave room
 * for x and y. */
#define PLAIN_FMA(name, features, lanes, n_sums)                                                   \
    typedef float name##_vector __attribute__((vector_size((lanes) * sizeof(float))));             \
    __attribute__((target(features), optimize("O3", "fp-contract=fast"))) static void name(        \
        void *context, int thread) {                                                               \
        (void)thread;                                                                              \
        name##_vector a[n_sums], x = *(const name##_vector *)context, y = x;                       \
        for (int i = 0; i < (n_sums); i++) a[i] = x + (float)i;                                    \
        for (int r = 0; r < ROUNDS; r++)                                                           \
            _Pragma("GCC unroll 24") for (int i = 0; i < (n_sums); i++) a[i] = a[i] * x + y;       \
        for (int i = 1; i < (n_sums); i++) a[0] += a[i];                                           \
        __asm__ volatile("" : : "m"(a[0]));                                                        \
    }

#if defined(__x86_64__) && !defined(__clang__)
PLAIN_FMA(fma_512, "avx512f", 16, 24)
PLAIN_FMA(fma_256, "avx2,fma", 8, 12)

static double plain_work(void (**run)(void *, int)) {
    const bool wide = qn_cpu_bundles() >> QN_ISA_AVX512 & 1;
    *run = wide ? fma_512 : fma_256;
    if (!(qn_cpu_bundles() >> QN_ISA_AVX2 & 1)) return 0;
    return 2.0 * ROUNDS * (wide ? 16 * 24 : 8 * 12);
}
#else
static double plain_work(void (**run)(void *, int)) {
    (void)run;
    return 0;
}
#endif

/* A thread's doubles, of which a run sums the next `n_run`. */
struct stream {
    const double *data; /* [threads][n] */
    size_t n, n_run;
    size_t *at; /* [threads] */
};

/* One sum, as STREAM would have it, of vectors of `width` bytes, over as many parts of the run side
 * by side as there are streams; what is `near` and `far` bytes ahead is prefetched into L1 and L2,
 * or nothing where they are 0. Which is best depends on the processor's own prefetching. */
#define PLAIN_SUM(name, attributes, element, width, streams, near, far)                            \
    typedef element name##_vector __attribute__((vector_size(width)));                             \
    attributes static void name(void *context, int thread) {                                       \
        const struct stream *const s = context;                                                    \
        const name##_vector *const data =                                                          \
            (const void *)(s->data + (size_t)thread * s->n + s->at[thread]);                       \
        const size_t line = 64 / (width), part = s->n_run * sizeof(double) / (width) / (streams);  \
        name##_vector sum = {0};                                                                   \
        for (size_t i = 0; i < part; i += line)                                                    \
            for (const name##_vector *p = data + i; p < data + (streams)*part; p += part) {        \
                if ((near) > 0) __builtin_prefetch((const char *)p + (near), 0, 3);                \
                if ((far) > 0) __builtin_prefetch((const char *)p + (far), 0, 2);                  \
                for (size_t j = 0; j < line; j++) sum += p[j];                                     \
            }                                                                                      \
        __asm__ volatile("" : : "m"(sum));                                                         \
        s->at[thread] = s->at[thread] + 2 * s->n_run <= s->n ? s->at[thread] + s->n_run : 0;       \
    }
PLAIN_SUM(sum_plain, , double, 16, 1, 0, 0)
PLAIN_SUM(sum_streams, , uint64_t, 16, 4, 0, 0)
#if defined(__x86_64__)
PLAIN_SUM(sum_ahead_wide, __attribute__((target("avx2"))), uint64_t, 32, 4, 1024, 3072)
#endif
PLAIN_SUM(sum_ahead, , uint64_t, 16, 4, 1024, 3072)

static void touch_slice(void *context, int thread) {
    const struct stream *const s = context;
    double *const data = (double *)(uintptr_t)s->data + (size_t)thread * s->n;
    for (size_t i = 0; i < s->n; i++) data[i] = (double)i;
}

/* ---- comparing ---- */

/* A probe and another loop, measured in turn: a disturbance that lasts hits both. */
typedef struct qn_rate measure_fn(struct qn_pool *pool, void *context);

struct comparison {
    const char *what, *unit;
    measure_fn *probe, *other;
    bool shown_only; /* the other loop is known to fall short */
};

/* 1 when they differ though the machine was quiet. */
static int compare(const struct comparison *c, struct qn_pool *pool, void *context) {
    struct qn_rate probe = {0}, other = {0};
    for (int i = 0; i < 5; i++) {
        const struct qn_rate p = c->probe(pool, context), o = c->other(pool, context);
        if (p.best > probe.best) probe = p;
        if (o.best > other.best) other = o;
    }
    const int n_threads = qn_pool_n_threads(pool);
    const double difference = 100 * (other.best / probe.best - 1);
    const bool noisy = qn_rate_is_noisy(&probe) || qn_rate_is_noisy(&other);
    const bool apart = difference > 5 || difference < -5;
    const char *const verdict = c->shown_only ? "not judged"
                                : noisy       ? "too noisy to tell"
                                : apart       ? "APART"
                                              : "agree";
    printf("%-13s %3d thread%s  probe %8.1f  plain loop %8.1f %-8s %+6.1f %%  %s\n", c->what,
           n_threads, n_threads == 1 ? " " : "s", probe.best, other.best, c->unit, difference,
           verdict);
    return apart && !noisy && !c->shown_only;
}

static struct qn_rate probe_fma(struct qn_pool *pool, void *context) {
    (void)context;
    return qn_machine_measure_peak(pool, qn_cpu_bundles(), QN_PEAK_F32);
}

static struct qn_rate plain_fma(struct qn_pool *pool, void *context) {
    (void)context;
    void (*run)(void *, int);
    const double work = plain_work(&run);
    _Alignas(64) float halves[LANES_MAX];
    for (int i = 0; i < LANES_MAX; i++) halves[i] = 0.5f;
    return qn_machine_rate(pool, run, halves, work);
}

static int compare_fma(struct qn_pool *pool) {
    static const struct comparison fma = {"f32", "GFLOP/s", probe_fma, plain_fma, false};
    void (*run)(void *, int);
    if (plain_work(&run) > 0) return compare(&fma, pool, NULL);
    puts("f32           no plain loop for this processor and compiler");
    return 0;
}

static struct qn_rate probe_read(struct qn_pool *pool, void *context) {
    (void)context;
    struct qn_rate rate = {0};
    struct qn_error err;
    if (qn_machine_measure_read(pool, QN_LEVEL_MEMORY, &rate, &err) != QN_OK)
        fprintf(stderr, "quern-bench-peaks: %s\n", err.message);
    return rate;
}

static struct qn_rate plain_read(struct qn_pool *pool, void *context) {
    return qn_machine_rate(pool, sum_plain, context, RUN_SIZE);
}

/* The better of four streams asked for and not. */
static struct qn_rate plain_read_streams(struct qn_pool *pool, void *context) {
    void (*ahead)(void *, int) = sum_ahead;
#if defined(__x86_64__)
    if (qn_cpu_bundles() >> QN_ISA_AVX2 & 1) ahead = sum_ahead_wide;
#endif
    const struct qn_rate asked = qn_machine_rate(pool, ahead, context, RUN_SIZE);
    const struct qn_rate plain = qn_machine_rate(pool, sum_streams, context, RUN_SIZE);
    return plain.best > asked.best ? plain : asked;
}

static int compare_read(struct qn_pool *pool) {
    static const struct comparison read[] = {
        {"memory read", "GB/s", probe_read, plain_read_streams, false},
        {" no prefetch", "GB/s", probe_read, plain_read, true},
    };
    const struct qn_caches caches = qn_pool_caches(pool);
    const int n_threads = qn_pool_n_threads(pool);
    const size_t size = qn_machine_footprint(&caches, QN_LEVEL_MEMORY, n_threads);
    struct qn_arena arena;
    struct qn_error err;
    if (qn_arena_open(size * (size_t)n_threads, true, &arena, &err) != QN_OK) {
        fprintf(stderr, "quern-bench-peaks: %s\n", err.message);
        return 1;
    }
    size_t at[QN_POOL_MAX_THREADS] = {0};
    struct stream stream = {(const double *)(const void *)arena.data, size / sizeof(double),
                            RUN_SIZE / sizeof(double), at};
    qn_pool_run(pool, touch_slice, &stream);
    const int apart = compare(&read[0], pool, &stream) + compare(&read[1], pool, &stream);
    qn_arena_close(&arena);
    return apart;
}

int main(void) {
    struct qn_topology topology;
    struct qn_error err;
    if (qn_topology_read(NULL, &topology, &err) != QN_OK) {
        fprintf(stderr, "quern-bench-peaks: %s\n", err.message);
        return 1;
    }
    int apart = 0;
    for (int n = 1; n <= topology.n_default;
         n += topology.n_default > 1 ? topology.n_default - 1 : 1) {
        const struct qn_pool_options options = {.n_threads = n, .pin = true};
        struct qn_pool *pool;
        if (qn_pool_new(&topology, &options, &pool, &err) != QN_OK) {
            fprintf(stderr, "quern-bench-peaks: %s\n", err.message);
            return 1;
        }
        apart += compare_fma(pool);
        apart += compare_read(pool);
        qn_pool_free(pool);
    }
    qn_topology_free(&topology);
    return apart > 0;
}
