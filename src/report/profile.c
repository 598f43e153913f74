/* SPDX-License-Identifier: Apache-2.0
 *
 * Gathers what was recorded.
 */
#include "report/profile.h"

#include <stdlib.h>
#include <string.h>

const char *qn_phase_name(enum qn_phase phase) {
    return phase == QN_PHASE_PREFILL ? "prefill" : "decode";
}

const char *qn_span_name(enum qn_span_kind kind) {
    return kind == QN_SPAN_SAMPLE ? "sample" : "text";
}

/* ---- hardware counters ------------------------------------------------------------------ */

/* A counter belongs to the thread that opens it. */
static void open_counters(void *context, int thread) {
    struct qn_profile *const p = context;
    qn_counters_open(&p->counters[thread]);
}

void qn_profile_count(struct qn_profile *profile, enum qn_phase phase) {
    for (int c = 0; c < QN_COUNTER_COUNT; c++) {
        uint64_t sum = 0, count;
        bool valid = true;
        for (int t = 0; t < profile->n_threads; t++) {
            valid &= qn_counters_read(&profile->counters[t], (enum qn_counter)c, &count);
            sum += count;
        }
        profile->counts[phase].valid[c] = valid;
        if (valid) profile->counts[phase].count[c] += sum - profile->counted[c];
        profile->counted[c] = sum;
    }
}

/* ---- start ------------------------------------------------------------------------------ */

static enum qn_status no_memory(struct qn_error *err) {
    return qn_fail(err, QN_NO_MEMORY, "no memory for the profile");
}

static enum qn_status start(struct qn_session *session, size_t n_passes, size_t n_tokens,
                            struct qn_profile *p, struct qn_error *err) {
    const size_t n_threads = (size_t)p->n_threads;
    p->tags = calloc((size_t)session->plan.n_steps, sizeof *p->tags);
    p->spans = calloc(QN_SPAN_COUNT * n_tokens, sizeof *p->spans);
    p->tokens = calloc(n_tokens, sizeof *p->tokens);
    p->counters = calloc(n_threads, sizeof *p->counters);
    if (!p->tags || !p->spans || !p->tokens || !p->counters) return no_memory(err);
    for (size_t t = 0; t < n_threads; t++)
        memset(p->counters[t].fd, -1, sizeof p->counters[t].fd); /* none */
    qn_profile_tag(session, p->tags);
    qn_pool_run(session->model->pool, open_counters, p);
    p->counters_reason = p->counters[0].reason;
    qn_profile_count(p, QN_PHASE_PREFILL);
    memset(p->counts, 0, sizeof p->counts);
    return qn_recorder_new(session->model->pool, n_passes, session->plan.n_steps,
                           &session->executor.recorder, err);
}

enum qn_status qn_profile_start(struct qn_session *session, size_t n_passes, size_t n_tokens,
                                struct qn_profile *profile, struct qn_error *err) {
    *profile = (struct qn_profile){.session = session,
                                   .n_threads = qn_pool_n_threads(session->model->pool),
                                   .capacity = n_tokens};
    const enum qn_status status = start(session, n_passes, n_tokens, profile, err);
    if (status != QN_OK) qn_profile_free(profile);
    return status;
}

void qn_profile_free(struct qn_profile *profile) {
    for (int t = 0; profile->counters && t < profile->n_threads; t++)
        qn_counters_close(&profile->counters[t]);
    free(profile->counters);
    free(profile->tags);
    free(profile->spans);
    free(profile->tokens);
    free(profile->passes);
    free(profile->first);
    free(profile->events);
    *profile = (struct qn_profile){.session = NULL};
}

void qn_profile_span(struct qn_profile *profile, enum qn_span_kind kind, uint64_t start,
                     uint64_t end) {
    if (profile->n_spans < QN_SPAN_COUNT * profile->capacity)
        profile->spans[profile->n_spans++] = (struct qn_span){kind, start, end};
}

void qn_profile_token(struct qn_profile *profile, uint64_t start, uint64_t end, bool first) {
    if (profile->n_tokens < profile->capacity)
        profile->tokens[profile->n_tokens++] = (struct qn_token_time){start, end, first};
}

const struct qn_token_time *qn_profile_token_at(const struct qn_profile *profile, uint64_t ns) {
    size_t low = 0, high = profile->n_tokens;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (profile->tokens[middle].end < ns)
            low = middle + 1;
        else
            high = middle;
    }
    const bool found = low < profile->n_tokens && profile->tokens[low].start <= ns;
    return found ? &profile->tokens[low] : NULL;
}

/* ---- finish ----------------------------------------------------------------------------- */

