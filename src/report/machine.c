/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring peaks. A run takes a millisecond or two, so that even on a busy machine some are left
 * alone; a run counts as clean when every thread had its processor all the time.
 */
#include "report/machine.h"

#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "host/barrier.h"
#include "host/limits.h"
#include "report/statistics.h"

const char *qn_level_name(enum qn_level level) {
    static const char *const names[QN_LEVEL_COUNT] = {"L2", "L3", "memory"};
    return names[level];
}

/* ---- sizes ---- */

enum { FOOTPRINT_UNIT = 1 << 16 };

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

size_t qn_machine_footprint(const struct qn_caches *caches, enum qn_level level, int n_threads) {
    const size_t n = (size_t)n_threads;
    size_t size = caches->l2 / 2;
    if (level == QN_LEVEL_L3) size = smaller(4 * caches->l2, caches->l3 / 2 / n);
    if (level == QN_LEVEL_MEMORY) {
        size = 2 * caches->l3;
        if (size < (size_t)256 << 20) size = (size_t)256 << 20;
        bool limited;
        size = smaller(size, (size_t)qn_limits_memory("", &limited) / 4) / n;
    }
    return size < FOOTPRINT_UNIT ? FOOTPRINT_UNIT : size / FOOTPRINT_UNIT * FOOTPRINT_UNIT;
}

/* ---- runs ---- */

enum { MAX_RUNS = 400, ENOUGH_CLEAN = 15, FEW_CLEAN = 5 };
static const double MAX_SECONDS = 0.25;
static const double CLEAN_SHARE = 0.97; /* of the elapsed time, spent on the processor */
static const double NOISE = 0.05;

struct elapsed {
    _Alignas(QN_SIGNAL_ALIGNMENT) double start, end, cpu; /* seconds */
};

struct timed {
    struct qn_pool *pool;
    void (*run)(void *context, int thread);
    void *context;
    struct elapsed *elapsed; /* [threads] */
};

static void run_timed(void *context, int thread) {
    struct timed *const t = context;
    qn_pool_barrier(t->pool, thread);
    struct elapsed *const e = &t->elapsed[thread];
    e->start = qn_clock_seconds(CLOCK_MONOTONIC);
    const double cpu = qn_clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    t->run(t->context, thread);
    e->cpu = qn_clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    e->end = qn_clock_seconds(CLOCK_MONOTONIC);
}

/* Seconds from the first start to the last end; whether the run was clean. */
static double elapsed_of(const struct timed *t, bool *clean) {
    double start = t->elapsed[0].start, end = t->elapsed[0].end;
    *clean = true;
    for (int i = 0; i < qn_pool_n_threads(t->pool); i++) {
        const struct elapsed *const e = &t->elapsed[i];
        if (e->start < start) start = e->start;
        if (e->end > end) end = e->end;
        if (e->cpu < CLEAN_SHARE * (e->end - e->start)) *clean = false;
    }
    return end - start;
}

struct qn_rate qn_machine_rate(struct qn_pool *pool, void (*run)(void *context, int thread),
                               void *context, double work) {
    const int n_threads = qn_pool_n_threads(pool);
    struct elapsed elapsed[QN_POOL_MAX_THREADS];
    struct timed timed = {pool, run, context, elapsed};
    double clean[MAX_RUNS], other[MAX_RUNS];
    struct qn_rate rate = {0};
    int n_other = 0;
    qn_pool_run(pool, run_timed, &timed); /* warms up */
    const double begun = qn_clock_seconds(CLOCK_MONOTONIC);
    while (rate.n_runs < MAX_RUNS && rate.n_clean < ENOUGH_CLEAN &&
           (rate.n_runs == 0 || qn_clock_seconds(CLOCK_MONOTONIC) - begun < MAX_SECONDS)) {
        qn_pool_run(pool, run_timed, &timed);
        bool is_clean;
        const double giga = 1e-9 * work * n_threads / elapsed_of(&timed, &is_clean);
        if (is_clean)
            clean[rate.n_clean++] = giga;
        else
            other[n_other++] = giga;
        rate.n_runs++;
    }
    double *const found = rate.n_clean > 0 ? clean : other;
    const int n = rate.n_clean > 0 ? rate.n_clean : n_other;
    qn_sort(found, (size_t)n);
    rate.best = found[n - 1];
    rate.median = qn_quantile(found, (size_t)n, 0.5);
    return rate;
}

bool qn_rate_is_noisy(const struct qn_rate *rate) {
    return rate->best > 0 && (rate->n_clean < FEW_CLEAN || rate->median < (1 - NOISE) * rate->best);
}

/* ---- arithmetic ---- */

struct peak_run {
    struct qn_peak_loop loop;
    long rounds;
};

static void run_peak(void *context, int thread) {
    (void)thread;
    const struct peak_run *const p = context;
    p->loop.run(p->rounds);
}

struct qn_rate qn_machine_measure_peak(struct qn_pool *pool, uint32_t bundles, enum qn_peak peak) {
    /* A run of 0.1 ms at the 2000 GOP/s of a tile unit, of 3 ms at the 60 of a small core. */
    static const long run_ops = 200000000;
    struct peak_run run = {qn_peak_find(bundles & qn_cpu_bundles(), peak), 0};
    if (!run.loop.run) return (struct qn_rate){0};
    run.rounds = run_ops / run.loop.ops;
    return qn_machine_rate(pool, run_peak, &run, (double)run.rounds * run.loop.ops);
}

