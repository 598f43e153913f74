/* SPDX-License-Identifier: Apache-2.0
 *
 * quern bench: prefill and decode speed as llama-bench measures it. Random tokens, no tokenizer
 * and no sampling, logits of the last prompt token only, an empty cache before every run, one
 * run beforehand that does not count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_output.h"
#include "commands.h"
#include "loader.h"
#include "output.h"
#include "profile_commands.h"
#include "run/random.h"

struct bench_args {
    struct int_list n_prompt, n_gen, n_threads, n_ubatch;
    int n_batch, repeats;
    const char *output;
};

#define BENCH(field) offsetof(struct bench_args, field)

enum { MAX_REPEATS = 10000 };

static const struct option bench_options[] = {
    {"-p, --n-prompt", OPTION_INTS, "N,...", 0, MAX_CONTEXT, BENCH(n_prompt), false, false,
     "prefill this many tokens; 0: no such test"},
    {"-n, --n-gen", OPTION_INTS, "N,...", 0, MAX_CONTEXT, BENCH(n_gen), false, false,
     "decode this many tokens, one by one; 0: no such test"},
    {"-r, --repetitions", OPTION_INT, "N", 1, MAX_REPEATS, BENCH(repeats), false, false,
     "runs of each test"},
    {"-o, --output", OPTION_CHOICE, "md|csv|json", 0, 0, BENCH(output), false, false,
     "form of the results, with llama-bench's names"},
    {"-t, --threads", OPTION_INTS, "N,...", 1, MAX_THREADS, BENCH(n_threads), false, true,
     "threads (physical cores, within affinity mask and cgroup quota)"},
    {"-b, --batch-size", OPTION_INT, "N", 1, MAX_CONTEXT, BENCH(n_batch), false, false,
     "tokens handed to the engine at once"},
    {"-ub, --ubatch-size", OPTION_INTS, "N,...", 1, MAX_UBATCH, BENCH(n_ubatch), false, false,
     "tokens that go through the layers at once"},
};

/* ---- one test --------------------------------------------------------------------------- */

struct runner {
    struct quern_session *session;
    struct qn_random random;
    int32_t *tokens; /* [n_batch] */
    int n_vocab, n_batch;
    int32_t opening; /* BOS where the model asks for it, else -1 */
};

static uint64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static int32_t random_token(struct runner *runner) {
    return (int32_t)(qn_random_next(&runner->random) % (uint64_t)runner->n_vocab);
}

static bool evaluate(const struct runner *runner, const struct quern_batch *batch) {
    struct quern_error err;
    if (quern_session_eval(runner->session, batch, &err) == QUERN_OK) return true;
    out_error("%s", err.message);
    return false;
}

static bool prefill(struct runner *runner, int n_prompt, const bool *no_logits) {
    for (int at = 0; at < n_prompt; at += runner->n_batch) {
        const int left = n_prompt - at, n = left < runner->n_batch ? left : runner->n_batch;
        for (int i = 0; i < n; i++) runner->tokens[i] = random_token(runner);
        if (at == 0 && runner->opening >= 0) runner->tokens[0] = runner->opening;
        const struct quern_batch batch = {.n = (size_t)n,
                                          .tokens = runner->tokens,
                                          .logits = at + n < n_prompt ? no_logits : NULL};
        if (!evaluate(runner, &batch)) return false;
    }
    return true;
}

static bool decode(struct runner *runner, int n_gen) {
    int32_t token = runner->opening >= 0 ? runner->opening : random_token(runner);
    for (int i = 0; i < n_gen; i++) {
        const struct quern_batch batch = {.n = 1, .tokens = &token};
        if (!evaluate(runner, &batch)) return false;
        token = random_token(runner);
    }
    return true;
}

static bool run_once(struct runner *runner, int n_prompt, int n_gen, const bool *no_logits) {
    quern_session_truncate(runner->session, 0, 0);
    return prefill(runner, n_prompt, no_logits) && decode(runner, n_gen);
}

static uint64_t bytes_read(const struct runner *runner) {
    struct quern_session_info info;
    quern_session_info(runner->session, &info);
    return info.bytes_read;
}

/* Fills result->samples; the warm-up decodes one token, as the first of a run is like the rest. */
static bool measure(struct runner *runner, struct bench_result *result, const bool *no_logits) {
    if (!run_once(runner, result->n_prompt, result->n_gen > 0, no_logits)) return false;
    const uint64_t before = bytes_read(runner);
    for (int i = 0; i < result->n_samples; i++) {
        const uint64_t started = now_ns();
        if (!run_once(runner, result->n_prompt, result->n_gen, no_logits)) return false;
        result->samples[i] = now_ns() - started;
    }
    result->bytes = (bytes_read(runner) - before) / (uint64_t)result->n_samples;
    return true;
}

/* ---- all tests -------------------------------------------------------------------------- */

struct bench {
    const struct bench_args *args;
    const struct session_args *session_args;
    struct quern_model *model;
    struct bench_result result; /* what the tests share, and room for samples */
    int n_printed;
};

