/* SPDX-License-Identifier: Apache-2.0
 *
 * An answer, with the time of each of its parts taken.
 */
#include "profile_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dialogue.h"
#include "output.h"
#include "run/access.h"
#include "run/random.h"

static int failed(const char *message) {
    out_error("%s", message);
    return EXIT_FAILED;
}

/* ---- the prompt ------------------------------------------------------------------------- */

/* Ids from all of the vocabulary, the same in every run. */
static bool random_prompt(const struct quern_model *model, int n, struct token_list *ids) {
    struct quern_model_info info;
    struct qn_random random;
    quern_model_info(model, &info);
    qn_random_seed(&random, 0);
    for (int i = 0; i < n; i++)
        if (!input_append(ids, (int32_t)(qn_random_next(&random) % (uint64_t)info.n_vocab)))
            return false;
    return true;
}

static bool text_prompt(const struct quern_model *model, const char *prompt,
                        struct token_list *ids) {
    struct dialogue dialogue;
    dialogue_open(model, NULL, &dialogue);
    const bool done = dialogue_append(&dialogue, true, prompt, strlen(prompt), ids);
    dialogue_close(&dialogue);
    return done;
}

int profile_run_open(struct quern_model *model, const struct session_args *session_args,
                     const char *prompt, int n_prompt, struct profile_run *run) {
    struct quern_error err;
    struct quern_sampler_options sampling;
    run->model = model;
    if (prompt != NULL ? !text_prompt(model, prompt, &run->prompt)
                       : !random_prompt(model, n_prompt, &run->prompt))
        return EXIT_FAILED;
    if (run->prompt.n == 0) return failed("the prompt is empty");
    struct quern_session_options options = session_options_from(session_args);
    options.n_ctx = (int)run->prompt.n + run->n_gen;
    if (quern_session_new(model, &options, &run->session, &err) != QUERN_OK)
        return failed(err.message);
    quern_sampler_defaults(&sampling);
    if (quern_sampler_new(model, &sampling, &run->sampler, &err) != QUERN_OK)
        return failed(err.message);
    return EXIT_DONE;
}

void profile_run_close(struct profile_run *run) {
    quern_sampler_free(run->sampler);
    quern_session_free(run->session);
    free(run->prompt.data);
    *run = (struct profile_run){.model = NULL};
}

/* ---- the run ---------------------------------------------------------------------------- */

/* Evaluates tokens, chooses the next one and makes its text; profile may be NULL. */
static bool step(struct profile_run *run, const int32_t *tokens, size_t n, int32_t *next,
                 struct quern_text_stream *stream, struct qn_profile *profile) {
    struct quern_error err;
    char text[1024];
    const struct quern_batch batch = {.n = n, .tokens = tokens};
    const uint64_t start = qn_clock_ns();
    if (quern_session_eval(run->session, &batch, &err) != QUERN_OK) {
        out_error("%s", err.message);
        return false;
    }
    const uint64_t evaluated = qn_clock_ns();
    *next = quern_session_next(run->session, 0, run->sampler);
    const uint64_t sampled = qn_clock_ns();
    quern_text_next(stream, run->model, *next, false, text, sizeof text);
    const uint64_t end = qn_clock_ns();
    if (profile == NULL) return true;
    qn_profile_span(profile, QN_SPAN_SAMPLE, evaluated, sampled);
    qn_profile_span(profile, QN_SPAN_TEXT, sampled, end);
    qn_profile_token(profile, start, end, tokens == run->prompt.data);
    return true;
}

/* Goes on after the end of an answer: what is measured does not depend on what is said. */
static bool answer(struct profile_run *run, int n_gen, struct qn_profile *profile) {
    struct quern_text_stream stream = {.n_held = 0};
    int32_t token;
    quern_session_truncate(run->session, 0, 0);
    if (!step(run, run->prompt.data, run->prompt.n, &token, &stream, profile)) return false;
    if (profile != NULL) qn_profile_count(profile, QN_PHASE_PREFILL);
    for (int i = 0; i < n_gen; i++)
        if (!step(run, &token, 1, &token, &stream, profile)) return false;
    if (profile != NULL) qn_profile_count(profile, QN_PHASE_DECODE);
    return true;
}

int profile_run_record(struct profile_run *run, struct qn_profile *profile) {
    struct quern_session_info info;
    struct qn_error err;
    quern_session_info(run->session, &info);
    const size_t ubatches = (run->prompt.n + (size_t)info.n_ubatch - 1) / (size_t)info.n_ubatch;
    const size_t n_tokens = (size_t)run->repeats * (size_t)(run->n_gen + 1);
    const size_t n_passes = (size_t)run->repeats * (ubatches + (size_t)run->n_gen);
    if (!answer(run, run->n_gen > 4 ? 4 : run->n_gen, NULL)) return EXIT_FAILED;
    if (qn_profile_start(qn_session_of(run->session), n_passes, n_tokens, profile, &err) != QN_OK)
        return failed(err.message);
    const bool shown = out_columns() > 0;
    bool done = true;
    for (int i = 0; done && i < run->repeats; i++) {
        if (shown) fprintf(stderr, "\rrepetition %d of %d", i + 1, run->repeats);
        done = answer(run, run->n_gen, profile);
    }
    if (shown) fprintf(stderr, "\r%*s\r", 40, "");
    if (qn_profile_finish(profile, &err) != QN_OK) {
        out_error("%s", err.message);
        done = false;
    }
    if (!done) qn_profile_free(profile);
    return done ? EXIT_DONE : EXIT_FAILED;
}

/* ---- what recording costs --------------------------------------------------------------- */

enum { OVERHEAD_PAIRS = 64 };
/* A slow model is measured less often: no user waits ten seconds for this. */
static const uint64_t overhead_ns = 2000000000;

static bool timed_token(struct profile_run *run, int length, int32_t token, double *ns) {
    struct quern_error err;
    const struct quern_batch batch = {.n = 1, .tokens = &token};
    quern_session_truncate(run->session, 0, length);
    const uint64_t start = qn_clock_ns();
    if (quern_session_eval(run->session, &batch, &err) != QUERN_OK) {
        out_error("%s", err.message);
        return false;
    }
    *ns = (double)(qn_clock_ns() - start);
    return true;
}

int profile_run_overhead(struct profile_run *run, struct qn_comparison *overhead) {
    struct qn_session *const session = qn_session_of(run->session);
    const int length = quern_session_length(run->session, 0) - 1;
    double without[OVERHEAD_PAIRS], with[OVERHEAD_PAIRS];
    struct qn_recorder *recorder;
    struct qn_error err;
    if (qn_recorder_new(session->model->pool, 1, session->plan.n_steps, &recorder, &err) != QN_OK)
        return failed(err.message);
    const uint64_t start = qn_clock_ns();
    size_t n = 0;
    bool done = true;
    while (done && n < OVERHEAD_PAIRS && (n < 4 || qn_clock_ns() - start < overhead_ns)) {
        for (int half = 0; done && half < 2; half++) {
            const bool on = (n % 2 == 0) == (half == 1);
            session->executor.recorder = on ? recorder : NULL;
            done = timed_token(run, length, run->prompt.data[0], on ? &with[n] : &without[n]);
        }
        n++;
    }
    session->executor.recorder = NULL;
    qn_recorder_free(recorder);
    if (done && qn_compare_medians(without, n, with, n, 0.95, 0, overhead, &err) != QN_OK)
        return failed(err.message);
    return done ? EXIT_DONE : EXIT_FAILED;
}
