/* SPDX-License-Identifier: Apache-2.0
 *
 * What the pool's barrier and the start of a run cost, for each number of threads:
 *   quern-bench-barrier [MAX_THREADS]
 * Each line is the median of several rounds; "asleep" is a run whose workers had gone to sleep.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "host/pool.h"

enum { ROUNDS = 15 };

struct round {
    struct qn_pool *pool;
    int n_barriers;
};

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void do_barriers(void *context, int thread) {
    const struct round *round = context;
    for (int i = 0; i < round->n_barriers; i++) qn_pool_barrier(round->pool, thread);
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

static void measure(struct qn_pool *pool, int n_runs, int n_barriers) {
    double barrier[ROUNDS], run[ROUNDS], asleep[ROUNDS];
    struct round many = {pool, n_barriers}, none = {pool, 0};
    for (int i = 0; i < ROUNDS; i++) {
        double start = now_ns();
        qn_pool_run(pool, do_barriers, &many);
        barrier[i] = (now_ns() - start) / n_barriers;
        start = now_ns();
        for (int k = 0; k < n_runs; k++) qn_pool_run(pool, do_barriers, &none);
        run[i] = (now_ns() - start) / n_runs;
        usleep(2000);
        start = now_ns();
        qn_pool_run(pool, do_barriers, &none);
        asleep[i] = now_ns() - start;
    }
    printf("%7d %14.0f %14.0f %14.0f\n", qn_pool_n_threads(pool), median(barrier), median(run),
           median(asleep));
}

int main(int argc, char **argv) {
    struct qn_topology topology;
    struct qn_error err;
    if (qn_topology_read(NULL, &topology, &err) != QN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const int max = argc > 1 ? atoi(argv[1]) : 2 * topology.n_cores;
    printf("%7s %14s %14s %14s\n", "threads", "ns a barrier", "ns a run", "ns asleep");
    for (int n = 1; n <= max; n = n < 4 ? n + 1 : 2 * n) {
        const struct qn_pool_options options = {.n_threads = n, .pin = true};
        struct qn_pool *pool;
        if (qn_pool_new(&topology, &options, &pool, &err) != QN_OK) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        const int crowd = n > topology.n_cores ? 100 : 1;
        measure(pool, 10000 / crowd, 100000 / crowd);
        qn_pool_free(pool);
    }
    qn_topology_free(&topology);
    return 0;
}
