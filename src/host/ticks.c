/* SPDX-License-Identifier: Apache-2.0 */
#include "host/ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool qn_ticks_has_counter(void) {
#if defined(__x86_64__)
    /* Intel SDM volume 3, "Invariant TSC"; AMD64 APM volume 3, function 8000_0007h: EDX bit 8.
     * RDTSCP: function 8000_0001h, EDX bit 27. */
    unsigned a, b, c, features = 0, power = 0;
    if (!__get_cpuid(0x80000001u, &a, &b, &c, &features)) return false;
    if (!__get_cpuid(0x80000007u, &a, &b, &c, &power)) return false;
    return features >> 27 & 1 && power >> 8 & 1;
#elif defined(__aarch64__)
    return true;
#else
    return false;
#endif
}

/* Of some tries the one that was interrupted least: the clock is read between two reads of the
 * counter, and stands for their middle. */
struct qn_tick_pair qn_tick_pair_read(bool counter) {
    enum { TRIES = 16 };
    struct qn_tick_pair best = {0};
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < TRIES; i++) {
        const uint64_t before = qn_ticks(counter), ns = qn_clock_ns();
        const uint64_t took = qn_ticks(counter) - before;
        if (took >= least) continue;
        least = took;
        best = (struct qn_tick_pair){before + took / 2, ns};
    }
    return best;
}

uint64_t qn_ticks_to_ns(uint64_t ticks, struct qn_tick_pair from, struct qn_tick_pair to) {
    if (to.ticks <= from.ticks || to.ns <= from.ns) return from.ns;
    const double pace = (double)(to.ns - from.ns) / (double)(to.ticks - from.ticks);
    return (uint64_t)((int64_t)from.ns + (int64_t)((double)(int64_t)(ticks - from.ticks) * pace));
}
