/* SPDX-License-Identifier: Apache-2.0
 *
 * What the pool's barrier and the start of a run cost, for each number of threads:
 *   quern-bench-barrier [MAX_THREADS]
 * Least and median of many short rounds: a busy neighbour spoils a few rounds, not the answer.
 * "From sleep" is a run whose workers had gone to sleep.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/pool.h"

enum { ROUNDS = 101, STEPS = 500 };

struct round {
    struct qn_pool *pool;
    int n_barriers;
};

static void do_barriers(void *context, int thread) {
    const struct round *round = context;
    for (int i = 0; i < round->n_barriers; i++) qn_pool_barrier(round->pool, thread);
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_times(double *times) {
    qsort(times, ROUNDS, sizeof *times, compare);
    printf(" %9.0f %9.0f", times[0], times[ROUNDS / 2]);
}

static void measure(struct qn_pool *pool, int n_steps) {
    double barrier[ROUNDS], run[ROUNDS], asleep[ROUNDS];
    struct round many = {pool, n_steps}, none = {pool, 0};
    for (int i = 0; i < ROUNDS; i++) {
        double start = (double)qn_clock_ns();
        qn_pool_run(pool, do_barriers, &many);
        barrier[i] = ((double)qn_clock_ns() - start) / n_steps;
        start = (double)qn_clock_ns();
        for (int k = 0; k < n_steps; k++) qn_pool_run(pool, do_barriers, &none);
        run[i] = ((double)qn_clock_ns() - start) / n_steps;
        usleep(1000);
        start = (double)qn_clock_ns();
        qn_pool_run(pool, do_barriers, &none);
        asleep[i] = (double)qn_clock_ns() - start;
    }
    printf("%7d", qn_pool_n_threads(pool));
    print_times(barrier);
    print_times(run);
    print_times(asleep);
    printf("\n");
}

int main(int argc, char **argv) {
    struct qn_topology topology;
    struct qn_error err;
    if (qn_topology_read(NULL, &topology, &err) != QN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    const int max = argc > 1 ? atoi(argv[1]) : 2 * topology.n_cores;
    printf("        ns a barrier        ns a run            ns a run from sleep\n"
           "threads     least    median     least    median     least    median\n");
    for (int n = 1; n <= max; n = n < 4 ? n + 1 : 2 * n) {
        const struct qn_pool_options options = {.n_threads = n, .pin = true};
        struct qn_pool *pool;
        if (qn_pool_new(&topology, &options, &pool, &err) != QN_OK) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        measure(pool, n > topology.n_cores ? STEPS / 100 : STEPS);
        qn_pool_free(pool);
    }
    qn_topology_free(&topology);
    return 0;
}
