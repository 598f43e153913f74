/* SPDX-License-Identifier: Apache-2.0
 *
 * Hardware counters of the calling thread, through perf_event_open, where the kernel and the
 * machine allow it. User space alone is counted.
 */
#ifndef QN_HOST_COUNTERS_H
#define QN_HOST_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

enum qn_counter {
    QN_COUNTER_CYCLES,
    QN_COUNTER_INSTRUCTIONS,
    QN_COUNTER_LLC_MISSES,
    QN_COUNTER_DTLB_MISSES,
    QN_COUNTER_COUNT
};

struct qn_counters {
    int fd[QN_COUNTER_COUNT]; /* -1: not to be had */
    int reason;               /* errno of the first that could not be opened, or 0 */
};

/* Opens what it can and starts counting; the number of counters opened. Each belongs to the
 * thread that opens it. A file descriptor a counter; no memory. */
int qn_counters_open(struct qn_counters *counters);
/* Counts since open, by enum qn_counter; false and 0 for one that could not be read. Values are
 * scaled up where the processor shared its counters among too many events. */
bool qn_counters_read(const struct qn_counters *counters, enum qn_counter counter, uint64_t *count);
void qn_counters_close(struct qn_counters *counters); /* idempotent */

/* "cycles", "instructions", ... */
const char *qn_counter_name(enum qn_counter counter);

#endif
