/* SPDX-License-Identifier: Apache-2.0
 *
 * quern bench: prefill and decode speed as llama-bench measures it, for every combination of its
 * lists.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench_output.h"
#include "commands.h"
#include "interrupt.h"
#include "loader.h"
#include "output.h"
#include "profile_commands.h"
#include "report/machine_cache.h"
#include "run/access.h"
#include "tuned.h"

struct bench_args {
    struct qn_int_list n_prompt, n_gen, n_depth, n_threads, n_batch, n_ubatch;
    struct qn_int_list n_parallel, parallel_prompt, parallel_gen;
    struct qn_pair_list prompt_gen;
    struct qn_word_list type_k, type_v;
    int repeats;
    bool no_warm_up, roofline;
    bool parallel; /* tests of -npp and -ntg */
    const char *output;
};

#define BENCH(field) offsetof(struct bench_args, field)

enum {
    MAX_REPEATS = 10000,
    MAX_PARALLEL = 4096,
    MAX_DEPTH = 1 << 22 /* so that a test's context fits an int */
};

static const struct option bench_options[] = {
    {"-p, --n-prompt", OPTION_INTS, "N,...", 0, MAX_DEPTH, BENCH(n_prompt), false, false,
     "prefill this many tokens; 0: no such test"},
    {"-n, --n-gen", OPTION_INTS, "N,...", 0, MAX_DEPTH, BENCH(n_gen), false, false,
     "decode this many tokens, one by one; 0: no such test"},
    {"-pg", OPTION_PAIR, "P,N", 0, MAX_DEPTH, BENCH(prompt_gen), false, true,
     "prefill P tokens and decode N after them, timed together; may be given again"},
    {"-d, --n-depth", OPTION_INTS, "N,...", 0, MAX_DEPTH, BENCH(n_depth), false, false,
     "tokens that lie in the cache before the time starts"},
    {"-npl, --n-parallel", OPTION_INTS, "N,...", 1, MAX_PARALLEL, BENCH(n_parallel), false, false,
     "sequences that each test is run by, together; t/s are of all of them"},
    {"-npp", OPTION_INTS, "N,...", 1, MAX_DEPTH, BENCH(parallel_prompt), false, true,
     "as llama-batched-bench: prefill this many tokens, then ..."},
    {"-ntg", OPTION_INTS, "N,...", 1, MAX_DEPTH, BENCH(parallel_gen), false, true,
     "... decode this many after them, timed apart (with -npp 512, -ntg 128)"},
    {"-b, --batch-size", OPTION_INTS, "N,...", 1, MAX_CONTEXT, BENCH(n_batch), false, false,
     "tokens handed to the engine at once"},
    {"-ub, --ubatch-size", OPTION_INTS, "N,...", 1, MAX_UBATCH, BENCH(n_ubatch), false, false,
     "tokens that go through the layers at once"},
    {"-ctk, --cache-type-k", OPTION_WORDS, KV_TYPES, 0, 0, BENCH(type_k), false, false,
     "types of cached keys"},
    {"-ctv, --cache-type-v", OPTION_WORDS, KV_TYPES, 0, 0, BENCH(type_v), false, false,
     "types of cached values"},
    {"-t, --threads", OPTION_INTS, "N,...", 1, MAX_THREADS, BENCH(n_threads), false, true,
     "threads (physical cores, within affinity mask and cgroup quota)"},
    {"-r, --repetitions", OPTION_INT, "N", 1, MAX_REPEATS, BENCH(repeats), false, false,
     "runs of each test"},
    {"--no-warmup", OPTION_FLAG, NULL, 0, 0, BENCH(no_warm_up), false, true,
     "no run beforehand that does not count"},
    {"--roofline", OPTION_FLAG, NULL, 0, 0, BENCH(roofline), false, true,
     "measure first what the machine can read, where no figures of it are kept"},
    {"-o, --output", OPTION_CHOICE, BENCH_FORMS, 0, 0, BENCH(output), false, false,
     "form of the results, with llama-bench's names"},
};

struct bench {
    const struct bench_args *args;
    const char *model_path;
    struct quern_model *model;
    struct bench_output output;
    const struct qn_roof *roof;                                        /* or NULL */
    struct bench_row row;                                              /* the last */
    bool (*visit)(struct bench *bench, const struct bench_test *test); /* what is done with each */
};

static bool check_test(struct bench *bench, const struct bench_test *test) {
    return bench_fits(bench->model, test);
}

static bool measure_test(struct bench *bench, const struct bench_test *test) {
    struct bench_samples samples;
    if (!bench_samples_new(bench->args->repeats, test->n_gen, &samples)) return false;
    samples.warm_up = !bench->args->no_warm_up;
    bool done = bench_run(bench->model, test, bench->roof, &samples);
    if (done) {
        bench_row_fill(bench->model, bench->model_path, test, &samples, bench->roof, &bench->row);
        bench_print_row(&bench->output, &bench->row);
        done = out_flush();
        if (!done) bench->output.n_printed = 0; /* nobody reads an end */
    }
    bench_samples_free(&samples);
    return done;
}

