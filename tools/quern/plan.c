/* SPDX-License-Identifier: Apache-2.0
 *
 * quern plan: what a model would do and need, from its header alone.
 */
#include "plan/plan.h"

#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "forecast.h"
#include "host/limits.h"
#include "models/vocab.h"
#include "options.h"
#include "out_file.h"
#include "output.h"
#include "report/json_text.h"
#include "report/plan_files.h"
#include "system.h"

struct plan_args {
    bool json;
    const char *html;
};

#define PLAN(field) offsetof(struct plan_args, field)

static const struct option form_options[] = {
    {"--json", OPTION_FLAG, NULL, 0, 0, PLAN(json), false, true, "as JSON"},
    {"--html", OPTION_TEXT, "FILE", 0, 0, PLAN(html), false, true,
     "also a page with a picture of the arena; it needs no network"},
};

/* What is known of the machine; the pointers of `about` lead into it. */
struct outlook {
    struct qn_plan_about about;
    struct qn_roof roof;
    struct qn_plan_times times;
    bool usual; /* as many threads as a run would take */
};

/* ---- looking at the machine ------------------------------------------------------------- */

/* Figures that an earlier run measured; nothing is measured here. */
static bool read_roof(const struct forecast *forecast, struct outlook *outlook) {
    struct qn_topology topology;
    struct qn_machine_key key;
    struct qn_machine_figures figures;
    char folder[4096];
    const int n_threads = forecast->plan.limits.n_threads;
    if (qn_topology_read(NULL, &topology, NULL) != QN_OK) return false;
    qn_machine_key_read("", &forecast->kernels, &topology, n_threads, &key);
    outlook->usual = n_threads == topology.n_default;
    qn_topology_free(&topology);
    if (!qn_machine_cache_folder(folder, sizeof folder) ||
        !qn_machine_cache_read(folder, &key, &figures))
        return false;
    outlook->roof = qn_roof_of(&figures.all, forecast->spec.decode_size);
    return true;
}

static enum qn_status look(const struct forecast *forecast, struct outlook *outlook,
                           struct qn_error *err) {
    const char *const slash = strrchr(forecast->path, '/');
    struct qn_plan_about *const about = &outlook->about;
    *outlook = (struct outlook){.about = {.file = slash && slash[1] ? slash + 1 : forecast->path,
                                          .isa = qn_isa_name(forecast->kernels.isa)}};
    about->memory = qn_limits_memory("", &about->limited);
    for (enum qn_cache cache = 0; cache < QN_CACHE_COUNT; cache++)
        if (qn_plan_compares(&forecast->plan, cache))
            about->contexts[cache] = qn_capacity_context(&forecast->plan, cache, about->memory);
    if (!read_roof(forecast, outlook)) return QN_OK;
    about->roof = &outlook->roof;
    about->times = &outlook->times;
    return qn_predict(&forecast->plan, &outlook->roof, forecast->kernels.bundles, &outlook->times,
                      err);
}

/* ---- text ------------------------------------------------------------------------------- */

static void print_prediction(const struct forecast *forecast, const struct outlook *outlook) {
    const struct qn_plan_times *const t = outlook->about.times;
    const struct qn_machine_limits *const l = &outlook->roof.limits;
    if (t == NULL) {
        struct qn_kernels usual;
        qn_kernels_select(qn_cpu_default_bundles(), &usual);
        const bool forced = forecast->kernels.isa != usual.isa;
        printf("\npredicted times: this machine was not measured with %s on %d thread%s: ",
               outlook->about.isa, forecast->plan.limits.n_threads,
               forecast->plan.limits.n_threads == 1 ? "" : "s");
        if (outlook->usual)
            printf("run 'quern doctor%s%s'\n", forced ? " --isa " : "",
                   forced ? outlook->about.isa : "");
        else
            puts("run 'quern bench --roofline' with as many");
        return;
    }
    printf("\n%-36s  %10s  %10s\n", "predicted, at the least", "ms", "tokens/s");
    printf("a token at position %-16d  %10.3f  %10.1f\n", t->position, 1e-6 * t->decode_sum,
           1e9 / t->decode_sum);
    printf("a prefill of %-23d  %10.3f  %10.1f\n", t->n_prefill, 1e-6 * t->prefill_sum,
           1e9 * t->n_prefill / t->prefill_sum);
    printf("by the roofline of %d thread%s: %.1f GB/s from %s, %.0f GOP/s int8, %.0f GFLOP/s f32\n",
           l->n_threads, l->n_threads == 1 ? "" : "s", l->read[outlook->roof.weights].best,
           qn_level_name(outlook->roof.weights), l->peak[QN_PEAK_INT8].best,
           l->peak[QN_PEAK_F32].best);
    if (outlook->roof.noisy)
        puts("WARN: these figures scatter; 'quern doctor --fresh' measures anew");
}

