/* SPDX-License-Identifier: Apache-2.0
 *
 * quern profile: where the time of a run goes, by layer, module and operation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "loader.h"
#include "out_file.h"
#include "output.h"
#include "profile_commands.h"
#include "profile_roofline.h"
#include "profile_run.h"
#include "profile_text.h"
#include "report/profile_files.h"
#include "run/access.h"
#include "tuned.h"

struct profile_args {
    int n_prompt, n_gen, repeats;
    const char *prompt;
    bool json, csv, roofline;
    const char *html, *trace, *folded;
};

#define PROFILE(field) offsetof(struct profile_args, field)

enum { MAX_REPEATS = 1000, MAX_GEN = 1 << 16 };

static const struct option profile_options[] = {
    {"-p, --n-prompt", OPTION_INT, "N", 1, MAX_CONTEXT, PROFILE(n_prompt), false, false,
     "random tokens of the prompt, where no PROMPT is given"},
    {"-n, --n-gen", OPTION_INT, "N", 0, MAX_GEN, PROFILE(n_gen), false, false,
     "decode this many tokens after it"},
    {"-r, --repetitions", OPTION_INT, "N", 1, MAX_REPEATS, PROFILE(repeats), false, false,
     "do both so many times"},
};

static const struct option form_options[] = {
    {"--roofline", OPTION_FLAG, NULL, 0, 0, PROFILE(roofline), false, true,
     "also hold each operation against the bandwidth and peaks measured on this machine"},
    {"--json", OPTION_FLAG, NULL, 0, 0, PROFILE(json), false, true,
     "everything, each step in each pass, as JSON: what 'profile diff' reads"},
    {"--csv", OPTION_FLAG, NULL, 0, 0, PROFILE(csv), false, true, "a row a step, as CSV"},
    {"--html", OPTION_TEXT, "FILE", 0, 0, PROFILE(html), false, true,
     "also a page with timeline, layers, roofline and table; it needs no network"},
    {"--trace", OPTION_TEXT, "FILE", 0, 0, PROFILE(trace), false, true,
     "also the last repetition as trace events, for https://ui.perfetto.dev"},
    {"--folded", OPTION_TEXT, "FILE", 0, 0, PROFILE(folded), false, true,
     "also stacks for flame graphs"},
};

static struct qn_profile_about describe(const struct profile_run *run, const char *path,
                                        const char *kv) {
    struct qn_profile_about about = {
        .n_prompt = (int)run->prompt.n, .n_gen = run->n_gen, .repeats = run->repeats, .kv = kv};
    struct quern_session_info session;
    quern_model_info(run->model, &about.model);
    quern_session_info(run->session, &session);
    about.n_ubatch = session.n_ubatch;
    const char *const slash = strrchr(path, '/');
    about.file = slash != NULL ? slash + 1 : path;
    const struct qn_model *const model = qn_model_of(run->model);
    qn_machine_key_read("", &model->kernels, &model->topology, about.model.n_threads, &about.host);
    return about;
}

static int print_json(const struct qn_profile *profile, const struct qn_profile_about *about,
                      const struct qn_roof *roof) {
    json_t *object = qn_profile_json(profile, about);
    if (object != NULL && roof != NULL &&
        json_object_set_new(object, "roofline", qn_roofline_json(profile, roof)) != 0) {
        json_decref(object);
        object = NULL;
    }
    if (object == NULL) {
        out_error("no memory");
        return EXIT_FAILED;
    }
    json_dumpf(object, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
    return EXIT_DONE;
}

static int print_text(struct profile_run *run, const struct qn_profile *profile,
                      const struct qn_profile_about *about, const struct qn_roof *roof) {
    struct qn_comparison overhead = {0};
    int status = run->n_gen > 0 ? profile_run_overhead(run, &overhead) : EXIT_DONE;
    if (status == EXIT_DONE) status = profile_print(profile, &about->model, &overhead);
    return status == EXIT_DONE && roof != NULL ? profile_print_roofline(profile, roof) : status;
}

/* What the files are of; roof may be NULL. */
struct record {
    const struct qn_profile *profile;
    const struct qn_profile_about *about;
    const struct qn_roof *roof;
};

static enum qn_status write_html(const void *context, FILE *out, struct qn_error *err) {
    const struct record *const r = context;
    return qn_profile_write_html(r->profile, r->about, r->roof, out, err);
}
static enum qn_status write_trace(const void *context, FILE *out, struct qn_error *err) {
    const struct record *const r = context;
    return qn_profile_write_trace(r->profile, r->about, out, err);
}
static enum qn_status write_folded(const void *context, FILE *out, struct qn_error *err) {
    const struct record *const r = context;
    return qn_profile_write_folded(r->profile, out, err);
}

