/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool under every number of threads, more than there are cores included. Its work is in
 * pool_checks.c, which race_pool.c runs under ThreadSanitizer.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "alloc_meter.h"
#include "host/pool.h"
#include "pool_checks.h"

static const int thread_counts[] = {1, 2, 3, 4, 7, 8, 9, 16, 17, 33};
#define N_COUNTS (sizeof thread_counts / sizeof *thread_counts)

static struct qn_pool *take_pool(int n_threads, bool pin) {
    struct qn_error err = {0};
    struct qn_pool *pool = make_pool(n_threads, pin, &err);
    cr_assert_not_null(pool, "%s", err.message);
    cr_assert(n_threads == 0 || qn_pool_n_threads(pool) == n_threads);
    return pool;
}

/* ---- runs ---- */

Test(pool, every_thread_runs_once_a_run) {
    for (size_t c = 0; c < N_COUNTS; c++) {
        struct qn_pool *pool = take_pool(thread_counts[c], true);
        cr_assert_eq(check_sums(pool, 500, 0), 0, "%d threads", thread_counts[c]);
        qn_pool_free(pool);
    }
}

Test(pool, runs_on_some_of_its_threads) {
    for (size_t c = 0; c < N_COUNTS; c++) {
        struct qn_pool *pool = take_pool(thread_counts[c], true);
        cr_assert_eq(check_teams(pool, 4), 0, "%d threads", thread_counts[c]);
        cr_assert_eq(check_sums(pool, 20, 0), 0, "%d threads, all again", thread_counts[c]);
        qn_pool_free(pool);
    }
}

Test(pool, callers_take_turns) {
    struct qn_pool *pool = take_pool(3, true);
    cr_assert_eq(check_callers(pool, 300), 0);
    qn_pool_free(pool);
}

static void where(void *context, int thread) {
    pthread_t *threads = context;
    threads[thread] = pthread_self();
}

Test(pool, caller_is_thread_0) {
    struct qn_pool *pool = take_pool(3, false);
    pthread_t threads[3];
    qn_pool_run(pool, where, threads);
    cr_assert(pthread_equal(threads[0], pthread_self()));
    cr_assert_not(pthread_equal(threads[1], threads[0]));
    cr_assert_not(pthread_equal(threads[1], threads[2]));
    qn_pool_free(pool);
}

/* Far longer pauses than any spinning. */
Test(pool, wakes_sleeping_workers) {
    struct qn_pool *pool = take_pool(3, true);
    cr_assert_eq(check_sums(pool, 20, 3000), 0);
    qn_pool_free(pool);
}

/* ---- barriers ---- */

static void keeps_step(int n_threads, int n_steps, int n_runs, bool pin) {
    struct qn_pool *pool = take_pool(n_threads, pin);
    for (int run = 0; run < n_runs; run++)
        cr_assert_eq(check_ring(pool, n_steps), 0, "%d threads", n_threads);
    qn_pool_free(pool);
}

Test(barrier, keeps_step_at_every_count) {
    for (size_t c = 0; c < N_COUNTS; c++) keeps_step(thread_counts[c], 50, 4, true);
}

/* Groups of one thread, of three, of six, and of four beside one that floats: every team of them.
 */
Test(barrier, keeps_step_in_uneven_groups) {
    static const struct {
        const char *synthetic;
        int n_threads;
    } machines[] = {{"numa:9 l3:1 core:1 pu:1", 9},
                    {"l3:5 core:3 pu:1", 15},
                    {"core:12 pu:1", 12},
                    {"pack:2 l3:1 core:4 pu:1", 9}};
    for (size_t i = 0; i < sizeof machines / sizeof *machines; i++) {
        struct qn_error err = {0};
        struct qn_pool *pool = make_pool_of(machines[i].synthetic, machines[i].n_threads, &err);
        cr_assert_not_null(pool, "%s", err.message);
        cr_assert_eq(check_ring(pool, 50), 0, "%s", machines[i].synthetic);
        cr_assert_eq(check_teams(pool, 2), 0, "%s", machines[i].synthetic);
        cr_assert_eq(check_sums(pool, 5, 3000), 0, "%s, from sleep", machines[i].synthetic);
        qn_pool_free(pool);
    }
}

Test(barrier, hundred_thousand_with_two_threads) {
    keeps_step(2, 100000, 1, true);
}

Test(barrier, two_thousand_crowded) {
    keeps_step(16, 2000, 1, true);
}

Test(barrier, does_not_need_pinning) {
    keeps_step(4, 1000, 2, false);
}

Test(barrier, wakes_sleepers) {
    for (size_t c = 0; c < N_COUNTS; c++) {
        struct qn_pool *pool = take_pool(thread_counts[c], true);
        cr_assert_eq(check_late(pool), 0, "%d threads", thread_counts[c]);
        qn_pool_free(pool);
    }
}

/* ---- pinning ---- */

