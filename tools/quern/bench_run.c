/* SPDX-License-Identifier: Apache-2.0
 *
 * Random tokens, no tokenizer and no sampling, logits of the last prompt token only, the same
 * depth before every run, one run beforehand that does not count.
 */
#include "bench_run.h"

#include <math.h>
#include <stdlib.h>

#include "host/ticks.h"
#include "output.h"
#include "report/predict.h"
#include "run/access.h"
#include "run/random.h"
#include "system.h"

struct runner {
    struct quern_session *session;
    struct qn_random random;
    int32_t *tokens; /* [n_batch] */
    bool *no_logits; /* [n_batch] */
    int n_vocab, n_batch;
    int32_t opening; /* BOS where the model asks for it, else -1 */
};

static int32_t random_token(struct runner *runner) {
    return (int32_t)(qn_random_next(&runner->random) % (uint64_t)runner->n_vocab);
}

static bool evaluate(const struct runner *runner, const struct quern_batch *batch) {
    struct quern_error err;
    if (quern_session_eval(runner->session, batch, &err) == QUERN_OK) return true;
    out_error("%s", err.message);
    return false;
}

static bool prefill(struct runner *runner, int n_prompt) {
    for (int at = 0; at < n_prompt; at += runner->n_batch) {
        const int left = n_prompt - at, n = left < runner->n_batch ? left : runner->n_batch;
        for (int i = 0; i < n; i++) runner->tokens[i] = random_token(runner);
        if (at == 0 && runner->opening >= 0) runner->tokens[0] = runner->opening;
        const struct quern_batch batch = {.n = (size_t)n,
                                          .tokens = runner->tokens,
                                          .logits = at + n < n_prompt ? runner->no_logits : NULL};
        if (!evaluate(runner, &batch)) return false;
    }
    return true;
}

/* samples NULL: nobody asks how long each token took. */
static bool decode(struct runner *runner, int n_gen, struct bench_samples *samples) {
    int32_t token = runner->opening >= 0 ? runner->opening : random_token(runner);
    uint64_t before = qn_clock_ns();
    for (int i = 0; i < n_gen; i++) {
        const struct quern_batch batch = {.n = 1, .tokens = &token};
        if (!evaluate(runner, &batch)) return false;
        token = random_token(runner);
        const uint64_t now = qn_clock_ns();
        if (samples != NULL && samples->n_tokens < BENCH_MAX_TOKENS)
            samples->token_ns[samples->n_tokens++] = (double)(now - before);
        before = now;
    }
    return true;
}

static uint64_t bytes_read(const struct runner *runner) {
    struct quern_session_info info;
    quern_session_info(runner->session, &info);
    return info.bytes_read;
}

/* The cache keeps what lies at the depth from one repetition to the next. */
static bool fill(struct runner *runner, int n_depth) {
    if (quern_session_length(runner->session, 0) < n_depth) {
        quern_session_truncate(runner->session, 0, 0);
        return prefill(runner, n_depth);
    }
    quern_session_truncate(runner->session, 0, n_depth);
    return true;
}

static bool repeat(struct runner *runner, const struct bench_test *test,
                   struct bench_samples *samples) {
    for (int i = 0; i < samples->n; i++) {
        if (!fill(runner, test->n_depth)) return false;
        const uint64_t read = bytes_read(runner), started = qn_clock_ns();
        if (!prefill(runner, test->n_prompt) || !decode(runner, test->n_gen, samples)) return false;
        samples->ns[i] = (double)(qn_clock_ns() - started);
        samples->bytes = bytes_read(runner) - read;
    }
    return true;
}

/* The warm-up decodes one token, as the first of a run is like the rest. */
static bool measure(struct runner *runner, const struct bench_test *test,
                    struct bench_samples *samples) {
    if (samples->warm_up) {
        if (!prefill(runner, test->n_prompt) || !decode(runner, test->n_gen > 0, NULL))
            return false;
        quern_session_truncate(runner->session, 0, 0);
    }
    samples->n_tokens = 0;
    const double stolen = system_stolen();
    const uint64_t started = qn_clock_ns();
    if (!repeat(runner, test, samples)) return false;
    const double seconds = 1e-9 * (double)(qn_clock_ns() - started);
    samples->stolen = 100 * (system_stolen() - stolen) / (seconds * system_processors());
    samples->resident = system_resident();
    return true;
}

static int32_t opening_token(const struct quern_model *model) {
    int32_t ids[2];
    size_t n = 0;
    struct quern_error err;
    const enum quern_status status =
        quern_encode(model, "", 0, QUERN_ENCODE_BOS, ids, sizeof ids / sizeof *ids, &n, &err);
    return status == QUERN_OK && n > 0 ? ids[0] : -1;
}

/* What the session that ran takes, and what it would take at the least. */
static void describe_session(const struct runner *runner, const struct bench_test *test,
                             const struct qn_roof *roof, struct bench_samples *samples) {
    const struct qn_session *const session = qn_session_of(runner->session);
    samples->kv_size = session->plan.layout.kv_size;
    samples->buffer_size = session->plan.layout.buffer_size;
    samples->least_ns = roof == NULL
                            ? NAN
                            : qn_predict_run(&session->plan, roof, session->model->kernels.bundles,
                                             test->n_depth, test->n_prompt, test->n_gen);
}

bool bench_run(struct quern_model *model, const struct bench_test *test, const struct qn_roof *roof,
               struct bench_samples *samples) {
    const struct quern_session_options options = {.n_ctx =
                                                      test->n_depth + test->n_prompt + test->n_gen,
                                                  .n_ubatch = test->n_ubatch,
                                                  .kv_type_k = test->type_k,
                                                  .kv_type_v = test->type_v};
    struct quern_model_info info;
    quern_model_info(model, &info);
    struct runner runner = {
        .n_vocab = info.n_vocab, .n_batch = test->n_batch, .opening = opening_token(model)};
    qn_random_seed(&runner.random, 0);
    struct quern_error err;
    if (quern_session_new(model, &options, &runner.session, &err) != QUERN_OK) {
        out_error("%s", err.message);
        return false;
    }
    describe_session(&runner, test, roof, samples);
    runner.tokens = calloc((size_t)runner.n_batch, sizeof *runner.tokens);
    runner.no_logits = calloc((size_t)runner.n_batch, sizeof *runner.no_logits);
    const bool room = runner.tokens != NULL && runner.no_logits != NULL;
    if (!room) out_error("no memory");
    const bool done = room && measure(&runner, test, samples);
    free(runner.no_logits);
    free(runner.tokens);
    quern_session_free(runner.session);
    return done;
}

bool bench_samples_new(int repeats, int n_gen, struct bench_samples *samples) {
    const uint64_t all = (uint64_t)repeats * (uint64_t)n_gen;
    const size_t n_tokens = all < BENCH_MAX_TOKENS ? (size_t)all : BENCH_MAX_TOKENS;
    *samples = (struct bench_samples){.n = repeats, .stolen = NAN, .least_ns = NAN};
    samples->ns = calloc((size_t)repeats, sizeof *samples->ns);
    samples->token_ns = calloc(n_tokens + 1, sizeof *samples->token_ns);
    if (samples->ns != NULL && samples->token_ns != NULL) return true;
    bench_samples_free(samples);
    out_error("no memory");
    return false;
}

void bench_samples_free(struct bench_samples *samples) {
    free(samples->ns);
    free(samples->token_ns);
    *samples = (struct bench_samples){.n = 0};
}
