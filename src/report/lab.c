/* SPDX-License-Identifier: Apache-2.0
 *
 * Timing of kernels.
 */
#include "report/lab.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "host/limits.h"
#include "report/lab_internal.h"
#include "report/statistics.h"
#include "run/random.h"

const char *qn_lab_variant(const char *variant_name) {
    if (strncmp(variant_name, "QN_", 3) != 0) return "";
    const char *const underscore = strchr(variant_name + 3, '_');
    return underscore ? underscore + 1 : variant_name;
}

struct qn_lab_kernel qn_lab_kernel_of(const struct qn_kernel_entry *entry) {
    struct qn_lab_kernel kernel = {.op = entry->op,
                                   .variant = qn_lab_variant(entry->variant_name),
                                   .function = entry->function,
                                   .slot = entry->variant,
                                   .isa = entry->isa};
    qn_kernels_select(qn_isa_mask(entry->isa), &kernel.table);
    return kernel;
}

/* ---- operands ---- */

size_t qn_lab_take(size_t *total, size_t size) {
    const size_t at = *total;
    *total += (size + 63) / 64 * 64;
    return at;
}

void qn_lab_floats(uint64_t seed, float *x, size_t n) {
    struct qn_random random;
    qn_random_seed(&random, seed);
    for (size_t i = 0; i < n; i++) x[i] = (float)(2 * qn_random_unit(&random) - 1);
}

void qn_lab_bytes(uint64_t seed, void *bytes, size_t size) {
    struct qn_random random;
    qn_random_seed(&random, seed);
    for (size_t i = 0; i < size; i += 8) {
        const uint64_t bits = qn_random_next(&random);
        memcpy((char *)bytes + i, &bits, size - i < 8 ? size - i : 8);
    }
}

enum qn_status qn_lab_open(const struct qn_lab_op *op, struct qn_lab_job *job, size_t footprint,
                           struct qn_arena *arena, struct qn_error *err) {
    job->n_copies = 1 + (footprint > 0 ? (footprint - 1) / job->copy_size : 0);
    const size_t fixed = (job->fixed_size + 4095) / 4096 * 4096;
    const size_t size = fixed + job->n_copies * job->copy_size;
    QN_TRY(qn_limits_check_memory("", size, err));
    QN_TRY(qn_arena_open(size, true, arena, err));
    job->fixed = arena->data;
    job->copies = arena->data + fixed;
    op->fill(job, job->copies);
    return QN_OK;
}

/* ---- comparing ---- */

void qn_lab_compare_one(struct qn_lab_compare *c, double found, double expected, double bound) {
    const double difference = fabs(found - expected);
    if (!(difference <= bound)) c->right = false;
    /* A NaN is worse than anything, and stays. */
    if (!isnan(c->worst) && !(difference <= c->worst)) c->worst = difference;
    c->squares += expected * expected;
    c->n++;
}

void qn_lab_compare_end(const struct qn_lab_compare *c, struct qn_lab_result *result) {
    const double mean = sqrt(c->squares / (double)(c->n > 0 ? c->n : 1));
    result->error = mean > 0 ? c->worst / mean : c->worst;
    result->right = c->right;
}

/* ---- running ---- */

struct thread_state {
    _Alignas(128) size_t next; /* copy */
    double cpu, wall;          /* seconds of the last sample */
    struct qn_counters counters;
    uint64_t before[QN_COUNTER_COUNT], counts[QN_COUNTER_COUNT];
};

struct sampler {
    const struct qn_lab_op *op;
    const struct qn_lab_job *job;
    struct qn_pool *pool;
    struct thread_state *threads;
    long calls; /* of a sample */
};

static void run_sample(void *context, int thread) {
    const struct sampler *const s = context;
    struct thread_state *const state = &s->threads[thread];
    const struct qn_lab_job *const job = s->job;
    qn_pool_barrier(s->pool, thread);
    const double wall = qn_clock_seconds(CLOCK_MONOTONIC),
                 cpu = qn_clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    for (long i = 0; i < s->calls; i++) {
        s->op->run(job, job->copies + state->next * job->copy_size, thread);
        state->next = state->next + 1 < job->n_copies ? state->next + 1 : 0;
    }
    state->cpu = qn_clock_seconds(CLOCK_THREAD_CPUTIME_ID) - cpu;
    state->wall = qn_clock_seconds(CLOCK_MONOTONIC) - wall;
}

/* Each thread writes the part of every copy that it will roughly read, so that pages are on its
 * node. The first copy is there already. */