static void record_cpu(void *context, int thread) {
    cpu_set_t mask;
    int *cpus = context;
    CPU_ZERO(&mask);
    cpus[thread] = -2;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0) return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &mask)) continue;
        cpus[thread] = CPU_COUNT(&mask) == 1 ? cpu : -1;
        return;
    }
}

/* One worker a core in the topology's order, floating ones beyond; what the pool reports is what
 * each thread sees of itself. */
Test(pinning, is_read_back) {
    struct qn_topology topology;
    cr_assert_eq(qn_topology_read(NULL, &topology, NULL), QN_OK);
    const int n = topology.n_cores + 2;
    cr_assert_leq(n, QN_POOL_MAX_THREADS);
    struct qn_pool *pool = take_pool(n, true);
    int cpus[QN_POOL_MAX_THREADS];
    qn_pool_run(pool, record_cpu, cpus);
    for (int i = 0; i < n; i++) {
        if (i < topology.n_cores)
            cr_assert_eq(qn_pool_cpu(pool, i), topology.cores[i].cpu);
        else
            cr_assert_eq(qn_pool_cpu(pool, i), topology.n_allowed > 1 ? -1 : topology.cores[0].cpu);
        cr_assert_eq(cpus[i], qn_pool_cpu(pool, i));
    }
    qn_pool_free(pool);
    qn_topology_free(&topology);
}

Test(pinning, of_the_caller_is_undone) {
    cpu_set_t before, after;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    struct qn_pool *pool = take_pool(2, true);
    cr_assert_geq(qn_pool_cpu(pool, 0), 0);
    qn_pool_free(pool);
    cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
    cr_assert(CPU_EQUAL(&before, &after));
}

static int count_allowed(void) {
    cpu_set_t mask;
    return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : -1;
}

/* One thread's pools, in whatever order they end. */
Test(pinning, is_undone_with_the_last_pool) {
    const int before = count_allowed();
    for (int first = 0; first < 2; first++) {
        struct qn_pool *pools[2] = {take_pool(1, true), take_pool(2, true)};
        cr_assert_eq(count_allowed(), 1);
        qn_pool_free(pools[first]);
        cr_assert_eq(count_allowed(), 1, "the other pool wants it");
        qn_pool_free(pools[!first]);
        cr_assert_eq(count_allowed(), before);
    }
}

static void record_allowed(void *context, int thread) {
    ((int *)context)[thread] = count_allowed();
}

/* Neither the topology nor threads that float take a pinned caller's processor for all there are.
 */
Test(pinning, does_not_narrow_the_next_pool) {
    const int before = count_allowed();
    struct qn_pool *const first = take_pool(1, true);
    struct qn_topology topology;
    cr_assert_eq(qn_topology_read(NULL, &topology, NULL), QN_OK);
    cr_assert_eq(topology.n_allowed, before);
    qn_topology_free(&topology);
    struct qn_pool *const second = take_pool(3, false);
    int allowed[3];
    qn_pool_run(second, record_allowed, allowed);
    cr_assert(allowed[1] == before && allowed[2] == before, "%d %d of %d", allowed[1], allowed[2],
              before);
    qn_pool_free(second);
    qn_pool_free(first);
}

Test(pinning, can_be_left_out) {
    cpu_set_t before, during;
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    struct qn_pool *pool = take_pool(2, false);
    for (int i = 0; i < 2; i++) cr_assert_eq(qn_pool_cpu(pool, i), -1);
    cr_assert_eq(sched_getaffinity(0, sizeof during, &during), 0);
    cr_assert(CPU_EQUAL(&before, &during));
    qn_pool_free(pool);
}

/* A core that does not exist: the worker floats, says so, and works. */
Test(pinning, to_a_missing_core_floats) {
    struct qn_core cores[2] = {{.cpu = 8191, .n_threads = 1}, {.cpu = 100000, .n_threads = 1}};
    const struct qn_topology topology = {
        .n_cores = 2, .cores = cores, .n_allowed = 2, .n_default = 2};
    const struct qn_pool_options options = {.pin = true};
    struct qn_pool *pool;
    cr_assert_eq(qn_pool_new(&topology, &options, &pool, NULL), QN_OK);
    cr_assert_eq(qn_pool_n_threads(pool), 2);
    cr_assert(qn_pool_cpu(pool, 0) == -1 && qn_pool_cpu(pool, 1) == -1);
    cr_assert_eq(check_sums(pool, 10, 0), 0);
    qn_pool_free(pool);
}

/* ---- life and death ---- */

Test(pool, default_is_the_topologys) {
    struct qn_topology topology;
    cr_assert_eq(qn_topology_read(NULL, &topology, NULL), QN_OK);
    struct qn_pool *pool = take_pool(0, true);
    cr_assert_eq(qn_pool_n_threads(pool), topology.n_default);
    qn_pool_free(pool);
    qn_topology_free(&topology);
}