static void to_ns(struct qn_profile *p, const struct qn_recorder *r) {
    const struct qn_tick_pair now = qn_tick_pair_read(r->counter);
    for (size_t i = 0; i < p->n_passes; i++) {
        p->passes[i].start = qn_ticks_to_ns(p->passes[i].start, r->started, now);
        p->passes[i].end = qn_ticks_to_ns(p->passes[i].end, r->started, now);
    }
    const size_t n = (size_t)p->n_threads * p->first[p->n_passes];
    for (size_t i = 0; i < n; i++) {
        struct qn_event *const e = &p->events[i];
        if (!qn_event_happened(e)) continue;
        e->start = qn_ticks_to_ns(e->start, r->started, now);
        e->worked = qn_ticks_to_ns(e->worked, r->started, now);
        e->end = qn_ticks_to_ns(e->end, r->started, now);
    }
}

/* Sorts the caller's events into passes; `number` is that of the first pass. */
static void find_passes(struct qn_profile *p, uint64_t number, size_t n_events) {
    size_t at = 0;
    for (size_t pass = 0; pass < p->n_passes; pass++) {
        p->first[pass] = at;
        while (at < n_events && p->events[at].pass == (uint32_t)(number + pass)) at++;
    }
    p->first[p->n_passes] = at;
}

/* Who passes a barrier has seen that the others came; by how much the clocks deny it. */
static void find_skew(struct qn_profile *p) {
    const size_t n = p->first[p->n_passes];
    for (size_t i = 0; i < n; i++) {
        uint64_t came = 0;
        for (int t = 0; t < p->n_threads; t++)
            if (p->events[(size_t)t * n + i].worked > came)
                came = p->events[(size_t)t * n + i].worked;
        for (int t = 0; t < p->n_threads; t++) {
            const struct qn_event *const e = &p->events[(size_t)t * n + i];
            const bool waited = e->end != e->worked;
            if (waited && (int64_t)(came - e->end) > p->skew) p->skew = (int64_t)(came - e->end);
        }
    }
}

/* Puts a thread's events beside those of the caller, which has all of them: both are in the order
 * of passes and steps. */
static void align(const struct qn_event *all, size_t n, struct qn_event *mine, size_t n_mine,
                  struct qn_event *out) {
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        const bool took_part =
            at < n_mine && mine[at].pass == all[i].pass && mine[at].step == all[i].step;
        out[i] =
            took_part ? mine[at++] : (struct qn_event){.pass = all[i].pass, .step = all[i].step};
    }
}

/* Takes a thread's events of the passes from `number` on: rings that went round may have lost a
 * part of those before. */
static size_t take_events(struct qn_profile *p, struct qn_recorder *r, int thread, uint64_t number,
                          struct qn_event *events) {
    const size_t n = qn_record_events(r, thread, events, r->capacity, &p->lost);
    size_t before = 0;
    while (before < n && events[before].pass < (uint32_t)number) before++;
    memmove(events, events + before, (n - before) * sizeof *events);
    return n - before;
}

static enum qn_status take(struct qn_profile *p, struct qn_recorder *r, struct qn_error *err) {
    uint64_t number = 0, lost_passes = 0;
    const size_t capacity = r->pass_mask + 1, room = r->capacity;
    p->passes = calloc(capacity, sizeof *p->passes);
    p->first = calloc(capacity + 1, sizeof *p->first);
    p->events = calloc((size_t)p->n_threads * room, sizeof *p->events);
    struct qn_event *const mine = calloc(room, sizeof *mine);
    if (!p->passes || !p->first || !p->events || !mine) {
        free(mine);
        return no_memory(err);
    }
    p->n_passes = qn_record_passes(r, p->passes, capacity, &number, &lost_passes);
    const size_t n = take_events(p, r, 0, number, p->events);
    for (int t = 1; t < p->n_threads; t++) {
        const size_t n_mine = take_events(p, r, t, number, mine);
        align(p->events, n, mine, n_mine, p->events + (size_t)t * n);
    }
    free(mine);
    find_passes(p, number, n);
    return QN_OK;
}

/* By the middle of each pass: ticks as nanoseconds may be a little beside the clock that tokens
 * were timed with. */
static void find_phases(struct qn_profile *p) {
    for (size_t i = 0; i < p->n_passes; i++) {
        struct qn_pass *const pass = &p->passes[i];
        const struct qn_token_time *const token =
            qn_profile_token_at(p, pass->start + (pass->end - pass->start) / 2);
        if (token) pass->decode = !token->first;
    }
}

int qn_profile_threads(const struct qn_profile *profile, enum qn_phase phase) {
    int n = 0;
    for (size_t i = 0; i < profile->n_passes; i++)
        if (qn_pass_phase(&profile->passes[i]) == phase && profile->passes[i].n_threads > n)
            n = profile->passes[i].n_threads;
    return n;
}

enum qn_status qn_profile_finish(struct qn_profile *profile, struct qn_error *err) {
    struct qn_recorder *const r = profile->session->executor.recorder;
    profile->session->executor.recorder = NULL;
    const enum qn_status status = take(profile, r, err);
    if (status == QN_OK) {
        to_ns(profile, r);
        find_phases(profile);
        find_skew(profile);
    }
    qn_recorder_free(r);
    return status;
}
