/* SPDX-License-Identifier: Apache-2.0
 *
 * Work for a pool whose results are right only if the pool keeps its promises. Free of Criterion,
 * which cannot start under ThreadSanitizer: variables are plain on purpose, for it to see.
 * Every function returns how many results were wrong.
 */
#ifndef QN_TESTS_POOL_CHECKS_H
#define QN_TESTS_POOL_CHECKS_H

#include "host/pool.h"

/* A pool of this machine's topology; NULL (and *err) when it cannot be made. */
struct qn_pool *make_pool(int n_threads, bool pin, struct qn_error *err);
/* The same as if this machine had that topology (hwloc's synthetic description), in which threads
 * float and know that they outnumber processors. */
struct qn_pool *make_pool_of(const char *synthetic, int n_threads, struct qn_error *err);

/* Each run adds a new number once on every thread; the caller reads the sums at once. Before a
 * run the caller sleeps for pause_us. */
long check_sums(struct qn_pool *pool, int n_runs, unsigned pause_us);

/* Each step, a thread takes its neighbour's value of the step before and adds one: right only if
 * nobody is a step ahead or behind. */
long check_ring(struct qn_pool *pool, int n_steps);

/* The same in runs of ever other numbers of threads, each number n_rounds times. */
long check_teams(struct qn_pool *pool, int n_rounds);

/* Three callers run on the pool at a time; each run has the whole pool to itself. */
long check_callers(struct qn_pool *pool, int n_runs);

/* A different thread comes late to each barrier, by more than the others spin. */
long check_late(struct qn_pool *pool);

#endif