Test(pool, refuses_impossible_counts) {
    struct qn_topology topology;
    cr_assert_eq(qn_topology_read(NULL, &topology, NULL), QN_OK);
    const int counts[] = {-1, QN_POOL_MAX_THREADS + 1};
    for (int i = 0; i < 2; i++) {
        struct qn_pool *pool;
        struct qn_error err;
        const struct qn_pool_options options = {.n_threads = counts[i]};
        cr_assert_eq(qn_pool_new(&topology, &options, &pool, &err), QN_BAD_ARGUMENT);
        cr_assert_str_eq(err.message, i == 0 ? "-1 threads, expected 1 to 256"
                                             : "257 threads, expected 1 to 256");
        cr_assert_null(pool);
    }
    qn_topology_free(&topology);
}

Test(pool, comes_and_goes) {
    for (int i = 0; i < 200; i++) {
        struct qn_pool *pool = take_pool(1 + i % 4, true);
        if (i % 3) cr_assert_eq(check_sums(pool, 2, 0), 0);
        qn_pool_free(pool);
    }
    qn_pool_free(NULL);
}

static bool handled_elsewhere;
static pthread_t main_thread;

static void on_signal(int number) {
    (void)number;
    if (!pthread_equal(pthread_self(), main_thread)) handled_elsewhere = true;
}

Test(pool, workers_leave_signals_to_the_caller) {
    main_thread = pthread_self();
    signal(SIGUSR1, on_signal);
    struct qn_pool *pool = take_pool(4, true);
    for (int i = 0; i < 100; i++) kill(getpid(), SIGUSR1);
    qn_pool_free(pool);
    cr_assert_not(handled_elsewhere);
}

/* As much stack as it leaves room for, whatever threads have by default. */
static void use_stack(void *context, int thread) {
    volatile char deep[(1 << 20) - (128 << 10)];
    for (size_t i = 0; i < sizeof deep; i += 4096) deep[i] = (char)thread;
    ((char *)context)[thread] = deep[0];
}

Test(pool, workers_have_stack_for_the_kernels) {
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 128 << 10);
    cr_assert_eq(pthread_setattr_default_np(&small), 0);
    struct qn_pool *pool = take_pool(3, true);
    char used[3] = {0};
    qn_pool_run(pool, use_stack, used);
    cr_assert(used[1] == 1 && used[2] == 2);
    qn_pool_free(pool);
}

/* Any allocation may fail, and nothing is left behind. */
Test(pool, survives_failed_allocations) {
    struct qn_topology topology;
    cr_assert_eq(qn_topology_read(NULL, &topology, NULL), QN_OK);
    const struct qn_pool_options options = {.n_threads = 3, .pin = true};
    enum qn_status status = QN_NO_MEMORY;
    for (size_t k = 1; status != QN_OK; k++) {
        struct qn_pool *pool;
        struct qn_error err = {0};
        alloc_meter_reset();
        alloc_meter_fail_at(k, false);
        status = qn_pool_new(&topology, &options, &pool, &err);
        alloc_meter_fail_at(0, false);
        if (status == QN_OK) {
            cr_assert_gt(k, 1);
            qn_pool_free(pool);
        } else {
            cr_assert_eq(status, QN_NO_MEMORY);
            cr_assert_not_null(strstr(err.message, "no memory for a pool of 3 threads"));
        }
        cr_assert_eq(alloc_meter_held(), 0);
    }
    qn_topology_free(&topology);
}

/* A run and its barriers allocate nothing. */
Test(pool, runs_without_allocating) {
    struct qn_pool *pool = take_pool(4, true);
    alloc_meter_reset();
    cr_assert_eq(check_ring(pool, 20), 0);
    cr_assert_eq(alloc_meter_calls(), 0);
    qn_pool_free(pool);
}

/* Threads that the system does not grant: the ones made are joined. Root is above this limit, so
 * a smaller address space does it: stacks stop fitting after some. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
Test(pool, survives_refused_threads) {
    struct qn_topology topology;
    cr_assert_eq(qn_topology_read(NULL, &topology, NULL), QN_OK);
    struct rlimit before, tight;
    cr_assert_eq(getrlimit(RLIMIT_AS, &before), 0);
    tight = before;
    tight.rlim_cur = (rlim_t)1 << 30; /* 256 stacks of 8 MiB are 2 GiB */
    cr_assert_eq(setrlimit(RLIMIT_AS, &tight), 0);
    const struct qn_pool_options options = {.n_threads = QN_POOL_MAX_THREADS};
    struct qn_pool *pool;
    struct qn_error err;
    cr_assert_eq(qn_pool_new(&topology, &options, &pool, &err), QN_NO_MEMORY);
    cr_assert_not_null(strstr(err.message, "of 256 cannot be started"), "%s", err.message);
    cr_assert_null(pool);
    cr_assert_eq(setrlimit(RLIMIT_AS, &before), 0);
    qn_topology_free(&topology);
}
#endif