static void run_copy(void *context, int thread) {
    const struct sampler *const s = context;
    const struct qn_lab_job *const job = s->job;
    const size_t lines = job->copy_size / 64, n = (size_t)job->n_threads, t = (size_t)thread;
    const size_t start = lines * t / n * 64, end = lines * (t + 1) / n * 64;
    for (size_t c = 1; c < job->n_copies; c++)
        memcpy(job->copies + c * job->copy_size + start, job->copies + start, end - start);
}

static void run_open_counters(void *context, int thread) {
    struct thread_state *const state = &((const struct sampler *)context)->threads[thread];
    qn_counters_open(&state->counters);
}

static void run_read_counters(void *context, int thread) {
    struct thread_state *const state = &((const struct sampler *)context)->threads[thread];
    for (int i = 0; i < QN_COUNTER_COUNT; i++) {
        uint64_t count;
        qn_counters_read(&state->counters, (enum qn_counter)i, &count);
        state->counts[i] = count - state->before[i];
        state->before[i] = count;
    }
}

static void run_close_counters(void *context, int thread) {
    struct thread_state *const state = &((const struct sampler *)context)->threads[thread];
    qn_counters_close(&state->counters);
}

/* Times of one sample: those of the slowest thread. */
static void slowest(const struct sampler *s, double *cpu, double *wall) {
    *cpu = *wall = 0;
    for (int i = 0; i < s->job->n_threads; i++) {
        if (s->threads[i].cpu > *cpu) *cpu = s->threads[i].cpu;
        if (s->threads[i].wall > *wall) *wall = s->threads[i].wall;
    }
}

/* As many calls as make a sample long beside the cost of reading the clocks, a microsecond, and as
 * walk through every copy in the first, uncounted sample. */
static void calibrate(struct sampler *s) {
    static const double long_enough = 3e-4;
    double cpu, wall;
    s->calls = 1;
    for (;;) {
        qn_pool_run(s->pool, run_sample, s);
        slowest(s, &cpu, &wall);
        if (cpu >= long_enough || s->calls >= 1 << 24) return;
        s->calls *= cpu > long_enough / 100 ? (long)(1.2 * long_enough / cpu) + 1 : 64;
    }
}

/* ---- statistics ---- */

enum { LEAST_INTERVAL = 6 }; /* samples */

void qn_lab_summarize(double *cpu, double *wall, int n, struct qn_lab_result *result) {
    qn_sort(cpu, (size_t)n);
    qn_sort(wall, (size_t)n);
    result->n_samples = n;
    result->median = qn_quantile(cpu, (size_t)n, 0.5);
    result->min = cpu[0];
    result->p5 = qn_quantile(cpu, (size_t)n, 0.05);
    result->p95 = qn_quantile(cpu, (size_t)n, 0.95);
    /* The number of values below the median is binomial (n, 1/2): 1.96 of its deviations. */
    const double half = 0.98 * sqrt((double)n);
    const int low = (int)floor(0.5 * (n - 1) - half), high = (int)ceil(0.5 * (n - 1) + half);
    result->low = cpu[low < 0 ? 0 : low];
    result->high = cpu[high >= n ? n - 1 : high];
    if (n < LEAST_INTERVAL) result->low = result->high = NAN;
    result->wall_median = qn_quantile(wall, (size_t)n, 0.5);
}

/* ---- a measurement ---- */

static void take_samples(struct sampler *s, const struct qn_lab_options *options,
                         struct qn_lab_result *result) {
    double cpu[QN_LAB_MAX_SAMPLES], wall[QN_LAB_MAX_SAMPLES];
    calibrate(s);
    if (options->counters) {
        qn_pool_run(s->pool, run_open_counters, s);
        qn_pool_run(s->pool, run_read_counters, s);
    }
    const double begun = qn_clock_seconds(CLOCK_MONOTONIC);
    int n = 0;
    while (n < options->n_samples &&
           (n == 0 || qn_clock_seconds(CLOCK_MONOTONIC) - begun < options->max_seconds)) {
        qn_pool_run(s->pool, run_sample, s);
        slowest(s, &cpu[n], &wall[n]);
        cpu[n] /= (double)s->calls;
        wall[n] /= (double)s->calls;
        n++;
    }
    qn_lab_summarize(cpu, wall, n, result);
    if (!options->counters) return;
    qn_pool_run(s->pool, run_read_counters, s);
    for (int i = 0; i < QN_COUNTER_COUNT; i++) {
        result->counted[i] = true;
        uint64_t sum = 0;
        for (int t = 0; t < s->job->n_threads; t++) {
            sum += s->threads[t].counts[i];
            result->counted[i] &= s->threads[t].counters.fd[i] >= 0;
        }
        result->counts[i] = sum / ((uint64_t)s->calls * (uint64_t)n);
    }
    qn_pool_run(s->pool, run_close_counters, s);
}

