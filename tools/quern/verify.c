/* SPDX-License-Identifier: Apache-2.0
 *
 * quern verify: is a model right? Stages from the weights to the answers, for any model.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "loader.h"
#include "out_file.h"
#include "output.h"
#include "plan/plan.h"
#include "report/json_text.h"
#include "report/verify.h"
#include "run/access.h"
#include "verify_output.h"
#include "verify_prompts.h"

enum { MAX_MODELS = 64 };

struct verify_args {
    const char *stages, *prompts, *html, *heads, *reference;
    int n_tokens, n_predict;
    bool json;
    const char *models[MAX_MODELS];
};

static const struct option verify_options[] = {
    {"--stage", OPTION_TEXT, "NAME,...", 0, 0, offsetof(struct verify_args, stages), false, true,
     "only these stages (all)"},
    {"--json", OPTION_FLAG, NULL, 0, 0, offsetof(struct verify_args, json), false, true,
     "print JSON, with the numbers of every tensor and token"},
    {"--prompts", OPTION_TEXT, "FILE", 0, 0, offsetof(struct verify_args, prompts), false, true,
     "prompts of the output stage: lines of a prompt, or of a prompt, a tab and a text that the "
     "answer must hold; \\n, \\t and \\\\ stand for newline, tab and backslash; empty lines and "
     "those that start with # are left out"},
    {"-n, --predict", OPTION_INT, "N", 1, 4096, offsetof(struct verify_args, n_predict), false,
     false, "tokens of each answer"},
    {"--tokens", OPTION_INT, "N", 3, 8192, offsetof(struct verify_args, n_tokens), false, false,
     "tokens that the cache and attention stages evaluate"},
    {"--ref", OPTION_TEXT, "FOLDER", 0, 0, offsetof(struct verify_args, reference), false, true,
     "compare with what tools/reference.py wrote of the same model; for one model"},
    {"--html", OPTION_TEXT, "FILE", 0, 0, offsetof(struct verify_args, html), false, true,
     "write a page of the results, with heat maps of attention"},
    {"--heads", OPTION_TEXT, "L.H,...", 0, 0, offsetof(struct verify_args, heads), false, true,
     "heads of these layers that --html draws (those that stand out)"},
};

/* ---- progress --------------------------------------------------------------------------- */

static void show_progress(void *context, const char *stage, double done) {
    (void)context;
    if (out_columns() == 0) return;
    if (done < 1)
        fprintf(stderr, "\r\033[K%s %3.0f %%", stage, 100 * done);
    else
        fprintf(stderr, "\r\033[K");
}

/* ---- one model -------------------------------------------------------------------------- */

static bool is_chosen(const char *list, const char *name) {
    const size_t size = strlen(name);
    for (const char *at = list; at != NULL && *at != '\0';) {
        const size_t here = strcspn(at, ",");
        if (here == size && strncmp(at, name, size) == 0) return true;
        at += here + (at[here] == ',');
    }
    return list == NULL;
}

static void add_stage(json_t *model, json_t *stage, const struct verify_args *args, bool *ok) {
    const char *verdict = json_string_value(json_object_get(stage, "verdict"));
    *ok = *ok && verdict != NULL && strcmp(verdict, "fail") != 0;
    if (!args->json) verify_print_stage(stage);
    json_array_append_new(json_object_get(model, "stages"), stage);
}

static void describe(const struct quern_model *model, json_t *out) {
    struct quern_model_info info;
    quern_model_info(model, &info);
    json_t *more = json_pack("{s:s, s:s, s:s, s:i, s:I}", "architecture", info.architecture, "type",
                             info.type, "isa", info.isa, "threads", info.n_threads, "parameters",
                             (json_int_t)info.n_params);
    json_object_update(out, more);
    json_decref(more);
}

/* Without a reference there is nothing to say of one. */
static bool has_input(const struct qn_verify_stage *stage,
                      const struct qn_verify_options *options) {
    return stage->run != qn_verify_reference || options->reference != NULL;
}

