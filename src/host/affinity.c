/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread's mask is the kernel's; what it was before a pool changed it has to be kept beside it,
 * thread by thread: two models that one thread has open must not take each other's mask for the
 * user's, in whatever order they are closed.
 */
#include "host/affinity.h"

#include <sched.h>
#include <string.h>

static _Thread_local struct {
    int n_bound; /* bindings that have not been undone */
    struct qn_cpu_mask before;
} own;

bool qn_cpu_mask_has(const struct qn_cpu_mask *mask, int cpu) {
    return cpu >= 0 && cpu < QN_CPUS_MAX &&
           CPU_ISSET_S((size_t)cpu, sizeof *mask, (const cpu_set_t *)mask);
}

static bool get(pthread_t thread, struct qn_cpu_mask *mask) {
    memset(mask, 0, sizeof *mask);
    return pthread_getaffinity_np(thread, sizeof *mask, (cpu_set_t *)mask) == 0;
}

static bool set(pthread_t thread, const struct qn_cpu_mask *mask) {
    return pthread_setaffinity_np(thread, sizeof *mask, (const cpu_set_t *)mask) == 0;
}

static bool only(int cpu, struct qn_cpu_mask *mask) {
    memset(mask, 0, sizeof *mask);
    if (cpu < 0 || cpu >= QN_CPUS_MAX) return false;
    CPU_SET_S((size_t)cpu, sizeof *mask, (cpu_set_t *)mask);
    return true;
}

int qn_affinity_only(pthread_t thread) {
    struct qn_cpu_mask mask;
    if (!get(thread, &mask) || CPU_COUNT_S(sizeof mask, (const cpu_set_t *)&mask) != 1) return -1;
    int cpu = 0;
    while (!qn_cpu_mask_has(&mask, cpu)) cpu++;
    return cpu;
}

bool qn_affinity_read(struct qn_cpu_mask *mask) {
    if (own.n_bound == 0) return get(pthread_self(), mask);
    *mask = own.before;
    return true;
}

bool qn_affinity_bind(int cpu) {
    struct qn_cpu_mask before, mask;
    if (!qn_affinity_read(&before) || !only(cpu, &mask) || !set(pthread_self(), &mask))
        return false;
    own.before = before;
    own.n_bound++;
    return true;
}

void qn_affinity_unbind(void) {
    if (--own.n_bound == 0) (void)set(pthread_self(), &own.before);
}

void qn_affinity_bind_thread(pthread_t thread, int cpu) {
    struct qn_cpu_mask mask;
    if (cpu < 0 ? qn_affinity_read(&mask) : only(cpu, &mask)) (void)set(thread, &mask);
}
