/* SPDX-License-Identifier: Apache-2.0
 *
 * What this machine can do at the most, measured: the ceilings that kernels, steps and whole
 * models are held against. Every figure is of all threads of a pool together.
 */
#ifndef QN_REPORT_MACHINE_H
#define QN_REPORT_MACHINE_H

#include "base/status.h"
#include "host/pool.h"
#include "kernels/peak.h"

/* Where the bytes that a core reads come from. */
enum qn_level { QN_LEVEL_L2, QN_LEVEL_L3, QN_LEVEL_MEMORY, QN_LEVEL_COUNT };
const char *qn_level_name(enum qn_level level); /* "L2", "L3", "memory" */

/* Bytes that a thread of n walks through so that they come from the level: half of its L2; four
 * times its L2, at most half of its share of the L3; and for memory, of all threads together,
 * twice the L3 or 256 MiB, at most a quarter of the memory that the process may have. Multiples of
 * 64 KiB. */
size_t qn_machine_footprint(const struct qn_caches *caches, enum qn_level level, int n_threads);

/* A rate measured many times, in 10^9 a second. */
struct qn_rate {
    double best, median; /* of the clean runs, if there are any; 0: not measured */
    int n_runs;
    int n_clean; /* runs in which no thread lost its processor to others */
};

/* Too few clean runs, or they scatter: half of them are more than 5 % below the best. */
bool qn_rate_is_noisy(const struct qn_rate *rate);

struct qn_machine_limits {
    int n_threads;
    struct qn_caches caches;             /* of these threads */
    uint32_t bundles;                    /* instruction sets of the peaks */
    struct qn_rate read[QN_LEVEL_COUNT]; /* GB/s */
    struct qn_rate peak[QN_PEAK_COUNT];  /* GOP/s; a multiply-add is two. 0: no such instruction */
    struct qn_rate clock;                /* GHz of the threads' cores together, by timing */
};

/* Measures what the instruction sets of the bundles reach on the pool's threads; some
 * seconds, most of them to write the memory that is read. Only sets of qn_cpu_bundles may be asked
 * for (QN_BAD_ARGUMENT); QN_NO_MEMORY.
 */
enum qn_status qn_machine_measure(struct qn_pool *pool, uint32_t bundles,
                                  struct qn_machine_limits *limits, struct qn_error *err);

/* The parts of it. */
enum qn_status qn_machine_measure_read(struct qn_pool *pool, enum qn_level level,
                                       struct qn_rate *rate, struct qn_error *err);
struct qn_rate qn_machine_measure_clock(struct qn_pool *pool);
struct qn_rate qn_machine_measure_peak(struct qn_pool *pool, uint32_t bundles, enum qn_peak peak);

/* A loop that any thread runs, timed as the peaks are: for comparing probes with other loops. Each
 * call does `work` units on each thread; the rate is in 10^9 units a second. */
struct qn_rate qn_machine_rate(struct qn_pool *pool, void (*run)(void *context, int thread),
                               void *context, double work);

#endif