/* EXIT_DONE when every stage passed. */
static int verify_model(const struct model_args *model_args, const struct verify_args *args,
                        const struct qn_verify_options *options, json_t *out) {
    struct quern_model *model;
    struct quern_error err;
    bool ok = true;
    const int status = loader_try(model_args, false, &model, &err);
    if (status == EXIT_FAILED && *err.message != '\0') {
        if (!args->json) verify_print_model(out);
        add_stage(out, qn_verify_unopened(err.message), args, &ok);
    }
    if (status != EXIT_DONE) return status;
    struct qn_error wrong;
    if (qn_verify_check_heads(qn_model_of(model), options, &wrong) != QN_OK) {
        out_error("--heads: %s: %s", model_args->path, wrong.message);
        quern_model_close(model);
        return EXIT_WRONG_USAGE;
    }
    describe(model, out);
    if (!args->json) verify_print_model(out);
    for (int s = 0; s < QN_VERIFY_STAGES; s++)
        if (is_chosen(args->stages, qn_verify_stages[s].name) &&
            has_input(&qn_verify_stages[s], options))
            add_stage(out, qn_verify_run(&qn_verify_stages[s], qn_model_of(model), options), args,
                      &ok);
    quern_model_close(model);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

static enum qn_status write_page(const void *report, FILE *out, struct qn_error *err) {
    (void)err;
    qn_verify_html(report, out);
    return QN_OK;
}

/* What is drawn is of no use as text. */
static void drop_maps(json_t *models) {
    size_t m, s;
    json_t *model, *stage;
    json_array_foreach(models, m, model) {
        json_array_foreach(json_object_get(model, "stages"), s, stage) {
            json_object_del(stage, "drawn");
            json_object_del(stage, "drawn_tokens");
        }
    }
}

static int verify_all(const struct model_args *model_args, const struct verify_args *args,
                      const struct qn_verify_options *options, struct out_side *html) {
    json_t *models = json_array();
    int result = EXIT_DONE;
    for (size_t i = 0; i < MAX_MODELS && args->models[i] != NULL; i++) {
        struct model_args one = *model_args;
        one.path = args->models[i];
        json_t *model =
            json_pack("{s:o, s:[]}", "model", qn_json_text(one.path, strlen(one.path)), "stages");
        if (i > 0 && !args->json) putchar('\n');
        const int status = verify_model(&one, args, options, model);
        json_array_append_new(models, model);
        if (status != EXIT_DONE) result = status;
        if (status == EXIT_INTERRUPTED || status == EXIT_WRONG_USAGE) break;
    }
    if (result == EXIT_WRONG_USAGE) {
        json_decref(models);
        return result;
    }
    if (!args->json && json_array_size(models) > 1) verify_print_table(models);
    json_t *report =
        json_pack("{s:s, s:o}", "verdict", result == EXIT_DONE ? "pass" : "fail", "models", models);
    if (!out_side_write(html, write_page, report)) result = EXIT_FAILED;
    if (args->json) {
        drop_maps(models);
        json_dumpf(report, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    }
    json_decref(report);
    return result;
}

/* ---- the subcommand --------------------------------------------------------------------- */

static int check_stages(const char *list) {
    size_t named = 0, known = 0;
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        named++;
    }
    for (int s = 0; list != NULL && s < QN_VERIFY_STAGES; s++)
        known += is_chosen(list, qn_verify_stages[s].name);
    if (named == known) return EXIT_DONE;
    char names[128] = "";
    for (int s = 0; s < QN_VERIFY_STAGES; s++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", s > 0 ? ", " : "",
                 qn_verify_stages[s].name);
    out_error("--stage takes names separated by commas, each once, of: %s; found '%s'", names,
              list);
    return EXIT_WRONG_USAGE;
}

static int parse_heads(const char *list, struct qn_verify_options *options) {
    const char *at = list;
    while (at != NULL && *at != '\0') {
        struct qn_verify_head head;
        int size = 0;
        const bool read = sscanf(at, "%4d.%4d%n", &head.layer, &head.head, &size) == 2 &&
                          head.layer >= 0 && head.head >= 0 &&
                          (at[size] == ',' || at[size] == '\0');
        if (!read || options->n_heads == QN_VERIFY_MAX_HEADS) {
            out_error("--heads takes up to %d heads as LAYER.HEAD, separated by commas; found '%s'",
                      QN_VERIFY_MAX_HEADS, list);
            return EXIT_WRONG_USAGE;
        }
        options->heads[options->n_heads++] = head;
        at += size + (at[size] == ',');
    }
    return EXIT_DONE;
}

static int check_reference(const struct verify_args *args) {
    if (args->reference == NULL && args->stages != NULL && is_chosen(args->stages, "reference")) {
        out_error("--stage reference needs --ref FOLDER, which tools/reference.py writes");
        return EXIT_WRONG_USAGE;
    }
    if (args->reference == NULL || args->models[1] == NULL) return EXIT_DONE;
    out_error("--ref is the reference of one model, %s and %s were given", args->models[0],
              args->models[1]);
    return EXIT_WRONG_USAGE;
}

static int run_verify(const struct model_args *model_args, const struct session_args *session_args,
                      struct verify_args *args) {
    struct qn_verify_options options = {.n_tokens = args->n_tokens,
                                        .n_predict = args->n_predict,
                                        .n_prompts = COUNT(qn_verify_prompts),
                                        .prompts = qn_verify_prompts,
                                        .cache = cache_from(session_args),
                                        .reference = args->reference,
                                        .draw = args->html != NULL,
                                        .progress = show_progress};
    struct verify_prompts prompts = {.n = 0};
    struct out_side html = {.option = "--html", .path = args->html};
    int wrong = check_stages(args->stages);
    if (wrong == EXIT_DONE) wrong = parse_heads(args->heads, &options);
    if (wrong == EXIT_DONE) wrong = check_reference(args);
    if (wrong == EXIT_DONE && !out_sides_check(&html, 1, args->json ? "--json" : NULL))
        wrong = EXIT_WRONG_USAGE;
    if (wrong != EXIT_DONE) return wrong;
    if (args->prompts != NULL) {
        if (!verify_prompts_read(args->prompts, &prompts)) return EXIT_FAILED;
        options.prompts = prompts.items;
        options.n_prompts = prompts.n;
    }
    int status = EXIT_FAILED;
    if (out_sides_open(&html, 1)) status = verify_all(model_args, args, &options, &html);
    out_sides_close(&html, 1);
    verify_prompts_free(&prompts);
    if (args->heads != NULL && args->html == NULL && status != EXIT_WRONG_USAGE)
        out_error("--heads changes nothing without --html: it chooses what that page draws");
    return status;
}

static const char description[] =
    "Looks at a model stage by stage and says pass or fail with the numbers; exit status 1 when "
    "any check fails. A note is worth a look and no failure.\n"
    "weights: each tensor that the architecture needs is there, of the right shape and type, none "
    "is read by nothing, all numbers are finite; matrices that are zero or constant fail, copies "
    "and odd ones are noted; a fingerprint of all tensors.\n"
    "cache: after N tokens each layer holds N positions and nothing behind them; token by token, "
    "in small ubatches, and after cutting back and refilling it holds the same bits; what is out "
    "of the sliding windows' reach changes nothing; a token after a full context is an error.\n"
    "attention: for every layer and head, the weights that the kernel itself gives to positions "
    "(it runs on the real queries and keys, with rows of the identity matrix for values): they are "
    "finite, sum to 1, are 0 on later positions and outside windows, their entropy is at most that "
    "of an even spread, and they are a softmax in double precision but for float rounding.\n"
    "output: greedy answers to \"The capital of France is\", \"2 + 2 =\" and \"Count to 5:\", or "
    "to one's own. They pass when the mean log probability of the "
    "chosen tokens is at least -ln(V)/4 for a vocabulary of V, that of the prompts' own tokens at "
    "least -3 ln(V)/4, and none ends in a loop of one or two tokens that is half of it: untrained "
    "models stay below the first two.\n"
    "reference (--ref): ids of strings, every tensor of a forward pass in order, logits and greedy "
    "answers against transformers in float32; the first tensor that is off by more than rounding "
    "explains is named, with what still agrees and a guess at the reason. Allowed, in deviations "
    "of the tensor: for float32 weights 1e-3 for every element; for others a root mean square of "
    "twice what rounding inputs costs, at most to BF16 (F16 and BF16 weights: 0.0023 sqrt(n)) or "
    "to int8 (quantized: 0.026 sqrt(n)), where a tensor depends on n products. Of the logits, of "
    "all but quantized weights, a mean KL of 1e-4, and of F16 and BF16 an error of 3e-2.";

int command_verify(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    struct verify_args args = {.n_tokens = QN_VERIFY_TOKENS, .n_predict = QN_VERIFY_PREDICT};
    struct positional positionals[MAX_MODELS];
    for (size_t i = 0; i < MAX_MODELS; i++)
        positionals[i] = (struct positional){"MODEL", &args.models[i]};
    const struct option_group groups[] = {
        OPTION_GROUP("Options", verify_options, &args),
        OPTION_GROUP("Speed and memory", thread_options, &model_args),
        OPTION_GROUP(NULL, cache_options, &session_args),
        {NULL, model_options + 1, 4, &model_args},
    };
    const struct command command = {.name = "verify",
                                    .arguments = "[options] MODEL...",
                                    .summary = "is a model right?",
                                    .description = description,
                                    .groups = groups,
                                    .n_groups = COUNT(groups),
                                    .positionals = positionals,
                                    .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    if (args.models[0] == NULL) {
        out_error("no model given: name GGUF files or folders");
        return EXIT_WRONG_USAGE;
    }
    return run_verify(&model_args, &session_args, &args);
}
