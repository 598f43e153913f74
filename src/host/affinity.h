/* SPDX-License-Identifier: Apache-2.0
 *
 * Which processors threads may use, and binding the calling thread to one of them for as long as
 * pools want it there. Binding is by processor number.
 */
#ifndef QN_HOST_AFFINITY_H
#define QN_HOST_AFFINITY_H

#include <pthread.h>
#include <stdbool.h>

/* CPU_SETSIZE stops at 1024 processors; Linux goes to 8192. */
enum { QN_CPUS_MAX = 8192 };
struct qn_cpu_mask {
    unsigned long words[QN_CPUS_MAX / (8 * sizeof(unsigned long))];
};

bool qn_cpu_mask_has(const struct qn_cpu_mask *mask, int cpu);

/* What the calling thread may use, as if no pool had bound it. False where the kernel does not
 * say. */
bool qn_affinity_read(struct qn_cpu_mask *mask);

/* Binds the calling thread, until it has been unbound as often as it was bound. False: it was not,
 * as there is no such processor or it is not allowed. */
bool qn_affinity_bind(int cpu);
void qn_affinity_unbind(void);

/* The same of another thread, for good; -1: lets it float over what the calling one may use. */
void qn_affinity_bind_thread(pthread_t thread, int cpu);

/* The only processor that a thread may use, as the kernel says, or -1. */
int qn_affinity_only(pthread_t thread);

#endif
