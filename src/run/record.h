/* SPDX-License-Identifier: Apache-2.0
 *
 * When each thread worked and waited, step by step. A ring of events a thread, allocated when
 * recording starts; after that nothing allocates, and threads share no line. A full ring loses its
 * oldest events, which is counted.
 */
#ifndef QN_RUN_RECORD_H
#define QN_RUN_RECORD_H

#include <stdalign.h>

#include "base/status.h"
#include "host/pool.h"
#include "host/ticks.h"

/* One thread in one step. Times are ticks (host/ticks.h). */
struct qn_event {
    uint64_t start;  /* the step before had ended */
    uint64_t worked; /* the thread's own part was done */
    uint64_t end;    /* all threads had come to the barrier; `worked` where there is none */
    uint32_t pass;   /* number of the forward pass, from 0 */
    uint16_t step;   /* index in the plan */
    uint16_t pieces; /* of the step's work that the thread did */
};

/* One ubatch through all steps. `visible` and `read` count positions of the KV cache: [0] for
 * layers that see all of it, [1] for those with a window. */
struct qn_pass {
    uint64_t start, end; /* ticks, on the caller's thread */
    int m, n_outputs;    /* tokens; those whose logits are computed */
    int n_threads;       /* that took part, the first of the pool */
    int position;        /* of the last token */
    bool decode;         /* one token of each sequence */
    uint64_t visible[2]; /* summed over tokens: pairs of query and position */
    uint64_t read[2];    /* summed over sequences: what at least has to be read */
};

struct qn_ring {
    alignas(128) struct qn_event *events; /* [capacity] */
    struct qn_event now;                  /* being filled */
    size_t at;                            /* where the next one goes */
    uint64_t n;                           /* ever written */
    uint64_t taken;                       /* ever read or lost */
};

struct qn_recorder {
    bool counter; /* ticks are the processor's, see qn_ticks */
    int n_threads;
    size_t capacity;        /* of a ring */
    size_t pass_mask;       /* capacity of `passes` less 1 */
    struct qn_ring *rings;  /* [n_threads] */
    struct qn_pass *passes; /* [pass_mask + 1] */
    uint64_t n_passes, passes_taken;
    struct qn_tick_pair started;
};

/* Room for n_passes, rounded up to a power of two, of up to n_steps each, on every thread of the
 * pool: a pass that is kept is kept with all its events. Each thread touches its own ring. Errors:
 * QN_BAD_ARGUMENT (more than 2^16 steps, or 0 passes), QN_NO_MEMORY. */
enum qn_status qn_recorder_new(struct qn_pool *pool, size_t n_passes, int n_steps,
                               struct qn_recorder **out, struct qn_error *err);
void qn_recorder_free(struct qn_recorder *recorder); /* NULL is allowed */

/* ---- the executor's side ---- */

/* The caller, around a pass; what the pass is like comes in *pass, less its times. */
void qn_record_pass_start(struct qn_recorder *recorder, const struct qn_pass *pass);
void qn_record_pass_end(struct qn_recorder *recorder);

/* A thread: at the start of a pass, */
static inline void qn_record_start(struct qn_recorder *r, int thread) {
    struct qn_ring *const ring = &r->rings[thread];
    ring->now.pass = (uint32_t)(r->n_passes - 1);
    ring->now.start = qn_ticks(r->counter);
}

/* when its part of a step is done, */
static inline void qn_record_work(struct qn_recorder *r, int thread, int step, int pieces) {
    struct qn_ring *const ring = &r->rings[thread];
    ring->now.step = (uint16_t)step;
    ring->now.pieces = (uint16_t)(pieces < UINT16_MAX ? pieces : UINT16_MAX);
    ring->now.worked = qn_ticks(r->counter);
}

/* and when it may go on. The end of a step is the start of the next one, so steps add up. */
static inline void qn_record_end(struct qn_recorder *r, int thread, bool waited) {
    struct qn_ring *const ring = &r->rings[thread];
    ring->now.end = waited ? qn_ticks(r->counter) : ring->now.worked;
    ring->events[ring->at] = ring->now;
    ring->at = ring->at + 1 < r->capacity ? ring->at + 1 : 0;
    ring->n++;
    ring->now.start = ring->now.end;
}

/* ---- reading, while no pass is under way ---- */

/* Takes up to `capacity` of the oldest events of a thread that were not taken; their number. *lost
 * grows by those that were overwritten before. */
size_t qn_record_events(struct qn_recorder *recorder, int thread, struct qn_event *events,
                        size_t capacity, uint64_t *lost);
/* The same of passes; *first is the number of the first one. */
size_t qn_record_passes(struct qn_recorder *recorder, struct qn_pass *passes, size_t capacity,
                        uint64_t *first, uint64_t *lost);

#endif