enum qn_level qn_lab_level(const struct qn_caches *caches, size_t size, int n_threads,
                           enum qn_level where) {
    const enum qn_level fits = size <= caches->l2 * (size_t)n_threads ? QN_LEVEL_L2
                               : size <= caches->l3                   ? QN_LEVEL_L3
                                                                      : QN_LEVEL_MEMORY;
    return fits < where ? where : fits;
}

/* What a thread's share of a call touches, roughly: an even part of everything. */
static bool fits_l1(const struct qn_caches *caches, const struct qn_lab_job *job) {
    const size_t share = (job->copy_size + job->fixed_size) / (size_t)job->n_threads;
    return share <= caches->l1;
}

bool qn_lab_is_between(const struct qn_caches *caches, size_t size, int n_threads) {
    const size_t l2 = caches->l2 * (size_t)n_threads, l3 = caches->l3;
    return (size > l2 && size < l2 / 4 * 7) || (size > l3 && size < l3 / 4 * 7);
}

static enum qn_status sample_job(struct qn_pool *pool, const struct qn_lab_op *op,
                                 struct qn_lab_job *job, enum qn_level where,
                                 const struct qn_lab_options *options, struct qn_lab_result *result,
                                 struct qn_error *err) {
    const struct qn_caches caches = qn_pool_caches(pool);
    const size_t footprint =
        where == QN_LEVEL_L2
            ? 0
            : qn_machine_footprint(&caches, where, job->n_threads) * (size_t)job->n_threads;
    struct qn_arena arena;
    QN_TRY(qn_lab_open(op, job, footprint, &arena, err));
    struct thread_state *const threads =
        aligned_alloc(128, (size_t)job->n_threads * sizeof *threads);
    if (!threads) {
        qn_arena_close(&arena);
        return qn_fail(err, QN_NO_MEMORY, "no memory for the state of %d threads", job->n_threads);
    }
    memset(threads, 0, (size_t)job->n_threads * sizeof *threads);
    struct sampler sampler = {op, job, pool, threads, 1};
    qn_pool_run(pool, run_copy, &sampler);
    take_samples(&sampler, options, result);
    const size_t size = job->n_copies * job->copy_size;
    result->where = qn_lab_level(&caches, size, job->n_threads, where);
    result->in_l1 = where == QN_LEVEL_L2 && fits_l1(&caches, job);
    result->between = result->in_l1 || qn_lab_is_between(&caches, size, job->n_threads);
    result->copies = job->n_copies;
    free(threads);
    qn_arena_close(&arena);
    return QN_OK;
}

static enum qn_status plan_job(const struct qn_lab_kernel *kernel, const struct qn_lab_shape *shape,
                               int n_threads, const struct qn_lab_op **op, struct qn_lab_job *job,
                               struct qn_error *err) {
    const char *const problem = qn_lab_shape_problem(kernel, shape);
    if (problem) return qn_fail(err, QN_BAD_ARGUMENT, "%s: %s", kernel->function, problem);
    *op = qn_lab_find(kernel->op);
    *job = (struct qn_lab_job){
        .kernel = kernel, .shape = qn_lab_shape_of(kernel->op, shape), .n_threads = n_threads};
    (*op)->plan(job);
    return QN_OK;
}

enum qn_status qn_lab_check(const struct qn_lab_kernel *kernel, const struct qn_lab_shape *shape,
                            struct qn_lab_result *result, struct qn_error *err) {
    const struct qn_lab_op *op = NULL;
    struct qn_lab_job job;
    struct qn_arena arena;
    QN_TRY(plan_job(kernel, shape, 1, &op, &job, err));
    QN_TRY(qn_lab_open(op, &job, 0, &arena, err));
    const enum qn_status status = op->check(&job, result, err);
    qn_arena_close(&arena);
    return status;
}

enum qn_status qn_lab_measure(struct qn_pool *pool, const struct qn_lab_kernel *kernel,
                              const struct qn_lab_shape *shape, enum qn_level where,
                              const struct qn_lab_options *options, struct qn_lab_result *result,
                              struct qn_error *err) {
    *result = (struct qn_lab_result){0};
    QN_TRY(qn_lab_check(kernel, shape, result, err));
    const struct qn_lab_op *op = NULL;
    struct qn_lab_job job;
    QN_TRY(plan_job(kernel, shape, qn_pool_n_threads(pool), &op, &job, err));
    result->ops = job.ops;
    result->bytes = job.bytes;
    return sample_job(pool, op, &job, where, options, result, err);
}
