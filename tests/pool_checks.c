/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_checks.h"

#include <pthread.h>
#include <unistd.h>

struct qn_pool *make_pool(int n_threads, bool pin, struct qn_error *err) {
    struct qn_topology topology;
    struct qn_pool *pool = NULL;
    if (qn_topology_read(NULL, &topology, err) != QN_OK) return NULL;
    const struct qn_pool_options options = {.n_threads = n_threads, .pin = pin};
    (void)qn_pool_new(&topology, &options, &pool, err);
    qn_topology_free(&topology);
    return pool;
}

struct qn_pool *make_pool_of(const char *synthetic, int n_threads, struct qn_error *err) {
    struct qn_topology topology;
    struct qn_pool *pool = NULL;
    if (qn_topology_read(synthetic, &topology, err) != QN_OK) return NULL;
    topology.n_allowed = 1;
    const struct qn_pool_options options = {.n_threads = n_threads};
    (void)qn_pool_new(&topology, &options, &pool, err);
    qn_topology_free(&topology);
    return pool;
}

/* ---- sums ---- */

struct tally {
    long sum[QN_POOL_MAX_THREADS];
    long input; /* written by the caller between runs */
};

static void add_input(void *context, int thread) {
    struct tally *tally = context;
    tally->sum[thread] += tally->input;
}

long check_sums(struct qn_pool *pool, int n_runs, unsigned pause_us) {
    struct tally tally = {0};
    const int n_threads = qn_pool_n_threads(pool);
    long expected = 0, wrong = 0;
    for (int run = 1; run <= n_runs; run++) {
        if (pause_us) usleep(pause_us);
        tally.input = run;
        expected += run;
        qn_pool_run(pool, add_input, &tally);
        for (int i = 0; i < n_threads; i++) wrong += tally.sum[i] != expected;
    }
    if (n_threads < QN_POOL_MAX_THREADS) wrong += tally.sum[n_threads] != 0;
    return wrong;
}

/* ---- callers ---- */

struct caller {
    struct qn_pool *pool;
    int n_runs;
    long wrong;
};

static void *call(void *argument) {
    struct caller *const caller = argument;
    caller->wrong = check_sums(caller->pool, caller->n_runs, 0);
    return NULL;
}

long check_callers(struct qn_pool *pool, int n_runs) {
    enum { N = 3 };
    struct caller callers[N];
    pthread_t threads[N];
    long wrong = 0;
    for (int i = 0; i < N; i++) {
        callers[i] = (struct caller){.pool = pool, .n_runs = n_runs};
        if (pthread_create(&threads[i], NULL, call, &callers[i]) != 0) return 1;
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        wrong += callers[i].wrong;
    }
    return wrong;
}

/* ---- ring ---- */

struct ring {
    struct qn_pool *pool;
    int n_threads, n_steps;
    long value[2][QN_POOL_MAX_THREADS]; /* this step's and the last one's */
    long wrong[QN_POOL_MAX_THREADS];
};

static void walk_ring(void *context, int thread) {
    struct ring *ring = context;
    for (int step = 0; step < ring->n_steps; step++) {
        const long *from = ring->value[step % 2];
        long *to = ring->value[1 - step % 2];
        const long neighbour = from[(thread + 1) % ring->n_threads];
        ring->wrong[thread] += neighbour != step;
        to[thread] = neighbour + 1;
        qn_pool_barrier(ring->pool, thread);
    }
}

static long run_ring(struct qn_pool *pool, int n_threads, int n_steps) {
    struct ring ring = {.pool = pool, .n_threads = n_threads, .n_steps = n_steps};
    qn_pool_run_first(pool, n_threads, walk_ring, &ring);
    long wrong = 0;
    for (int i = 0; i < n_threads; i++)
        wrong += ring.wrong[i] + (ring.value[n_steps % 2][i] != n_steps);
    for (int i = n_threads; i < QN_POOL_MAX_THREADS; i++) wrong += ring.value[1][i] != 0;
    return wrong;
}

long check_ring(struct qn_pool *pool, int n_steps) {
    return run_ring(pool, qn_pool_n_threads(pool), n_steps);
}

/* 1, all, 2, all but one, ...: threads sit out a run and come back. */
long check_teams(struct qn_pool *pool, int n_rounds) {
    const int n_threads = qn_pool_n_threads(pool);
    long wrong = 0;
    for (int round = 0; round < n_rounds; round++)
        for (int i = 1; i <= n_threads; i++) {
            qn_pool_set_spin(pool, round % 2 ? 1 : 0);
            wrong += run_ring(pool, i, 5);
            wrong += run_ring(pool, n_threads + 1 - i, 3);
        }
    return wrong;
}

/* ---- latecomers ---- */

struct late {
    struct qn_pool *pool;
    int n_threads;
    long steps[QN_POOL_MAX_THREADS];
};

static void come_late(void *context, int thread) {
    struct late *late = context;
    for (int step = 0; step < 2 * late->n_threads; step++) {
        if (step % late->n_threads == thread) usleep(1000);
        late->steps[thread]++;
        qn_pool_barrier(late->pool, thread);
    }
}

long check_late(struct qn_pool *pool) {
    struct late late = {.pool = pool, .n_threads = qn_pool_n_threads(pool)};
    qn_pool_run(pool, come_late, &late);
    long wrong = 0;
    for (int i = 0; i < late.n_threads; i++) wrong += late.steps[i] != 2 * late.n_threads;
    return wrong;
}
