/* SPDX-License-Identifier: Apache-2.0
 *
 * Signals and barriers. Everything here is C11 atomics without fences, so ThreadSanitizer sees
 * all of it.
 */
#include "host/barrier.h"

#include <limits.h>
#include <linux/futex.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"

/* A pause takes 10 to 50 ns, reading the clock about 30: a check each 32 pauses costs little and
 * overshoots the bound by less than 2 us. */
enum { PAUSES_PER_CHECK = 32 };

static void pause_core(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    /* yield does nothing on most cores; isb waits some 10 ns. */
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* Steps wrap around; the owner is never 2^30 steps ahead of who waits. */
static bool reached(uint32_t word, uint32_t target) {
    return (int32_t)((word & ~1u) - target) >= 0;
}

void qn_signal_post(struct qn_signal *signal, uint32_t target) {
    const uint32_t before = atomic_exchange_explicit(&signal->word, target, memory_order_acq_rel);
    if (before & 1u) syscall(SYS_futex, &signal->word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static bool spin_for(struct qn_signal *signal, uint32_t target, struct qn_spin spin) {
    for (uint32_t i = 0; i < spin.n_loads; i++) {
        if (reached(atomic_load_explicit(&signal->word, memory_order_acquire), target)) return true;
    }
    if (spin.ns == 0) return false;
    const uint64_t end = qn_clock_ns() + spin.ns;
    do {
        for (int i = 0; i < PAUSES_PER_CHECK; i++) {
            pause_core();
            if (reached(atomic_load_explicit(&signal->word, memory_order_acquire), target))
                return true;
        }
    } while (qn_clock_ns() < end);
    return false;
}

void qn_signal_wait(struct qn_signal *signal, uint32_t target, struct qn_spin spin) {
    if (spin_for(signal, target, spin)) return;
    uint32_t word = atomic_load_explicit(&signal->word, memory_order_acquire);
    while (!reached(word, target)) {
        const uint32_t asleep = word | 1u;
        if (word == asleep ||
            atomic_compare_exchange_weak_explicit(&signal->word, &word, asleep,
                                                  memory_order_acquire, memory_order_acquire)) {
            /* Returns at once when the word is no longer `asleep`. */
            syscall(SYS_futex, &signal->word, FUTEX_WAIT_PRIVATE, asleep, NULL, NULL, 0);
            word = atomic_load_explicit(&signal->word, memory_order_acquire);
        }
    }
}

void qn_barrier_seat(const struct qn_barrier *barrier, int n_threads) {
    for (int i = 0, group = 0; i < n_threads; i++) {
        if (i == barrier->starts[group + 1]) group++;
        barrier->lines[i].group = group;
    }
}

int qn_barrier_leader(const struct qn_barrier *barrier, int thread) {
    return barrier->starts[barrier->lines[thread].group];
}

/* A leader waits for the members of its group that take part. */
static void gather(const struct qn_barrier *barrier, int n_threads, int leader, uint32_t target,
                   struct qn_spin spin) {
    const int end = barrier->starts[barrier->lines[leader].group + 1];
    for (int i = leader + 1; i < end && i < n_threads; i++)
        qn_signal_wait(&barrier->lines[i].arrived, target, spin);
}

static void wait_flat(struct qn_barrier_line *lines, int n_threads, int thread, uint32_t target,
                      struct qn_spin spin) {
    for (int i = 1; i < n_threads; i++) {
        const int other = thread + i < n_threads ? thread + i : thread + i - n_threads;
        qn_signal_wait(&lines[other].arrived, target, spin);
    }
}

void qn_barrier_wait(const struct qn_barrier *barrier, int n_threads, int thread,
                     struct qn_spin spin) {
    if (n_threads == 1) return;
    struct qn_barrier_line *const lines = barrier->lines;
    const uint32_t target = lines[thread].step += 2;
    qn_signal_post(&lines[thread].arrived, target);
    if (n_threads <= QN_BARRIER_FLAT) {
        wait_flat(lines, n_threads, thread, target, spin);
        return;
    }
    const int leader = qn_barrier_leader(barrier, thread);
    if (thread != leader) {
        qn_signal_wait(&lines[leader].released, target, spin);
        return;
    }
    gather(barrier, n_threads, leader, target, spin);
    qn_signal_post(&lines[leader].gathered, target);
    for (const int *start = barrier->starts; *start < n_threads; start++)
        qn_signal_wait(&lines[*start].gathered, target, spin);
    qn_signal_post(&lines[leader].released, target);
}

/* Nobody waits for the release of a step that is passed by arrive and join, but a leader's words
 * must not fall behind by so many steps that the comparison wraps around. */
static void keep_in_step(struct qn_barrier_line *leader, uint32_t target) {
    qn_signal_post(&leader->released, target);
    qn_signal_post(&leader->gathered, target);
}

void qn_barrier_arrive(const struct qn_barrier *barrier, int n_threads, int thread,
                       struct qn_spin spin) {
    struct qn_barrier_line *const lines = barrier->lines;
    const uint32_t target = lines[thread].step += 2;
    qn_signal_post(&lines[thread].arrived, target);
    if (n_threads <= QN_BARRIER_FLAT || thread != qn_barrier_leader(barrier, thread)) return;
    gather(barrier, n_threads, thread, target, spin);
    keep_in_step(&lines[thread], target);
}

void qn_barrier_join(const struct qn_barrier *barrier, int n_threads, struct qn_spin spin) {
    if (n_threads == 1) return;
    struct qn_barrier_line *const lines = barrier->lines;
    const uint32_t target = lines[0].step += 2;
    qn_signal_post(&lines[0].arrived, target);
    if (n_threads <= QN_BARRIER_FLAT) {
        wait_flat(lines, n_threads, 0, target, spin);
        return;
    }
    gather(barrier, n_threads, 0, target, spin);
    keep_in_step(&lines[0], target);
    for (const int *start = barrier->starts + 1; *start < n_threads; start++)
        qn_signal_wait(&lines[*start].gathered, target, spin);
}

void qn_barrier_restart(const struct qn_barrier *barrier, int n_threads) {
    struct qn_barrier_line *const lines = barrier->lines;
    const uint32_t step = lines[0].step;
    for (int i = 0; i < n_threads; i++) {
        lines[i].step = step;
        atomic_store_explicit(&lines[i].arrived.word, step, memory_order_relaxed);
        atomic_store_explicit(&lines[i].gathered.word, step, memory_order_relaxed);
        atomic_store_explicit(&lines[i].released.word, step, memory_order_relaxed);
    }
}