static bool run_test(struct bench *bench, struct bench_test *test, int n_prompt, int n_gen) {
    test->n_prompt = n_prompt;
    test->n_gen = n_gen;
    return (n_prompt == 0 && n_gen == 0) || bench->visit(bench, test);
}

/* Prompts, and then what is decoded after them: the two speeds of a line of llama-batched-bench. */
static bool run_parallel(struct bench *bench, struct bench_test *test) {
    const struct bench_args *const args = bench->args;
    const int n_depth = test->n_depth;
    bool done = true;
    for (int i = 0; done && i < args->parallel_prompt.n; i++) {
        const int n_prompt = args->parallel_prompt.values[i];
        done = run_test(bench, test, n_prompt, 0);
        test->n_depth = n_depth + n_prompt;
        for (int j = 0; done && j < args->parallel_gen.n; j++)
            done = run_test(bench, test, 0, args->parallel_gen.values[j]);
        test->n_depth = n_depth;
    }
    return done;
}

/* The tests of one setting, as llama-bench orders them. */
static bool run_setting(struct bench *bench, struct bench_test *test) {
    const struct bench_args *const args = bench->args;
    for (int i = 0; i < args->n_prompt.n; i++)
        if (!run_test(bench, test, args->n_prompt.values[i], 0)) return false;
    for (int i = 0; i < args->n_gen.n; i++)
        if (!run_test(bench, test, 0, args->n_gen.values[i])) return false;
    for (int i = 0; i < args->prompt_gen.n; i++) {
        const struct qn_int_pair pair = args->prompt_gen.values[i];
        if (!run_test(bench, test, pair.first, pair.second)) return false;
    }
    return !args->parallel || run_parallel(bench, test);
}

/* The settings in llama-bench's order of loops, as an odometer whose last wheel turns fastest. */
enum wheel { BATCH, UBATCH, TYPE_K, TYPE_V, DEPTH, PARALLEL, N_WHEELS };

static bool next_setting(const int *sizes, int *at) {
    for (int w = N_WHEELS - 1; w >= 0; w--) {
        if (++at[w] < sizes[w]) return true;
        at[w] = 0;
    }
    return false;
}

static bool run_settings(struct bench *bench) {
    const struct bench_args *const args = bench->args;
    const int sizes[N_WHEELS] = {
        [BATCH] = args->n_batch.n, [UBATCH] = args->n_ubatch.n, [TYPE_K] = args->type_k.n,
        [TYPE_V] = args->type_v.n, [DEPTH] = args->n_depth.n,   [PARALLEL] = args->n_parallel.n};
    int at[N_WHEELS] = {0};
    do {
        struct bench_test test = {.n_batch = args->n_batch.values[at[BATCH]],
                                  .n_ubatch = args->n_ubatch.values[at[UBATCH]],
                                  .type_k = args->type_k.values[at[TYPE_K]],
                                  .type_v = args->type_v.values[at[TYPE_V]],
                                  .n_depth = args->n_depth.values[at[DEPTH]],
                                  .n_parallel = args->n_parallel.values[at[PARALLEL]]};
        if (!run_setting(bench, &test)) return false;
    } while (next_setting(sizes, at));
    return true;
}

/* Of as many threads as the model has. */
static bool read_figures(const struct bench *bench, struct qn_machine_figures *figures,
                         bool *known) {
    const struct qn_model *const model = qn_model_of(bench->model);
    char path[4096];
    const char *const folder = qn_machine_cache_folder(path, sizeof path) ? path : NULL;
    struct qn_machine_key key;
    struct qn_error err;
    qn_machine_key_read("", &model->kernels, &model->topology, qn_pool_n_threads(model->pool),
                        &key);
    *known = folder != NULL && qn_machine_cache_read(folder, &key, figures);
    if (*known || !bench->args->roofline) return true;
    *known = qn_machine_figures_get(folder, false, &key, &model->topology, figures, &err) == QN_OK;
    if (!*known)
        out_error("%s", err.message);
    else if (*figures->unkept.message != '\0')
        out_error("%s", figures->unkept.message);
    return *known;
}

static bool run_model(struct bench *bench) {
    struct qn_machine_figures figures;
    bool known;
    if (!read_figures(bench, &figures, &known)) return false;
    struct qn_roof roof;
    if (known) roof = qn_roof_of(&figures.all, qn_model_of(bench->model)->spec.decode_size);
    bench->roof = known ? &roof : NULL;
    bench->visit = measure_test;
    return run_settings(bench);
}

/* What cannot fit is told before anything is measured; Ctrl-C ends the results where they are. */
static int run_checked(struct bench *bench) {
    bench->visit = check_test;
    interrupt_catch(true);
    const bool done = run_settings(bench) && run_model(bench);
    interrupt_release();
    return done ? EXIT_DONE : interrupt_seen() ? EXIT_INTERRUPTED : EXIT_FAILED;
}

/* A model owns its threads and is opened anew for each number of them, so this loop is the
 * outermost. */
