/* SPDX-License-Identifier: Apache-2.0
 *
 * A pool of pinned workers that run one function together, in lock-step through barriers. The
 * caller is worker 0. Barriers spin a bounded time, then sleep on a futex, so more threads than
 * cores still make progress.
 */
#ifndef QN_HOST_POOL_H
#define QN_HOST_POOL_H

#include <stdbool.h>

#include "base/status.h"
#include "host/topology.h"

#define QN_POOL_MAX_THREADS QN_MAX_THREADS

struct qn_pool;

/* Even division: thread t of n_threads takes units [qn_share(n, t), qn_share(n, t + 1)). */
static inline int qn_share(int n, int t, int n_threads) {
    return (int)((long long)n * t / n_threads);
}

struct qn_pool_options {
    int n_threads; /* 1 .. QN_POOL_MAX_THREADS; 0: the topology's default */
    int spin_us;   /* as of qn_pool_set_spin */
    bool pin;      /* one worker a physical core, while there are cores; worker 0 is the
                      calling thread of qn_pool_new and is pinned too, until that frees the pool */
};

/* The topology is read, not kept. Errors: QN_BAD_ARGUMENT, QN_NO_MEMORY (a thread cannot be
 * started either). A core that cannot be pinned to is no error: see qn_pool_cpu. */
enum qn_status qn_pool_new(const struct qn_topology *topology,
                           const struct qn_pool_options *options, struct qn_pool **out,
                           struct qn_error *err);
void qn_pool_free(struct qn_pool *pool); /* NULL is allowed */

/* How long a thread that waits within a run spins before it sleeps, microseconds; twice that
 * between runs. 0: the default, which is not to spin where a run's threads outnumber processors.
 * Not from inside fn. */
void qn_pool_set_spin(struct qn_pool *pool, int us);

int qn_pool_n_threads(const struct qn_pool *pool);
/* Processor that a worker is pinned to as read back from the kernel, or -1 when it floats. */
int qn_pool_cpu(const struct qn_pool *pool, int thread);

/* Of the cores that the workers are pinned to, or would be. */
struct qn_caches qn_pool_caches(const struct qn_pool *pool);

/* Runs fn(context, thread) on every worker, thread 0 on the caller; returns when all are done.
 * Orders memory: workers see what the caller wrote, and the caller what they wrote. Callers of
 * several threads take turns; not from inside fn. */
void qn_pool_run(struct qn_pool *pool, void (*fn)(void *context, int thread), void *context);
/* The same on workers 0 .. n_threads - 1, who alone meet at barriers; the others are not woken. */
void qn_pool_run_first(struct qn_pool *pool, int n_threads, void (*fn)(void *context, int thread),
                       void *context);
/* Inside fn: every worker of the run must call it the same number of times. Orders memory. */
void qn_pool_barrier(struct qn_pool *pool, int thread);

#endif
