/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting events with perf_event_open.
 */
#include "host/counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE_READ_MISS(cache)                                                                     \
    ((cache) | PERF_COUNT_HW_CACHE_OP_READ << 8 | PERF_COUNT_HW_CACHE_RESULT_MISS << 16)

static const struct {
    const char *name;
    uint32_t type;
    uint64_t config;
} events[QN_COUNTER_COUNT] = {
    [QN_COUNTER_CYCLES] = {"cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES},
    [QN_COUNTER_INSTRUCTIONS] = {"instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS},
    [QN_COUNTER_LLC_MISSES] = {"LLC misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES},
    [QN_COUNTER_DTLB_MISSES] = {"dTLB misses", PERF_TYPE_HW_CACHE,
                                CACHE_READ_MISS(PERF_COUNT_HW_CACHE_DTLB)},
};

const char *qn_counter_name(enum qn_counter counter) {
    return events[counter].name;
}

static int open_event(enum qn_counter counter) {
    struct perf_event_attr attributes = {
        .type = events[counter].type,
        .size = sizeof attributes,
        .config = events[counter].config,
        .exclude_kernel = 1,
        .exclude_hv = 1,
        .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
    };
    return (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

int qn_counters_open(struct qn_counters *counters) {
    int n = 0;
    counters->reason = 0;
    for (int i = 0; i < QN_COUNTER_COUNT; i++) {
        counters->fd[i] = open_event((enum qn_counter)i);
        if (counters->fd[i] >= 0)
            n++;
        else if (counters->reason == 0)
            counters->reason = errno;
    }
    return n;
}

bool qn_counters_read(const struct qn_counters *counters, enum qn_counter counter,
                      uint64_t *count) {
    struct {
        uint64_t value, enabled, running;
    } found;
    *count = 0;
    if (counters->fd[counter] < 0 ||
        read(counters->fd[counter], &found, sizeof found) != (ssize_t)sizeof found ||
        found.running == 0)
        return false;
    *count = found.running < found.enabled
                 ? (uint64_t)((double)found.value * (double)found.enabled / (double)found.running)
                 : found.value;
    return true;
}

void qn_counters_close(struct qn_counters *counters) {
    for (int i = 0; i < QN_COUNTER_COUNT; i++) {
        if (counters->fd[i] >= 0) close(counters->fd[i]);
        counters->fd[i] = -1;
    }
}
