/* SPDX-License-Identifier: Apache-2.0
 *
 * What a session refuses, that decoding does not allocate, and that recording is safe.
 */
#include "alloc_meter.h"
#include "checks.h"

static void check_refused(struct quern_session *session, const char *name, const char *what,
                          struct quern_batch batch, enum quern_status expected) {
    struct quern_error err = {0};
    const int length = quern_session_length(session, 0);
    const enum quern_status status = quern_session_eval(session, &batch, &err);
    check(status == expected && err.message[0] && quern_session_length(session, 0) == length,
          "%s: %s gave status %d '%s'; expected %d and nothing changed", name, what, status,
          err.message, expected);
}

static void check_refusals(struct quern_model *model, const char *name) {
    struct quern_session *const session = new_session(model, 16, 1, NULL);
    int32_t many[N_CTX + 1] = {0}, wrong = 1 << 30, negative = -1, gap = 5, sequence = 1;
    const int32_t one = 1;
    check_refused(session, name, "a batch longer than the context",
                  (struct quern_batch){.n = N_CTX + 1, .tokens = many}, QUERN_CONTEXT_FULL);
    check_refused(session, name, "a token beyond the vocabulary",
                  (struct quern_batch){.n = 1, .tokens = &wrong}, QUERN_BAD_ARGUMENT);
    check_refused(session, name, "a negative token",
                  (struct quern_batch){.n = 1, .tokens = &negative}, QUERN_BAD_ARGUMENT);
    check_refused(session, name, "a position that leaves a gap",
                  (struct quern_batch){.n = 1, .tokens = &one, .positions = &gap},
                  QUERN_BAD_ARGUMENT);
    check_refused(session, name, "a sequence that is not there",
                  (struct quern_batch){.n = 1, .tokens = &one, .sequences = &sequence},
                  QUERN_BAD_ARGUMENT);
    const struct quern_batch full = {.n = N_CTX, .tokens = many};
    check(quern_session_eval(session, &full, NULL) == QUERN_OK, "%s: the context does not fill",
          name);
    check_refused(session, name, "a token after a full context",
                  (struct quern_batch){.n = 1, .tokens = &one}, QUERN_CONTEXT_FULL);
    quern_session_free(session);
}

static void check_allocations(struct quern_model *model, const char *name) {
    struct quern_session *const session = new_session(model, 16, 1, NULL);
    const int32_t prompt[20] = {0}, token = 3;
    eval(session, prompt, NULL, 20);
    alloc_meter_reset();
    for (int i = 0; i < 100; i++) eval(session, &token, NULL, 1);
    check(alloc_meter_calls() == 0, "%s: %zu allocations in 100 decode steps; expected none", name,
          alloc_meter_calls());
    quern_session_free(session);
}

/* Rings of two passes that go round many times; ThreadSanitizer sees what threads write there. */
static void check_recording(struct quern_model *model, const char *name) {
    struct quern_session *const session = new_session(model, 16, 1, NULL);
    struct quern_error err = {0};
    struct quern_model_info info;
    const int32_t prompt[20] = {0}, token = 3;
    quern_model_info(model, &info);
    check(quern_record_start(session, 2, &err) == QUERN_OK, "%s: %s", name, err.message);
    alloc_meter_reset();
    eval(session, prompt, NULL, 20);
    for (int i = 0; i < 20; i++) eval(session, &token, NULL, 1);
    check(alloc_meter_calls() == 0, "%s: %zu allocations while recording; expected none", name,
          alloc_meter_calls());
    for (int t = 0; t < info.n_threads; t++) {
        static struct quern_event events[4096];
        uint64_t lost = 0;
        const size_t n = quern_record_events(session, t, events, 4096, &lost);
        bool rising = true;
        for (size_t i = 0; i < n; i++)
            rising = rising && events[i].start_ns <= events[i].work_end_ns &&
                     events[i].work_end_ns <= events[i].end_ns &&
                     (i == 0 || events[i - 1].end_ns <= events[i].start_ns);
        check(n > 0 && lost > 0 && rising, "%s: thread %d: %zu events, %llu lost, in %s order",
              name, t, n, (unsigned long long)lost, rising ? "good" : "bad");
    }
    quern_session_free(session);
}

void check_limits(struct quern_model *model, const char *name) {
    check_refusals(model, name);
    check_allocations(model, name);
    check_recording(model, name);
}