/* ---- the clock ---- */

static void run_chain(void *context, int thread) {
    (void)thread;
    qn_peak_add_chain(*(const long *)context);
}

struct qn_rate qn_machine_measure_clock(struct qn_pool *pool) {
    long n = 1000000; /* a third of a millisecond at 3 GHz */
    return qn_machine_rate(pool, run_chain, &n, (double)n);
}

/* ---- reading ---- */

struct read_run {
    const char *data; /* [threads][slice] */
    size_t slice;     /* bytes of a thread */
    size_t chunk;     /* bytes of a run; divides the slice */
    size_t *at;       /* [threads] where a thread's next run starts */
    void (*read)(const char *data, size_t size);
    int repeats; /* of a chunk */
};

/* The zero page would stand for memory that nobody has written. */
static void run_first_touch(void *context, int thread) {
    const struct read_run *const r = context;
    memset((char *)(uintptr_t)r->data + (size_t)thread * r->slice, 1, r->slice);
}

static void run_read(void *context, int thread) {
    const struct read_run *const r = context;
    const char *const slice = r->data + (size_t)thread * r->slice;
    for (int i = 0; i < r->repeats; i++) {
        r->read(slice + r->at[thread], r->chunk);
        r->at[thread] = r->at[thread] + r->chunk < r->slice ? r->at[thread] + r->chunk : 0;
    }
}

enum qn_status qn_machine_measure_read(struct qn_pool *pool, enum qn_level level,
                                       struct qn_rate *rate, struct qn_error *err) {
    /* A thread's bytes of a run: about half a millisecond, and whole huge pages. */
    static const size_t run_sizes[QN_LEVEL_COUNT] = {
        [QN_LEVEL_L2] = 128 << 20, [QN_LEVEL_L3] = 16 << 20, [QN_LEVEL_MEMORY] = 8 << 20};
    const size_t run_size = run_sizes[level];
    const int n_threads = qn_pool_n_threads(pool);
    const struct qn_caches caches = qn_pool_caches(pool);
    const size_t footprint = qn_machine_footprint(&caches, level, n_threads);
    struct read_run run = {.slice = footprint, .chunk = footprint, .repeats = 1};
    if (footprint > run_size) {
        run.chunk = run_size;
        run.slice = footprint / run_size * run_size;
    } else {
        run.repeats = (int)(run_size / footprint);
    }
    size_t at[QN_POOL_MAX_THREADS] = {0};
    run.at = at;
    struct qn_arena arena;
    QN_TRY(qn_arena_open(run.slice * (size_t)n_threads, true, &arena, err));
    run.data = arena.data;
    qn_pool_run(pool, run_first_touch, &run);
    run.read = level == QN_LEVEL_MEMORY ? qn_peak_read_asked : qn_peak_read;
    *rate = qn_machine_rate(pool, run_read, &run, (double)run.chunk * run.repeats);
    if (level == QN_LEVEL_MEMORY) {
        run.read = qn_peak_read_plain;
        const struct qn_rate plain =
            qn_machine_rate(pool, run_read, &run, (double)run.chunk * run.repeats);
        if (plain.best > rate->best) *rate = plain;
    }
    qn_arena_close(&arena);
    return QN_OK;
}

/* Two bouts some time apart: what disturbed all of one shows as a median far below the best. */
static struct qn_rate merge(const struct qn_rate *a, const struct qn_rate *b) {
    return (struct qn_rate){.best = a->best > b->best ? a->best : b->best,
                            .median = a->median < b->median ? a->median : b->median,
                            .n_runs = a->n_runs + b->n_runs,
                            .n_clean = a->n_clean + b->n_clean};
}

enum qn_status qn_machine_measure(struct qn_pool *pool, uint32_t bundles,
                                  struct qn_machine_limits *limits, struct qn_error *err) {
    *limits = (struct qn_machine_limits){
        .n_threads = qn_pool_n_threads(pool), .caches = qn_pool_caches(pool), .bundles = bundles};
    const uint32_t missing = bundles & ~qn_cpu_bundles();
    if (missing)
        return qn_fail(err, QN_BAD_ARGUMENT, "this processor does not have %s",
                       qn_isa_name((enum qn_isa)__builtin_ctz(missing)));
    for (int bout = 0; bout < 2; bout++) {
        const struct qn_rate clock = qn_machine_measure_clock(pool);
        limits->clock = bout == 0 ? clock : merge(&limits->clock, &clock);
        for (int i = 0; i < QN_PEAK_COUNT; i++) {
            struct qn_rate *const peak = &limits->peak[i];
            const struct qn_rate rate = qn_machine_measure_peak(pool, bundles, (enum qn_peak)i);
            *peak = bout == 0 ? rate : merge(peak, &rate);
        }
        for (int i = 0; i < QN_LEVEL_COUNT; i++) {
            struct qn_rate rate;
            QN_TRY(qn_machine_measure_read(pool, (enum qn_level)i, &rate, err));
            limits->read[i] = bout == 0 ? rate : merge(&limits->read[i], &rate);
        }
    }
    return QN_OK;
}