enum { HTML, TRACE, FOLDED, N_SIDES };

static out_writer *const writers[N_SIDES] = {
    [HTML] = write_html, [TRACE] = write_trace, [FOLDED] = write_folded};

static int write_files(struct out_side *sides, const struct record *record) {
    int status = EXIT_DONE;
    for (size_t i = 0; i < N_SIDES; i++)
        if (!out_side_write(&sides[i], writers[i], record)) status = EXIT_FAILED;
    return status;
}

static int print_csv(const struct qn_profile *profile) {
    struct qn_error err;
    if (qn_profile_write_csv(profile, stdout, &err) == QN_OK) return EXIT_DONE;
    out_error("%s", err.message);
    return EXIT_FAILED;
}

static int report(struct profile_run *run, const struct profile_args *args,
                  const struct qn_profile_about *about, struct out_side *sides) {
    struct qn_roof roof;
    struct qn_profile profile;
    int status = EXIT_DONE;
    if (args->roofline) status = profile_measure(qn_model_of(run->model), &about->host, &roof);
    if (status == EXIT_DONE) status = profile_run_record(run, &profile);
    if (status != EXIT_DONE) return status;
    const struct qn_roof *const measured = args->roofline ? &roof : NULL;
    status = args->json  ? print_json(&profile, about, measured)
             : args->csv ? print_csv(&profile)
                         : print_text(run, &profile, about, measured);
    const int written = write_files(sides, &(struct record){&profile, about, measured});
    if (status == EXIT_DONE) status = written;
    qn_profile_free(&profile);
    return status;
}

static int load_and_report(const struct profile_args *args, struct model_args *model_args,
                           struct session_args *session_args, struct out_side *sides) {
    struct quern_model *model;
    tuned_apply(model_args, session_args, false);
    int status = loader_open(model_args, false, &model);
    if (status != EXIT_DONE) return status;
    char *path = loader_find(model_args->path, &status);
    struct profile_run run = {.n_gen = args->n_gen, .repeats = args->repeats};
    if (path != NULL)
        status = profile_run_open(model, session_args, args->prompt, args->n_prompt, &run);
    if (status == EXIT_DONE) {
        const struct qn_profile_about about =
            describe(&run, path, qn_cache_name(cache_from(session_args)));
        status = report(&run, args, &about, sides);
    }
    profile_run_close(&run);
    free(path);
    quern_model_close(model);
    return status;
}

int command_profile(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "diff") == 0) return command_profile_diff(argc - 1, argv + 1);
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    struct profile_args args = {.n_prompt = 512, .n_gen = 64, .repeats = 5};
    const struct option_group groups[] = {
        OPTION_GROUP("What runs", profile_options, &args),
        OPTION_GROUP("Form of the report", form_options, &args),
        OPTION_GROUP("Speed and memory", thread_options, &model_args),
        OPTION_GROUP(NULL, batch_options, &session_args),
        OPTION_GROUP(NULL, cache_options, &session_args),
        OPTION_GROUP(NULL, model_options, &model_args),
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}, {"PROMPT", &args.prompt}};
    const struct command command = {
        .name = "profile",
        .arguments = "[options] MODEL [PROMPT]",
        .summary = "where the time goes, by layer and operation",
        .description = "Evaluates a prompt, decodes tokens after it as run does, and tells what "
                       "each layer, module and step took, how long threads waited for each other, "
                       "and what sampling and text cost.\n"
                       "'quern profile diff A.json B.json' compares two of them.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    if (args.json && args.csv) {
        out_error("--json and --csv are two forms of one report: give one of them");
        return EXIT_WRONG_USAGE;
    }
    struct out_side sides[N_SIDES] = {[HTML] = {"--html", args.html},
                                      [TRACE] = {"--trace", args.trace},
                                      [FOLDED] = {"--folded", args.folded}};
    if (!out_sides_check(sides, N_SIDES, args.json ? "--json" : args.csv ? "--csv" : NULL))
        return EXIT_WRONG_USAGE;
    if (!out_sides_open(sides, N_SIDES)) return EXIT_FAILED;
    status = load_and_report(&args, &model_args, &session_args, sides);
    out_sides_close(sides, N_SIDES);
    return status;
}
