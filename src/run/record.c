/* SPDX-License-Identifier: Apache-2.0 */
#include "run/record.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "host/limits.h"

static size_t power_of_two(size_t n) {
    size_t power = 1;
    while (power < n) power *= 2;
    return power;
}

/* A thread writes all of its ring once: no page fault falls into a pass, and on a machine with
 * several memories the pages are the thread's own. */
static void touch(void *context, int thread) {
    struct qn_recorder *const r = context;
    memset(r->rings[thread].events, 0, r->capacity * sizeof(struct qn_event));
}

static enum qn_status no_memory(size_t n_passes, struct qn_error *err) {
    return qn_fail(err, QN_NO_MEMORY, "no memory to record %zu forward passes", n_passes);
}

/* All events of every pass that is kept are kept. */
static enum qn_status allocate(struct qn_recorder *r, size_t n_passes, int n_steps,
                               struct qn_error *err) {
    size_t unused;
    /* Rounding up takes at most twice as much. */
    const size_t most = 2 * (size_t)n_steps * sizeof(struct qn_event) * (size_t)r->n_threads;
    if (!qn_checked_mul(n_passes, most, &unused)) return no_memory(n_passes, err);
    r->pass_mask = power_of_two(n_passes) - 1;
    r->capacity = (r->pass_mask + 1) * (size_t)n_steps;
    QN_TRY(qn_limits_check_memory("", r->capacity * sizeof(struct qn_event) * (size_t)r->n_threads,
                                  err));
    r->passes = calloc(r->pass_mask + 1, sizeof *r->passes);
    const size_t rings = (size_t)r->n_threads * sizeof *r->rings;
    const size_t events = (r->capacity * sizeof(struct qn_event) + 127) / 128 * 128;
    r->rings = aligned_alloc(alignof(struct qn_ring), rings);
    if (r->rings) memset(r->rings, 0, rings);
    if (!r->rings || !r->passes) return no_memory(n_passes, err);
    for (int t = 0; t < r->n_threads; t++) {
        r->rings[t].events = aligned_alloc(128, events);
        if (!r->rings[t].events) return no_memory(n_passes, err);
    }
    return QN_OK;
}

enum qn_status qn_recorder_new(struct qn_pool *pool, size_t n_passes, int n_steps,
                               struct qn_recorder **out, struct qn_error *err) {
    *out = NULL;
    if (n_passes == 0 || n_steps > UINT16_MAX)
        return qn_fail(err, QN_BAD_ARGUMENT,
                       "recording of %zu passes of %d steps; expected 1 or more, of at most %d",
                       n_passes, n_steps, UINT16_MAX);
    struct qn_recorder *const r = calloc(1, sizeof *r);
    if (!r) return no_memory(n_passes, err);
    r->counter = qn_ticks_has_counter();
    r->n_threads = qn_pool_n_threads(pool);
    const enum qn_status status = allocate(r, n_passes, n_steps, err);
    if (status != QN_OK) {
        qn_recorder_free(r);
        return status;
    }
    qn_pool_run(pool, touch, r);
    r->started = qn_tick_pair_read(r->counter);
    *out = r;
    return QN_OK;
}

void qn_recorder_free(struct qn_recorder *recorder) {
    if (!recorder) return;
    for (int t = 0; recorder->rings && t < recorder->n_threads; t++)
        free(recorder->rings[t].events);
    free(recorder->rings);
    free(recorder->passes);
    free(recorder);
}

void qn_record_pass_start(struct qn_recorder *recorder, const struct qn_pass *pass) {
    struct qn_pass *const place = &recorder->passes[recorder->n_passes++ & recorder->pass_mask];
    *place = *pass;
    place->start = qn_ticks(recorder->counter);
}

void qn_record_pass_end(struct qn_recorder *recorder) {
    recorder->passes[(recorder->n_passes - 1) & recorder->pass_mask].end =
        qn_ticks(recorder->counter);
}

/* Number of the first that is still there. */
static uint64_t oldest(uint64_t n, uint64_t taken, size_t capacity, uint64_t *lost) {
    if (n - taken <= capacity) return taken;
    *lost += n - taken - capacity;
    return n - capacity;
}

size_t qn_record_events(struct qn_recorder *recorder, int thread, struct qn_event *events,
                        size_t capacity, uint64_t *lost) {
    struct qn_ring *const ring = &recorder->rings[thread];
    ring->taken = oldest(ring->n, ring->taken, recorder->capacity, lost);
    size_t count = 0;
    while (count < capacity && ring->taken < ring->n)
        events[count++] = ring->events[ring->taken++ % recorder->capacity];
    return count;
}

size_t qn_record_passes(struct qn_recorder *recorder, struct qn_pass *passes, size_t capacity,
                        uint64_t *first, uint64_t *lost) {
    struct qn_recorder *const r = recorder;
    r->passes_taken = oldest(r->n_passes, r->passes_taken, r->pass_mask + 1, lost);
    *first = r->passes_taken;
    size_t count = 0;
    while (count < capacity && r->passes_taken < r->n_passes)
        passes[count++] = r->passes[r->passes_taken++ & r->pass_mask];
    return count;
}
