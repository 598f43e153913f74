/* SPDX-License-Identifier: Apache-2.0
 *
 * The processor's own counter of time, some 10 ns to read: TSC on x86, the virtual counter on
 * AArch64. Where it may stop or change its pace, and on other machines, CLOCK_MONOTONIC in its
 * place. Ticks become nanoseconds of CLOCK_MONOTONIC by two readings of both.
 */
#ifndef QN_HOST_TICKS_H
#define QN_HOST_TICKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

/* `counter`: what qn_ticks_has_counter said. All earlier work of the thread is done: RDTSCP and
 * ISB wait for it. */
static inline uint64_t qn_ticks(bool counter) {
#if defined(__x86_64__)
    unsigned processor;
    if (counter) return __builtin_ia32_rdtscp(&processor);
#elif defined(__aarch64__)
    uint64_t ticks;
    if (counter) {
        __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks)::"memory");
        return ticks;
    }
#else
    (void)counter;
#endif
    return qn_clock_ns();
}

/* Whether the counter keeps its pace in every state of the processor (x86: CPUID says "invariant
 * TSC"; AArch64: the architecture does). */
bool qn_ticks_has_counter(void);

/* One moment by both clocks. */
struct qn_tick_pair {
    uint64_t ticks, ns;
};
struct qn_tick_pair qn_tick_pair_read(bool counter);

/* A moment in nanoseconds, on the line through two pairs; the pairs' own error, some tens of
 * nanoseconds, divided by their distance is that of the pace. */
uint64_t qn_ticks_to_ns(uint64_t ticks, struct qn_tick_pair from, struct qn_tick_pair to);

#endif
