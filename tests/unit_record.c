/* SPDX-License-Identifier: Apache-2.0
 *
 * What a recording says must be true of the run that it recorded, and must not change it.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_meter.h"
#include "host/ticks.h"
#include "quern.h"
#include "run/access.h"

enum { N_PROMPT = 40, N_DECODE = 12, MAX_EVENTS = 8192 };

struct fixture {
    struct quern_model *model;
    struct quern_session *session;
    int n_steps;
};

static struct fixture open_sequences(const char *file, int n_threads, int n_sequences) {
    struct fixture f = {NULL};
    struct quern_error err = {QUERN_OK, ""};
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s", TEST_DATA, file);
    const struct quern_model_options model_options = {.n_threads = n_threads};
    const struct quern_session_options session_options = {
        .n_ctx = 64, .n_ubatch = 32, .n_sequences = n_sequences};
    cr_assert_eq(quern_model_open(path, &model_options, &f.model, &err), QUERN_OK, "%s",
                 err.message);
    cr_assert_eq(quern_session_new(f.model, &session_options, &f.session, &err), QUERN_OK, "%s",
                 err.message);
    struct quern_step step;
    while (quern_session_step(f.session, f.n_steps, &step)) f.n_steps++;
    return f;
}

static struct fixture open_fixture(const char *file, int n_threads) {
    return open_sequences(file, n_threads, 1);
}

static void close_fixture(struct fixture *f) {
    quern_session_free(f->session);
    quern_model_close(f->model);
}

static void record(struct fixture *f, size_t n_passes) {
    struct quern_error err = {QUERN_OK, ""};
    cr_assert_eq(quern_record_start(f->session, n_passes, &err), QUERN_OK, "%s", err.message);
}

/* A prompt that takes two ubatches, then single tokens. */
static void evaluate(struct fixture *f, int n_decode) {
    int32_t tokens[N_PROMPT];
    struct quern_error err;
    quern_session_truncate(f->session, 0, 0);
    for (int i = 0; i < N_PROMPT; i++) tokens[i] = 3 + 7 * i % 200;
    const struct quern_batch prompt = {.n = N_PROMPT, .tokens = tokens};
    cr_assert_eq(quern_session_eval(f->session, &prompt, &err), QUERN_OK);
    for (int i = 0; i < n_decode; i++) {
        const struct quern_batch one = {.n = 1, .tokens = &tokens[i]};
        cr_assert_eq(quern_session_eval(f->session, &one, &err), QUERN_OK);
    }
}

/* Steps follow each other without gaps, nobody goes on before all have come, and all of it lies
 * within the pass. */
static void check_events(struct fixture *f, int n_threads) {
    static struct quern_event events[4][MAX_EVENTS];
    struct quern_pass passes[2 + N_DECODE + 1];
    size_t n[4];
    uint64_t lost = 0;
    const size_t n_passes =
        quern_record_passes(f->session, passes, sizeof passes / sizeof *passes, &lost);
    cr_assert_eq(n_passes, 2 + N_DECODE);
    for (int t = 0; t < n_threads; t++) {
        n[t] = quern_record_events(f->session, t, events[t], MAX_EVENTS, &lost);
        /* The first ubatch has no logits: its last steps, norm and head, are not taken. */
        cr_assert_eq(n[t], (2 + N_DECODE) * (size_t)f->n_steps - 2);
    }
    cr_assert_eq(lost, 0);
    for (size_t i = 0; i < n[0]; i++) {
        const bool first = i == 0 || events[0][i].pass != events[0][i - 1].pass;
        uint64_t all_worked = 0, pieces = 0;
        for (int t = 0; t < n_threads; t++) {
            const struct quern_event *const e = &events[t][i];
            const struct quern_pass *const pass = &passes[e->pass];
            cr_assert_eq(e->pass, events[0][i].pass);
            cr_assert_eq(e->step, events[0][i].step);
            cr_assert_leq(e->start_ns, e->work_end_ns);
            cr_assert_leq(e->work_end_ns, e->end_ns);
            if (!first) cr_assert_eq(e->start_ns, events[t][i - 1].end_ns);
            /* A nanosecond of rounding, and the skew that a kernel allows between cores. */
            cr_assert_leq(pass->start_ns, e->start_ns + 1000);
            cr_assert_leq(e->end_ns, pass->end_ns + 1000);
            if (e->work_end_ns > all_worked) all_worked = e->work_end_ns;
            pieces += e->pieces;
        }
        cr_assert_gt(pieces, 0);
        struct quern_step step;
        cr_assert(quern_session_step(f->session, events[0][i].step, &step));
        /* A single row is prepared by every thread for itself; so is the one with logits. */
        const bool one_row = step.layer < 0 || passes[events[0][i].pass].n_tokens == 1;
        const bool meets = strcmp(step.op, "prepare") != 0 || !one_row;
        for (int t = 0; meets && t < n_threads; t++)
            cr_assert_leq(all_worked, events[t][i].end_ns + 1000,
                          "step %s: thread %d went on before all had come", step.name, t);
    }
}