static void print_capacity(const struct forecast *forecast, const struct qn_plan_about *about) {
    if (about->memory <= 0) return;
    printf("\n%-36s  %10s\n", "largest context", "positions");
    for (enum qn_cache cache = 0; cache < QN_CACHE_COUNT; cache++)
        if (about->contexts[cache] > 0)
            printf("KV %-33s  %10d%s\n", qn_cache_name(cache), about->contexts[cache],
                   about->contexts[cache] == QN_CAPACITY_MAX ? " or more" : "");
    printf("in %.2f GiB %s; trained for %d\n", about->memory / (1 << 30),
           about->limited ? "that the control group allows" : "of memory",
           forecast->spec.hparams.n_ctx_train);
    const double needed = (double)qn_capacity_needed(&forecast->plan);
    if (needed > about->memory)
        printf("WARN: this plan does not fit: it needs %.2f GiB\n", needed / (1 << 30));
}

/* What a process that runs the model holds besides: the program, its libraries, the file's header
 * and the tokenizer. This one has all of these, so it says what it takes itself; to stderr, as it
 * is not the same in every run. */
static int print_process(const struct forecast *forecast) {
    struct qn_tokenizer *tokenizer;
    struct qn_error err;
    const int n_rows = forecast->spec.hparams.n_vocab;
    if (qn_vocab_read(forecast->checkpoint, n_rows, &tokenizer, &err) != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    const double process = (double)system_resident() / 1048576;
    const double planned = (double)qn_capacity_needed(&forecast->plan) / 1048576;
    qn_tokenizer_free(tokenizer);
    fprintf(stderr, "expected resident: %.2f MiB, with %.2f of program, tokenizer and header\n",
            planned + process, process);
    return EXIT_DONE;
}

static int print_text(const struct forecast *forecast, const struct outlook *outlook) {
    qn_plan_print(&forecast->plan, outlook->about.times, stdout);
    print_prediction(forecast, outlook);
    print_capacity(forecast, &outlook->about);
    return out_flush() ? print_process(forecast) : EXIT_FAILED;
}

/* ---- files ------------------------------------------------------------------------------ */

static int print_json(const struct forecast *forecast, const struct qn_plan_about *about) {
    struct qn_plan_about named = *about;
    json_t *const file = qn_json_text(about->file, strlen(about->file));
    named.file = json_string_value(file);
    json_t *const object = file != NULL ? qn_plan_json(&forecast->plan, &named) : NULL;
    if (object == NULL)
        out_error("no memory");
    else
        json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (object != NULL) putchar('\n');
    json_decref(object);
    json_decref(file);
    return object != NULL && out_flush() ? EXIT_DONE : EXIT_FAILED;
}

struct page {
    const struct qn_plan *plan;
    const struct qn_plan_about *about;
};

static enum qn_status write_html(const void *context, FILE *out, struct qn_error *err) {
    const struct page *const page = context;
    return qn_plan_write_html(page->plan, page->about, out, err);
}

static int report(const struct plan_args *args, const struct forecast *forecast,
                  struct out_side *html) {
    struct outlook outlook;
    struct qn_error err;
    if (look(forecast, &outlook, &err) != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    int status = args->json ? print_json(forecast, &outlook.about) : print_text(forecast, &outlook);
    const struct page page = {&forecast->plan, &outlook.about};
    if (!out_side_write(html, write_html, &page)) status = EXIT_FAILED;
    qn_predict_free(&outlook.times);
    return status;
}

static int open_and_report(const struct plan_args *args, const struct model_args *model_args,
                           const struct session_args *session_args, struct out_side *html) {
    struct forecast forecast;
    int status = forecast_open(model_args, session_args, &forecast);
    if (status != EXIT_DONE) return status;
    if (forecast.err.status == QN_OK) {
        status = report(args, &forecast, html);
    } else {
        out_error("%s", forecast.err.message);
        status = EXIT_FAILED;
    }
    forecast_close(&forecast);
    return status;
}

int command_plan(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    struct plan_args args = {.json = false};
    const struct option_group groups[] = {
        OPTION_GROUP("Form of the plan", form_options, &args),
        OPTION_GROUP("Options", context_options, &session_args),
        {NULL, thread_options, 2, &model_args},      /* no --spin: nothing waits here */
        {NULL, batch_options + 1, 1, &session_args}, /* -b: nothing of the plan depends on it */
        OPTION_GROUP(NULL, cache_options, &session_args),
        {NULL, model_options, 3, &model_args}, /* -m, --isa, --quantize: nothing is pinned here */
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}};
    const struct command command = {
        .name = "plan",
        .arguments = "[options] MODEL",
        .summary = "memory and steps of a model, before loading it",
        .description = "Prints the steps of a forward pass, where each byte of memory goes, the "
                       "largest context that fits, and how long the steps take at the least on "
                       "this machine, once 'quern doctor' has measured it. Only the file's header "
                       "is read. With --isa, the plan is that of a machine with these "
                       "instructions. The same plan prints the same text, so that a diff shows "
                       "what a change does.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;

    struct out_side html = {.option = "--html", .path = args.html};
    if (!out_sides_check(&html, 1, args.json ? "--json" : NULL)) return EXIT_WRONG_USAGE;
    if (!out_sides_open(&html, 1)) return EXIT_FAILED;
    status = open_and_report(&args, &model_args, &session_args, &html);
    out_sides_close(&html, 1);
    return status;
}
