/* SPDX-License-Identifier: Apache-2.0
 *
 * Random tokens, no tokenizer and no sampling, logits of the last token of each prompt only, the
 * same depth before every run, one run beforehand that does not count.
 */
#include "bench_run.h"

#include <math.h>
#include <stdlib.h>

#include "host/limits.h"
#include "host/ticks.h"
#include "interrupt.h"
#include "options.h"
#include "output.h"
#include "report/capacity.h"
#include "report/predict.h"
#include "run/access.h"
#include "run/random.h"
#include "system.h"

struct runner {
    struct quern_session *session;
    struct qn_random random;
    int32_t *tokens;    /* [n_batch or n_parallel] */
    int32_t *sequences; /* the same */
    bool *logits;       /* the same */
    int n_vocab, n_batch, n_parallel;
    int32_t opening; /* BOS where the model asks for it, else -1 */
};

static int32_t random_token(struct runner *runner) {
    return (int32_t)(qn_random_next(&runner->random) % (uint64_t)runner->n_vocab);
}

/* The first n of the runner's tokens. */
static bool evaluate(const struct runner *runner, int n) {
    const struct quern_batch batch = {.n = (size_t)n,
                                      .tokens = runner->tokens,
                                      .sequences = runner->sequences,
                                      .logits = runner->logits};
    struct quern_error err;
    const enum quern_status status = quern_session_eval(runner->session, &batch, &err);
    if (status != QUERN_OK && status != QUERN_CANCELLED) out_error("%s", err.message);
    return status == QUERN_OK;
}

/* n_prompt tokens of each sequence. */
static bool prefill(struct runner *runner, int n_prompt) {
    const int all = n_prompt * runner->n_parallel;
    for (int at = 0; at < all; at += runner->n_batch) {
        const int left = all - at, n = left < runner->n_batch ? left : runner->n_batch;
        for (int i = 0; i < n; i++) {
            const int place = (at + i) % n_prompt;
            const bool opens = place == 0 && runner->opening >= 0;
            runner->tokens[i] = opens ? runner->opening : random_token(runner);
            runner->sequences[i] = (at + i) / n_prompt;
            runner->logits[i] = place + 1 == n_prompt;
        }
        if (!evaluate(runner, n)) return false;
    }
    return true;
}

/* n_gen tokens of each sequence. samples NULL: nobody asks how long each took. */
static bool decode(struct runner *runner, int n_gen, struct bench_samples *samples) {
    const int n = runner->n_parallel;
    uint64_t before = qn_clock_ns();
    for (int t = 0; t < n_gen; t++) {
        for (int i = 0; i < n; i++) {
            const bool opens = t == 0 && runner->opening >= 0;
            runner->tokens[i] = opens ? runner->opening : random_token(runner);
            runner->sequences[i] = i;
            runner->logits[i] = true;
        }
        if (!evaluate(runner, n)) return false;
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

static void truncate_all(struct runner *runner, int length) {
    for (int i = 0; i < runner->n_parallel; i++) quern_session_truncate(runner->session, i, length);
}

/* The cache keeps what lies at the depth from one repetition to the next. */
static bool fill(struct runner *runner, int n_depth) {
    const bool filled = quern_session_length(runner->session, 0) >= n_depth;
    truncate_all(runner, filled ? n_depth : 0);
    return filled || prefill(runner, n_depth);
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
        truncate_all(runner, 0);
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
    const struct qn_run run = {test->n_depth, test->n_prompt, test->n_gen, test->n_parallel};
    samples->flops = qn_run_flops(&session->plan, &run);
    samples->least_ns =
        roof == NULL ? NAN
                     : qn_predict_run(&session->plan, roof, session->model->kernels.bundles, &run);
}

/* Of all sequences together. */
static int64_t context_of(const struct bench_test *test) {
    return ((int64_t)test->n_depth + test->n_prompt + test->n_gen) * test->n_parallel;
}

/* Whether the model can have the test's session, and there is memory for that and the weights. */
static enum qn_status check_session(const struct qn_model *model, const struct bench_test *test,
                                    struct qn_error *err) {
    const int n_ctx = (int)context_of(test);
    struct qn_limits limits = {.n_ctx = n_ctx,
                               .n_ubatch = test->n_ubatch < n_ctx ? test->n_ubatch : n_ctx,
                               .n_sequences = test->n_parallel,
                               .n_logits = test->n_parallel,
                               .n_threads = qn_pool_n_threads(model->pool),
                               .n_threads_one = model->n_threads,
                               .bundles = model->kernels.bundles};
    struct qn_plan plan;
    enum qn_kv k = QN_KV_DEFAULT, v = QN_KV_DEFAULT;
    qn_kv_parse(test->type_k, &k);
    qn_kv_parse(test->type_v, &v);
    limits.cache = qn_cache_of(k, v);
    QN_TRY(qn_plan_new(&model->spec, &limits, &plan, err));
    const size_t needed = qn_capacity_needed(&plan);
    qn_plan_free(&plan);
    return qn_limits_check_memory("", needed, err);
}

bool bench_fits(struct quern_model *model, const struct bench_test *test) {
    struct qn_error err;
    if (context_of(test) > MAX_CONTEXT) {
        out_error("%d sequences of %d tokens exceed a context of %d", test->n_parallel,
                  test->n_depth + test->n_prompt + test->n_gen, MAX_CONTEXT);
        return false;
    }
    if (check_session(qn_model_of(model), test, &err) == QN_OK) return true;
    out_error("a context of %lld tokens: %s", (long long)context_of(test), err.message);
    return false;
}

static bool keep_going(void *context) {
    (void)context;
    return !interrupt_seen();
}

static bool runner_new(struct quern_model *model, const struct bench_test *test,
                       struct runner *runner) {
    const struct quern_session_options options = {.n_ctx = (int)context_of(test),
                                                  .n_ubatch = test->n_ubatch,
                                                  .n_sequences = test->n_parallel,
                                                  .kv_type_k = test->type_k,
                                                  .kv_type_v = test->type_v,
                                                  .keep_going = keep_going};
    struct quern_model_info info;
    quern_model_info(model, &info);
    *runner = (struct runner){.n_vocab = info.n_vocab,
                              .n_batch = test->n_batch,
                              .n_parallel = test->n_parallel,
                              .opening = opening_token(model)};
    qn_random_seed(&runner->random, 0);
    struct quern_error err;
    if (quern_session_new(model, &options, &runner->session, &err) != QUERN_OK) {
        out_error("%s", err.message);
        return false;
    }
    const size_t n =
        (size_t)(runner->n_batch > runner->n_parallel ? runner->n_batch : runner->n_parallel);
    runner->tokens = calloc(n, sizeof *runner->tokens);
    runner->sequences = calloc(n, sizeof *runner->sequences);
    runner->logits = calloc(n, sizeof *runner->logits);
    const bool room = runner->tokens != NULL && runner->sequences != NULL && runner->logits != NULL;
    if (!room) out_error("no memory");
    return room;
}

static void runner_free(struct runner *runner) {
    free(runner->logits);
    free(runner->sequences);
    free(runner->tokens);
    quern_session_free(runner->session);
}

bool bench_run(struct quern_model *model, const struct bench_test *test, const struct qn_roof *roof,
               struct bench_samples *samples) {
    struct runner runner = {.session = NULL};
    bool done = runner_new(model, test, &runner);
    if (done) {
        describe_session(&runner, test, roof, samples);
        done = measure(&runner, test, samples);
    }
    runner_free(&runner);
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