Test(record, events_are_what_happened) {
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        struct fixture f = open_fixture("llama-q4_k.gguf", n_threads);
        record(&f, 2 + N_DECODE);
        evaluate(&f, N_DECODE);
        check_events(&f, n_threads);
        uint64_t lost = 0;
        struct quern_event event;
        cr_assert_eq(quern_record_events(f.session, 0, &event, 1, &lost), 0, "taken once");
        close_fixture(&f);
    }
}

Test(record, says_what_a_pass_was) {
    struct fixture f = open_fixture("llama-f32.gguf", 2);
    struct quern_pass p[4];
    record(&f, 4);
    evaluate(&f, 1);
    cr_assert_eq(quern_record_passes(f.session, p, 4, NULL), 3);
    const struct quern_pass expected[3] = {
        {.n_tokens = 32, .n_logits = 0, .position = 31},
        {.n_tokens = 8, .n_logits = 1, .position = 39},
        {.n_tokens = 1, .n_logits = 1, .position = 40, .decode = true}};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(p[i].n_tokens, expected[i].n_tokens);
        cr_assert_eq(p[i].n_logits, expected[i].n_logits);
        cr_assert_eq(p[i].position, expected[i].position);
        cr_assert_eq(p[i].decode, expected[i].decode);
        cr_assert_lt(p[i].start_ns, p[i].end_ns);
    }
    close_fixture(&f);
}

/* Positions of the cache: all of them, and those within the window of llama-window. */
Test(record, counts_visible_positions) {
    struct fixture f = open_fixture("llama-window-f32.gguf", 1);
    const int window = qn_session_of(f.session)->model->spec.hparams.window;
    struct qn_pass p;
    uint64_t first, lost = 0, all = 0, near = 0;
    cr_assert(window > 0 && window < 32);
    record(&f, 1);
    struct quern_error err;
    int32_t tokens[32] = {5};
    const struct quern_batch batch = {.n = 32, .tokens = tokens};
    cr_assert_eq(quern_session_eval(f.session, &batch, &err), QUERN_OK);
    cr_assert_eq(
        qn_record_passes(qn_session_of(f.session)->executor.recorder, &p, 1, &first, &lost), 1);
    for (int i = 1; i <= 32; i++) {
        all += (uint64_t)i;
        near += (uint64_t)(i < window ? i : window);
    }
    cr_assert_eq(p.visible[0], all);
    cr_assert_eq(p.visible[1], near);
    cr_assert_eq(p.read[0], 32);
    cr_assert_eq(p.read[1], (uint64_t)window);
    close_fixture(&f);
}

/* Tokens of sequences may come in any order; each sequence reads its cache once a pass. */
Test(record, counts_a_sequence_once) {
    struct fixture f = open_sequences("llama-f32.gguf", 1, 2);
    struct quern_error err;
    const int32_t tokens[4] = {5, 6, 7, 8};
    const struct {
        int32_t sequences[4];
        bool decode;
        uint64_t read;
    } cases[] = {{{0, 0, 1, 1}, false, 4}, {{0, 1, 0, 1}, false, 8}, {{0, 1}, true, 10}};
    record(&f, 3);
    for (size_t i = 0; i < 3; i++) {
        const struct quern_batch batch = {
            .n = i < 2 ? 4 : 2, .tokens = tokens, .sequences = cases[i].sequences};
        struct qn_pass p;
        uint64_t first, lost = 0;
        cr_assert_eq(quern_session_eval(f.session, &batch, &err), QUERN_OK);
        cr_assert_eq(
            qn_record_passes(qn_session_of(f.session)->executor.recorder, &p, 1, &first, &lost), 1);
        cr_assert_eq(p.decode, cases[i].decode, "case %zu", i);
        cr_assert_eq(p.read[0], cases[i].read, "case %zu: %llu", i, (unsigned long long)p.read[0]);
    }
    close_fixture(&f);
}