static int run_threads(struct bench *bench, struct model_args *model_args) {
    const struct qn_int_list *const n_threads = &bench->args->n_threads;
    for (int i = 0; i == 0 || i < n_threads->n; i++) {
        if (n_threads->n > 0) model_args->n_threads = n_threads->values[i];
        const int opened = loader_open(model_args, false, &bench->model);
        if (opened != EXIT_DONE) return opened;
        const int status = run_checked(bench);
        quern_model_close(bench->model);
        if (status != EXIT_DONE) return status;
    }
    return EXIT_DONE;
}

static int run_bench(const struct bench_args *args, struct model_args *model_args) {
    struct bench bench = {.args = args,
                          .model_path = model_args->path,
                          .output = {.form = args->output,
                                     .n_batch = args->n_batch.given,
                                     .n_ubatch = args->n_ubatch.given,
                                     .type_k = args->type_k.given,
                                     .type_v = args->type_v.given}};
    const int status = run_threads(&bench, model_args);
    if (bench.output.n_printed > 0) bench_print_end(&bench.output, &bench.row);
    return status;
}

static bool has_positive(const struct qn_int_list *list) {
    for (int i = 0; i < list->n; i++)
        if (list->values[i] > 0) return true;
    return false;
}

/* -npp and -ntg are at least 1. */
static bool tests_something(const struct bench_args *args) {
    bool pairs = false;
    for (int i = 0; i < args->prompt_gen.n; i++)
        pairs |= args->prompt_gen.values[i].first > 0 || args->prompt_gen.values[i].second > 0;
    return args->parallel || pairs || has_positive(&args->n_prompt) || has_positive(&args->n_gen);
}

/* Lists that were given are what is to be measured. */
static void use_tuned(struct bench_args *args, struct model_args *model_args) {
    struct session_args session = {.n_ubatch = args->n_ubatch.given ? args->n_ubatch.values[0] : 0};
    if (args->n_threads.given) return;
    tuned_apply(model_args, &session, false);
    if (session.n_ubatch > 0 && !args->n_ubatch.given) args->n_ubatch.values[0] = session.n_ubatch;
}

/* Brings --ab, which may stand behind other options, to the front. */
static bool takes_commands(int argc, char **argv) {
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--ab") != 0) continue;
        char *const found = argv[i];
        memmove(argv + 2, argv + 1, (size_t)(i - 1) * sizeof *argv);
        argv[1] = found;
        return true;
    }
    return false;
}

int command_bench(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "compare") == 0)
        return command_bench_compare(argc - 1, argv + 1);
    if (takes_commands(argc, argv)) return command_bench_ab(argc - 1, argv + 1);
    struct model_args model_args = {.path = NULL};
    const struct session_args session = session_args_default();
    struct bench_args args = {.n_prompt = {{512}, 1, false},
                              .n_gen = {{128}, 1, false},
                              .n_depth = {{0}, 1, false},
                              .n_parallel = {{1}, 1, false},
                              .parallel_prompt = {{512}, 1, false},
                              .parallel_gen = {{128}, 1, false},
                              .n_batch = {{session.n_batch}, 1, false},
                              .n_ubatch = {{QN_DEFAULT_UBATCH}, 1, false},
                              .type_k = {.n = 1},
                              .type_v = {.n = 1},
                              .repeats = 5,
                              .output = "md"};
    snprintf(args.type_k.values[0], sizeof args.type_k.values[0], "%s", session.kv_type_k);
    snprintf(args.type_v.values[0], sizeof args.type_v.values[0], "%s", session.kv_type_v);
    const struct option_group groups[] = {
        OPTION_GROUP("Options", bench_options, &args),
        OPTION_GROUP(NULL, model_options, &model_args),
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}};
    const struct command command = {
        .name = "bench",
        .arguments = "[options] MODEL",
        .summary = "measure prefill and decode speed",
        .description = "Measures like llama-bench: ppN evaluates a prompt of N random tokens, tgN "
                       "decodes N tokens one by one, ppP+tgN does both, xB by B sequences "
                       "together, @ dN in a cache that holds N tokens of each already; nothing is "
                       "sampled. Lists (1,2,4) and ranges "
                       "(1-8, 64-512+64, 1-8*2) run every combination. t/s are mean and standard "
                       "deviation; ms are of single decoded tokens, or of whole prompts.\n"
                       "'quern bench compare A.json B.json' compares two results, 'quern bench "
                       "--ab COMMAND COMMAND' two commands of any programs.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    args.parallel = args.parallel_prompt.given || args.parallel_gen.given;
    if (args.parallel && !args.n_prompt.given) args.n_prompt.n = 0;
    if (args.parallel && !args.n_gen.given) args.n_gen.n = 0;
    if (!tests_something(&args)) {
        out_error("nothing to measure: give -p, -n or -pg more than 0 tokens");
        return EXIT_WRONG_USAGE;
    }
    use_tuned(&args, &model_args);
    return run_bench(&args, &model_args);
}
