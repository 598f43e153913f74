/* SPDX-License-Identifier: Apache-2.0
 *
 * quern tune: the fastest settings for a model on this machine, found, shown and kept.
 */
#include <stdio.h>

#include "commands.h"
#include "interrupt.h"
#include "loader.h"
#include "output.h"
#include "run/access.h"
#include "tune_output.h"
#include "tuned.h"

struct tune_args {
    float seconds;
    bool kv, dry, show, reset, json;
};

#define TUNE(field) offsetof(struct tune_args, field)

static const struct option tune_options[] = {
    {"--seconds", OPTION_FLOAT, "X", 0, 3600, TUNE(seconds), false, false,
     "time of all measurements; loading comes before"},
    {"--kv", OPTION_FLAG, NULL, 0, 0, TUNE(kv), false, true,
     "measure other types of the KV cache too; none is ever chosen for you"},
    {"--dry-run", OPTION_FLAG, NULL, 0, 0, TUNE(dry), false, true, "measure, but keep nothing"},
    {"--show", OPTION_FLAG, NULL, 0, 0, TUNE(show), false, true,
     "print what is kept, and measure nothing"},
    {"--reset", OPTION_FLAG, NULL, 0, 0, TUNE(reset), false, true, "forget what is kept"},
    {"--json", OPTION_FLAG, NULL, 0, 0, TUNE(json), false, true, "results as JSON"},
};

static int print_json(json_t *object) {
    const bool done =
        object != NULL &&
        json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY) == 0;
    if (done) putchar('\n');
    json_decref(object);
    if (object == NULL) out_error("no memory");
    return done ? EXIT_DONE : EXIT_FAILED;
}

static int show(const struct tuned_key *key, const struct tune_args *args) {
    struct qn_tuned tuned;
    const bool found = qn_tune_store_read(key->folder, &key->key, &tuned);
    if (args->json) return print_json(found ? tune_settings_json(&tuned) : json_null());
    if (found)
        tune_print_settings(&tuned);
    else
        puts("nothing is kept for this model on this machine");
    return EXIT_DONE;
}

static int forget(const struct tuned_key *key, const struct tune_args *args) {
    struct qn_error err;
    bool found;
    if (qn_tune_store_forget(key->folder, &key->key, &found, &err) != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    if (args->json) return print_json(json_pack("{s:b}", "forgotten", (int)found));
    puts(found ? "forgotten" : "nothing is kept for this model on this machine");
    return EXIT_DONE;
}

static void tell(void *context, enum qn_tune_what what) {
    (void)context;
    fprintf(stderr, "measuring: %s\n", tune_title(what));
}

static bool go_on(void *context) {
    (void)context;
    return !interrupt_seen();
}

static int keep(const struct tuned_key *key, const struct qn_tuned *tuned) {
    struct qn_error err;
    if (tuned->decode <= 0 && tuned->prefill <= 0) {
        out_error("nothing is kept: time was over before anything was measured (--seconds)");
        return EXIT_FAILED;
    }
    if (qn_tune_store_write(key->folder, &key->key, tuned, &err) != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    fputs("kept for this model on this machine (--reset: forget)\n", stderr);
    return EXIT_DONE;
}

static int tune(struct quern_model *model, const struct tuned_key *key,
                const struct tune_args *args) {
    const struct qn_tune_options options = {.seconds = (double)args->seconds,
                                            .kv = args->kv,
                                            .root = "",
                                            .progress = tell,
                                            .keep_going = go_on};
    struct qn_tune_report report;
    struct qn_error err;
    interrupt_catch(true);
    const enum qn_status status = qn_tune_model(qn_model_of(model), &options, &report, &err);
    interrupt_release();
    if (status != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    if (report.stopped) return EXIT_INTERRUPTED;
    if (args->json) {
        if (print_json(tune_report_json(&report)) != EXIT_DONE) return EXIT_FAILED;
    } else {
        tune_print_report(&report);
    }
    return args->dry ? EXIT_DONE : keep(key, &report.tuned);
}

/* A model to be tuned has as many threads as any search may try. */
static int load_and_tune(struct model_args *model_args, const struct tuned_key *key,
                         const struct tune_args *args) {
    struct qn_topology topology;
    struct qn_error err;
    struct quern_model *model;
    if (qn_topology_read(NULL, &topology, &err) != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    model_args->n_threads = qn_tune_most_threads(&topology);
    qn_topology_free(&topology);
    if (!args->dry && qn_tune_store_check(key->folder, &err) != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    int status = loader_open(model_args, false, &model);
    if (status != EXIT_DONE) return status;
    status = tune(model, key, args);
    quern_model_close(model);
    return status;
}

int command_tune(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct tune_args args = {.seconds = 40};
    const struct option_group groups[] = {
        OPTION_GROUP("Options", tune_options, &args),
        {NULL, model_options, COUNT(model_options) - 1, &model_args}, /* no --no-tune */
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}};
    const struct command command = {
        .name = "tune",
        .arguments = "[options] MODEL",
        .summary = "find and keep the fastest settings for a model here",
        .description =
            "Measures how fast the model runs on this machine with different numbers of "
            "threads, for decode and for prefill, sizes of ubatch and times that waiting "
            "threads spin, and keeps what is faster than the usual choice by more than "
            "noise (3 %, or more where measurements differ more). Other subcommands use "
            "it from then on, but for options that are given to them, and with "
            "--no-tune. Results are the same bits.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    if (args.show && args.reset) {
        out_error("one of --show and --reset can be given");
        return EXIT_WRONG_USAGE;
    }
    struct tuned_key key;
    status = tuned_key_read(&model_args, &key);
    if (status != EXIT_DONE) return status;
    if (args.show) return show(&key, &args);
    if (args.reset) return forget(&key, &args);
    return load_and_tune(&model_args, &key, &args);
}