Test(record, changes_no_bit_and_allocates_nothing) {
    struct fixture f = open_fixture("qwen2-mixed.gguf", 2);
    struct quern_model_info info;
    quern_model_info(f.model, &info);
    const size_t size = (size_t)info.n_vocab * sizeof(float);
    float *const plain = malloc(size);
    evaluate(&f, N_DECODE);
    memcpy(plain, quern_session_logits(f.session, 0), size);
    record(&f, 4); /* fewer than there will be: rings go round */
    alloc_meter_reset();
    evaluate(&f, N_DECODE);
    cr_assert_eq(alloc_meter_calls(), 0);
    cr_assert_arr_eq(plain, quern_session_logits(f.session, 0), size);
    free(plain);
    close_fixture(&f);
}

Test(record, counts_what_a_full_ring_lost) {
    struct fixture f = open_fixture("llama-f32.gguf", 2);
    static struct quern_event events[MAX_EVENTS];
    struct quern_pass passes[8];
    uint64_t lost_events = 0, lost_passes = 0;
    record(&f, 4);
    evaluate(&f, N_DECODE);
    cr_assert_eq(quern_record_passes(f.session, passes, 8, &lost_passes), 4);
    cr_assert_eq(lost_passes, 2 + N_DECODE - 4);
    cr_assert(passes[3].position == N_PROMPT + N_DECODE - 1, "the newest are kept");
    const size_t n = quern_record_events(f.session, 1, events, MAX_EVENTS, &lost_events);
    cr_assert_eq(n, 4 * (size_t)f.n_steps, "room for the events of four passes, no more");
    cr_assert_eq(n + lost_events, (2 + N_DECODE) * (size_t)f.n_steps - 2);
    cr_assert_eq(events[n - 1].pass, 2 + N_DECODE - 1);
    close_fixture(&f);
}

Test(record, refuses) {
    struct fixture f = open_fixture("llama-f32.gguf", 1);
    struct quern_error err;
    struct quern_event event;
    struct quern_step step;
    cr_assert_eq(quern_record_start(f.session, 0, &err), QUERN_BAD_ARGUMENT);
    cr_assert_eq(quern_record_start(f.session, SIZE_MAX / 2, &err), QUERN_NO_MEMORY);
    /* More than this machine has, which could be mapped and not be touched. */
    cr_assert_eq(quern_record_start(f.session, (size_t)1 << 32, &err), QUERN_NO_MEMORY);
    cr_assert_not_null(strstr(err.message, "GiB of memory are needed"), "%s", err.message);
    /* Those that look for a control group's limit, two files and a text, it can do without. */
    int n_refused = 0;
    for (size_t k = 1; k <= 7; k++) {
        alloc_meter_reset();
        alloc_meter_fail_at(k, 0);
        const bool refused = quern_record_start(f.session, 4, &err) == QUERN_NO_MEMORY;
        if (!refused) quern_record_stop(f.session);
        cr_assert_eq(alloc_meter_held(), 0, "allocation %zu", k);
        n_refused += refused;
    }
    cr_assert_eq(n_refused, 4);
    alloc_meter_fail_at(0, 0);
    cr_assert_eq(quern_record_events(f.session, 0, &event, 1, NULL), 0, "nothing is recorded");
    cr_assert_not(quern_session_step(f.session, -1, &step));
    cr_assert_not(quern_session_step(f.session, f.n_steps, &step));
    close_fixture(&f);
}

/* Over 50 ms the counter's line keeps within 20 us of the clock: a preemption may fall between the
 * reads, but not into all of the tries. */
Test(ticks, follow_the_clock) {
    for (int counter = 0; counter <= qn_ticks_has_counter(); counter++) {
        const struct qn_tick_pair from = qn_tick_pair_read(counter);
        struct timespec pause = {0, 50 * 1000 * 1000};
        nanosleep(&pause, NULL);
        const struct qn_tick_pair middle = qn_tick_pair_read(counter);
        nanosleep(&pause, NULL);
        const struct qn_tick_pair to = qn_tick_pair_read(counter);
        const int64_t off = (int64_t)(qn_ticks_to_ns(middle.ticks, from, to) - middle.ns);
        cr_assert(llabs(off) < 20000, "%ld ns off", (long)off);
        cr_assert_eq(qn_ticks_to_ns(from.ticks, from, to), from.ns);
    }
}
