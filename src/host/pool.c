/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads that wait for work.
 */
#include "host/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/affinity.h"
#include "host/barrier.h"
#include "host/groups.h"

/* Spinning as long as a sleep and a wake-up would cost bounds the loss at twice the best choice.
 * Waking a worker took 7 us at the least and 40 us in the median of a busy virtual machine
 * (quern-bench-barrier). Between two decode runs the caller samples a token, some tens of
 * microseconds; a barrier is reached by all within microseconds when work is split evenly. So
 * workers rarely sleep in the middle of a text, and one that has ended costs 100 us of spinning. */
enum { SPIN_US = 50 };
/* With more threads than processors, whoever spins keeps the one that it waits for from running. */
static const struct qn_spin spin_crowded = {.n_loads = 100, .ns = 0};

struct worker {
    struct qn_pool *pool;
    int index;
    int cpu; /* -1: floats */
    pthread_t thread;
    uint32_t step; /* of its order; read by who gives it alone */
};

struct task {
    void (*fn)(void *context, int thread); /* NULL: end */
    void *context;
    int n_threads;               /* of the run */
    struct qn_spin between_runs; /* before the next order */
};

/* What a worker waits for; given by the caller, or by the leader of its group, so that the first of
 * many threads does not start long before the last. One line, so that it gets all of a run at once.
 */
struct order {
    alignas(QN_SIGNAL_ALIGNMENT) struct qn_signal start; /* one step a run that it takes part in */
    struct task task;
};

struct qn_pool {
    int n_threads, n_running;            /* all; those of the last run, whose lines are in step */
    double processors;                   /* that threads may use at a time */
    int spin_us;                         /* as of qn_pool_set_spin */
    struct qn_caches caches;             /* of the workers' cores */
    struct qn_spin in_run, between_runs; /* of such a run */
    pthread_mutex_t busy;                /* held during a run: sessions of a model share its pool */
    struct worker *workers;              /* [n_threads]; 0 is the caller */
    struct order *orders;                /* [n_threads]; 0 is not used */
    struct qn_barrier barrier;           /* over [n_threads] lines, which it owns */
    int *starts;                         /* [groups + 1] threads, see qn_groups_form */
    bool bound;                          /* who made the pool is bound to its first core */
    pthread_t maker;
};

/* ---- workers ---- */

static void give(struct qn_pool *pool, int thread, const struct task *task) {
    struct order *const order = &pool->orders[thread];
    /* Every write fetches the line from the worker, who looks at it: 300 ns a run. */
    const struct task *const old = &order->task;
    if (old->fn != task->fn || old->context != task->context || old->n_threads != task->n_threads ||
        old->between_runs.ns != task->between_runs.ns)
        order->task = *task;
    qn_signal_post(&order->start, pool->workers[thread].step += 2);
}

/* A leader starts the others of its group. */
static void start_group(struct qn_pool *pool, int leader, const struct task *task) {
    const int end = pool->starts[qn_groups_find(pool->starts, leader) + 1];
    for (int i = leader + 1; i < end && i < task->n_threads; i++) give(pool, i, task);
}

static void *work(void *argument) {
    const struct worker *worker = argument;
    struct qn_pool *pool = worker->pool;
    /* Not read again: who gives orders writes to the same line. */
    const int index = worker->index;
    const bool leads = qn_barrier_leader(&pool->barrier, index) == index;
    struct order *const order = &pool->orders[index];
    /* The first order is written while this thread starts: nothing of it may be read before its
     * signal. Until then the thread sleeps. */
    struct qn_spin spin = {.n_loads = 0};
    /* Steps begin at 0; the first run is step 2. */
    for (uint32_t target = 2;; target += 2) {
        qn_signal_wait(&order->start, target, spin);
        const struct task task = order->task;
        if (leads) start_group(pool, index, &task);
        if (!task.fn) return NULL;
        spin = task.between_runs;
        task.fn(task.context, index);
        qn_barrier_arrive(&pool->barrier, task.n_threads, index, pool->in_run);
    }
}