static int32_t opening_token(const struct quern_model *model) {
    int32_t ids[2];
    size_t n = 0;
    struct quern_error err;
    const enum quern_status status =
        quern_encode(model, "", 0, QUERN_ENCODE_BOS, ids, COUNT(ids), &n, &err);
    return status == QUERN_OK && n > 0 ? ids[0] : -1;
}

/* One line of results: a session of its own, as long as the test needs. */
static bool run_test(struct bench *bench, int n_prompt, int n_gen, int n_ubatch) {
    struct bench_result *const result = &bench->result;
    result->n_prompt = n_prompt;
    result->n_gen = n_gen;
    result->n_ubatch = n_ubatch;
    struct quern_session_options options = session_options_from(bench->session_args);
    options.n_ctx = n_prompt + n_gen;
    options.n_ubatch = n_ubatch;
    struct runner runner = {.n_vocab = result->model.n_vocab,
                            .n_batch = bench->args->n_batch,
                            .opening = opening_token(bench->model)};
    qn_random_seed(&runner.random, 0);
    struct quern_error err;
    if (quern_session_new(bench->model, &options, &runner.session, &err) != QUERN_OK) {
        out_error("%s", err.message);
        return false;
    }
    runner.tokens = malloc((size_t)runner.n_batch * sizeof *runner.tokens);
    bool *no_logits = calloc((size_t)runner.n_batch, sizeof *no_logits);
    bool done = runner.tokens != NULL && no_logits != NULL;
    if (!done) out_error("no memory");
    done = done && measure(&runner, result, no_logits);
    if (done) bench_print_result(bench->args->output, result, bench->n_printed++ == 0);
    free(no_logits);
    free(runner.tokens);
    quern_session_free(runner.session);
    return done && out_flush();
}

static bool run_tests(struct bench *bench) {
    const struct bench_args *const args = bench->args;
    for (int u = 0; u < args->n_ubatch.n; u++) {
        const int n_ubatch = args->n_ubatch.values[u];
        for (int i = 0; i < args->n_prompt.n; i++)
            if (args->n_prompt.values[i] > 0 &&
                !run_test(bench, args->n_prompt.values[i], 0, n_ubatch))
                return false;
        for (int i = 0; i < args->n_gen.n; i++)
            if (args->n_gen.values[i] > 0 && !run_test(bench, 0, args->n_gen.values[i], n_ubatch))
                return false;
    }
    return true;
}

/* A model owns its threads: it is opened anew for each number of them. */
static int run_threads(struct bench *bench, struct model_args *model_args) {
    const struct int_list *const n_threads = &bench->args->n_threads;
    for (int i = 0; i == 0 || i < n_threads->n; i++) {
        model_args->n_threads = n_threads->n > 0 ? n_threads->values[i] : 0;
        const int opened = loader_open(model_args, false, &bench->model);
        if (opened != EXIT_DONE) return opened;
        quern_model_info(bench->model, &bench->result.model);
        const bool done = run_tests(bench);
        quern_model_close(bench->model);
        if (!done) return EXIT_FAILED;
    }
    return EXIT_DONE;
}

static int run_bench(const struct bench_args *args, const struct session_args *session_args,
                     struct model_args *model_args) {
    struct bench bench = {.args = args,
                          .session_args = session_args,
                          .result = {.model_path = model_args->path,
                                     .n_batch = args->n_batch,
                                     .type_k = session_args->kv_type_k,
                                     .type_v = session_args->kv_type_v,
                                     .n_samples = args->repeats}};
    bench.result.samples = malloc((size_t)args->repeats * sizeof *bench.result.samples);
    if (bench.result.samples == NULL) {
        out_error("no memory");
        return EXIT_FAILED;
    }
    const int status = run_threads(&bench, model_args);
    if (status == EXIT_DONE) bench_print_end(args->output, bench.n_printed);
    free(bench.result.samples);
    return status;
}

int command_bench(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "compare") == 0)
        return command_bench_compare(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "--ab") == 0) return command_bench_ab(argc - 1, argv + 1);
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    struct bench_args args = {.n_prompt = {{512}, 1},
                              .n_gen = {{128}, 1},
                              .n_ubatch = {{session_args.n_ubatch}, 1},
                              .n_batch = session_args.n_batch,
                              .repeats = 5,
                              .output = "md"};
    const struct option_group groups[] = {
        OPTION_GROUP("Options", bench_options, &args),
        OPTION_GROUP(NULL, cache_options, &session_args),
        OPTION_GROUP(NULL, model_options, &model_args),
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}};
    const struct command command = {
        .name = "bench",
        .arguments = "[options] MODEL",
        .summary = "measure prefill and decode speed",
        .description = "Measures like llama-bench: ppN evaluates a prompt of N random tokens, tgN "
                       "decodes N tokens one by one from an empty cache; nothing is sampled. Lists "
                       "run every combination. Results are the mean and the standard deviation.\n"
                       "'quern bench compare A.json B.json' compares two results, 'quern bench "
                       "--ab COMMAND COMMAND' two commands of any programs.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    const enum args_result parsed = args_parse(&command, argc, argv);
    if (parsed != ARGS_OK) return parsed == ARGS_HELP ? EXIT_DONE : EXIT_WRONG_USAGE;
    return run_bench(&args, &session_args, &model_args);
}
