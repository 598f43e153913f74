/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting for other threads: spin a bounded time, then sleep on a futex. The pool builds on it.
 *
 * A signal is one word that its owner moves forward, 2 a step; the lowest bit says that somebody
 * sleeps on it. The owner posts with an exchange, which tells it in the same breath whether there
 * is anyone to wake: a sleeper either sets the bit before the exchange, and is woken, or finds
 * the word changed, and does not sleep. That is all there is against lost wake-ups.
 */
#ifndef QN_HOST_BARRIER_H
#define QN_HOST_BARRIER_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>

/* Two cache lines of 64: x86 prefetches lines in pairs; also the line of some ARM cores. */
#define QN_SIGNAL_ALIGNMENT 128

/* What a signal's owner and those who wait share a line with, if anything, is written by the owner
 * alone. */
struct qn_signal {
    _Atomic uint32_t word;
};

/* How long to spin before sleeping. */
struct qn_spin {
    uint32_t n_loads; /* reads of the word without a pause: the lowest latency */
    uint64_t ns;      /* then reads with pauses, for this long */
};

/* Moves the signal forward to target and wakes who sleeps on it. Orders memory (release). */
void qn_signal_post(struct qn_signal *signal, uint32_t target);
/* Returns when the signal has reached target. Orders memory (acquire). */
void qn_signal_wait(struct qn_signal *signal, uint32_t target, struct qn_spin spin);

/* Threads of one barrier. A team of at most QN_BARRIER_FLAT watches each other directly: one
 * transfer of a line, and no more than seven of them at a time. A larger one meets in groups
 * (groups.h): members watch their leader, leaders watch their members and each other, so that a
 * member's line stays within its L3 domain. */
enum { QN_BARRIER_FLAT = 8 };

struct qn_barrier_line {
    alignas(QN_SIGNAL_ALIGNMENT) struct qn_signal arrived;  /* the thread has come */
    alignas(QN_SIGNAL_ALIGNMENT) struct qn_signal gathered; /* of a leader: its group has come */
    alignas(QN_SIGNAL_ALIGNMENT) struct qn_signal released; /* of a leader: all groups have come */
    /* The thread's own count of steps, which no other thread looks at: reading it from `arrived`
     * would fetch that line back from the threads that wait on it, 50 ns a barrier. */
    alignas(QN_SIGNAL_ALIGNMENT) uint32_t step;
    int group; /* the thread's; does not change */
};

struct qn_barrier {
    struct qn_barrier_line *lines; /* [threads] */
    const int *starts;             /* [groups + 1] as of qn_groups_form */
};

/* Says of each line of `threads` which group it is in. */
void qn_barrier_seat(const struct qn_barrier *barrier, int n_threads);
/* The thread that gathers those of this thread's group: the group's first. */
int qn_barrier_leader(const struct qn_barrier *barrier, int thread);

/* The team is the first n_threads threads. Each goes through qn_barrier_wait, or through _arrive
 * (thread 0: _join), the same number of times. */
void qn_barrier_wait(const struct qn_barrier *barrier, int n_threads, int thread,
                     struct qn_spin spin);
/* Comes to the barrier and does not wait for the others; for threads other than 0. A leader waits
 * for its group. */
void qn_barrier_arrive(const struct qn_barrier *barrier, int n_threads, int thread,
                       struct qn_spin spin);
/* Thread 0: waits for all threads, who may be in qn_barrier_arrive. */
void qn_barrier_join(const struct qn_barrier *barrier, int n_threads, struct qn_spin spin);
/* Brings all to the step of thread 0, so that a team of another size can meet: threads that sat out
 * are behind. When nobody is in a barrier, and before anybody of the new team is told to run. */
void qn_barrier_restart(const struct qn_barrier *barrier, int n_threads);

#endif