/* How long threads of a run of so many spin. */
static void choose_spins(struct qn_pool *pool, int n_threads) {
    const uint64_t ns = 1000 * (uint64_t)(pool->spin_us ? pool->spin_us : SPIN_US);
    const bool crowded = pool->spin_us == 0 && n_threads > pool->processors;
    pool->in_run = crowded ? spin_crowded : (struct qn_spin){.n_loads = 1000, .ns = ns};
    pool->between_runs = crowded ? spin_crowded : (struct qn_spin){.n_loads = 1000, .ns = 2 * ns};
}

static void start_run(struct qn_pool *pool, int n_threads, void (*fn)(void *context, int thread),
                      void *context) {
    /* Workers read the pool: what has not changed is not written. */
    if (n_threads != pool->n_running) {
        qn_barrier_restart(&pool->barrier, n_threads);
        choose_spins(pool, n_threads);
        pool->n_running = n_threads;
    }
    const struct task task = {fn, context, n_threads, pool->between_runs};
    for (const int *leader = pool->starts + 1; *leader < n_threads; leader++)
        give(pool, *leader, &task);
    start_group(pool, 0, &task);
}

/* Ends and joins workers 1 .. n_started - 1. */
static void stop(struct qn_pool *pool, int n_started) {
    start_run(pool, n_started, NULL, NULL);
    for (int i = 1; i < n_started; i++) pthread_join(pool->workers[i].thread, NULL);
}

/* Attention keeps a block of its span on the stack, 180 KiB, which is more than musl gives a thread
 * by default or a low limit (ulimit -s) leaves it. */
enum { LEAST_STACK = 1 << 20 };

/* Returns an error number or 0; then the attributes are to be destroyed. */
static int with_stack(pthread_attr_t *attributes) {
    size_t size;
    const int error = pthread_attr_init(attributes);
    if (error == 0 && pthread_attr_getstacksize(attributes, &size) == 0 && size < LEAST_STACK)
        pthread_attr_setstacksize(attributes, LEAST_STACK);
    return error;
}

/* Creates workers from 1 on until one fails; *started: how many threads there are then. */
static int create_workers(struct qn_pool *pool, int *started) {
    pthread_attr_t attributes;
    int error = with_stack(&attributes);
    *started = 1;
    if (error != 0) return error;
    while (error == 0 && *started < pool->n_threads) {
        struct worker *worker = &pool->workers[*started];
        error = pthread_create(&worker->thread, &attributes, work, worker);
        if (error == 0) ++*started;
    }
    pthread_attr_destroy(&attributes);
    return error;
}

static enum qn_status start_workers(struct qn_pool *pool, struct qn_error *err) {
    /* Signals are the caller's business: a worker must not run its handlers. */
    sigset_t all, before;
    int started;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = create_workers(pool, &started);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) return QN_OK;
    stop(pool, started);
    return qn_fail(err, QN_NO_MEMORY, "thread %d of %d cannot be started: %s", started + 1,
                   pool->n_threads, strerror(error));
}

static void name_and_pin(struct qn_pool *pool, const struct qn_topology *topology, bool pin) {
    for (int i = 0; i < pool->n_threads; i++) {
        const int cpu = pin && i < topology->n_cores ? topology->cores[i].cpu : -1;
        struct worker *worker = &pool->workers[i];
        if (i > 0) {
            char name[24]; /* the kernel takes 15 characters */
            snprintf(name, sizeof name, "quern-%d", i);
            pthread_setname_np(worker->thread, name);
        }
        if (i > 0)
            qn_affinity_bind_thread(worker->thread, cpu);
        else if (cpu >= 0)
            pool->bound = qn_affinity_bind(cpu);
        if (pin) worker->cpu = qn_affinity_only(i > 0 ? worker->thread : pthread_self());
    }
}

/* ---- the pool ---- */

/* Lines of its own: what is only read does not travel with what a neighbour writes. */
static void *take_aligned(size_t size) {
    size = (size + QN_SIGNAL_ALIGNMENT - 1) / QN_SIGNAL_ALIGNMENT * QN_SIGNAL_ALIGNMENT;
    void *memory = aligned_alloc(QN_SIGNAL_ALIGNMENT, size);
    if (memory) memset(memory, 0, size);
    return memory;
}

