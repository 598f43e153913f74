/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a token was slow: what the operating system did to this process meanwhile.
 */
#ifndef QN_REPORT_SLOW_H
#define QN_REPORT_SLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/pool.h"

/* What happened between two looks. */
struct qn_slow_reading {
    uint64_t ns;           /* how long it was */
    uint64_t major_faults; /* pages read from storage */
    uint64_t switches;     /* times that a thread was taken off its processor */
    uint64_t delay_ns;     /* longest that one thread was ready and had no processor */
    uint64_t throttled_ns; /* that the control group's quota held the process */
    uint64_t stolen_ns;    /* that the host of a virtual machine took from its processors */
    uint64_t khz;          /* clock of the first processor at the end; 0: not to be had */
    uint64_t bytes;        /* weights and cache that were read: the caller's */
};

/* What the looks need; files stay open. */
struct qn_slow_watch {
    int threads[QN_POOL_MAX_THREADS]; /* schedstat of each */
    uint64_t delays[QN_POOL_MAX_THREADS];
    int n_threads;
    int throttle, stolen, clock; /* files, -1: not there */
    struct qn_slow_reading sums; /* so far; ns: when the last look was */
};

/* Finds the threads that are there now, and looks. */
void qn_slow_watch_open(struct qn_slow_watch *watch);
/* What happened since the last look. Some microseconds and one more for each thread. */
struct qn_slow_reading qn_slow_watch_look(struct qn_slow_watch *watch);
void qn_slow_watch_close(struct qn_slow_watch *watch);

/* Typical values to hold a token against: medians of all. */
struct qn_slow_reading qn_slow_typical(const struct qn_slow_reading *readings, size_t n);

/* Writes why, in the order of what it explains: causes that account for a tenth of the time beyond
 * the typical one; "unknown" where there is none. */
void qn_slow_explain(const struct qn_slow_reading *token, const struct qn_slow_reading *typical,
                     char *text, size_t size);

#endif