static void release(struct qn_pool *pool) {
    pthread_mutex_destroy(&pool->busy);
    free(pool->workers);
    free(pool->orders);
    free(pool->barrier.lines);
    free(pool->starts);
    free(pool);
}

static struct qn_pool *take_pool(int n_threads) {
    struct qn_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pthread_mutex_init(&pool->busy, NULL);
    pool->n_threads = pool->n_running = n_threads;
    pool->workers = calloc((size_t)n_threads, sizeof *pool->workers);
    pool->orders = take_aligned((size_t)n_threads * sizeof *pool->orders);
    pool->barrier.lines = take_aligned((size_t)n_threads * sizeof *pool->barrier.lines);
    pool->barrier.starts = pool->starts =
        take_aligned(((size_t)n_threads + 1) * sizeof *pool->starts);
    if (!pool->workers || !pool->orders || !pool->barrier.lines || !pool->starts) {
        release(pool);
        return NULL;
    }
    for (int i = 0; i < n_threads; i++)
        pool->workers[i] = (struct worker){.pool = pool, .index = i, .cpu = -1};
    return pool;
}

enum qn_status qn_pool_new(const struct qn_topology *topology,
                           const struct qn_pool_options *options, struct qn_pool **out,
                           struct qn_error *err) {
    *out = NULL;
    const int n_threads = options->n_threads ? options->n_threads : topology->n_default;
    if (n_threads < 1 || n_threads > QN_POOL_MAX_THREADS)
        return qn_fail(err, QN_BAD_ARGUMENT, "%d threads, expected 1 to %d", n_threads,
                       QN_POOL_MAX_THREADS);
    struct qn_pool *pool = take_pool(n_threads);
    if (!pool) return qn_fail(err, QN_NO_MEMORY, "no memory for a pool of %d threads", n_threads);
    pool->maker = pthread_self();
    pool->processors = topology->n_allowed;
    if (topology->quota > 0 && topology->quota < pool->processors)
        pool->processors = topology->quota;
    pool->caches = qn_topology_caches(topology, n_threads);
    qn_pool_set_spin(pool, options->spin_us);
    qn_groups_form(topology, n_threads, pool->starts);
    qn_barrier_seat(&pool->barrier, n_threads);
    const enum qn_status status = start_workers(pool, err);
    if (status != QN_OK) {
        release(pool);
        return status;
    }
    name_and_pin(pool, topology, options->pin);
    *out = pool;
    return QN_OK;
}

void qn_pool_free(struct qn_pool *pool) {
    if (!pool) return;
    stop(pool, pool->n_threads);
    if (pool->bound && pthread_equal(pool->maker, pthread_self())) qn_affinity_unbind();
    release(pool);
}

void qn_pool_set_spin(struct qn_pool *pool, int us) {
    pthread_mutex_lock(&pool->busy);
    pool->spin_us = us;
    choose_spins(pool, pool->n_running);
    pthread_mutex_unlock(&pool->busy);
}

int qn_pool_n_threads(const struct qn_pool *pool) {
    return pool->n_threads;
}

struct qn_caches qn_pool_caches(const struct qn_pool *pool) {
    return pool->caches;
}

int qn_pool_cpu(const struct qn_pool *pool, int thread) {
    return pool->workers[thread].cpu;
}

void qn_pool_run(struct qn_pool *pool, void (*fn)(void *context, int thread), void *context) {
    qn_pool_run_first(pool, pool->n_threads, fn, context);
}

void qn_pool_run_first(struct qn_pool *pool, int n_threads, void (*fn)(void *context, int thread),
                       void *context) {
    pthread_mutex_lock(&pool->busy);
    start_run(pool, n_threads, fn, context);
    fn(context, 0);
    qn_barrier_join(&pool->barrier, n_threads, pool->in_run);
    pthread_mutex_unlock(&pool->busy);
}

void qn_pool_barrier(struct qn_pool *pool, int thread) {
    qn_barrier_wait(&pool->barrier, pool->n_running, thread, pool->in_run);
}
