/* SPDX-License-Identifier: Apache-2.0
 *
 * quern run: an answer to a prompt, or a chat.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat.h"
#include "commands.h"
#include "interrupt.h"
#include "loader.h"
#include "output.h"
#include "tuned.h"

struct run_args {
    struct generate_args generate;
    const char *prompt, *file, *ids, *system;
    bool raw;
};

#define RUN(field) offsetof(struct run_args, field)

static const struct option prompt_options[] = {
    {"-p, --prompt", OPTION_TEXT, "TEXT", 0, 0, RUN(prompt), false, true,
     "the prompt, in place of the argument"},
    {"-f, --file", OPTION_TEXT, "FILE", 0, 0, RUN(file), false, true,
     "the prompt from a file, less a newline at its end; - is standard input"},
    {"--ids", OPTION_TEXT, "1,2,3", 0, 0, RUN(ids), false, true,
     "token ids in place of text; they are taken as they are"},
    {"--raw", OPTION_FLAG, NULL, 0, 0, RUN(raw), false, true,
     "go on with the text as it is, without the chat format"},
    {"--system", OPTION_TEXT, "TEXT", 0, 0, RUN(system), false, true,
     "system message of the chat; \"\" for none (what the model's template says)"},
};

static const struct option answer_options[] = {
    {"-n, --predict", OPTION_INT, "N", -1, MAX_CONTEXT, RUN(generate.n_predict), false, true,
     "at most N new tokens (until the model ends or the context is full)"},
    {"--ignore-eos", OPTION_FLAG, NULL, 0, 0, RUN(generate.ignore_eos), false, true,
     "never choose a token that ends the answer"},
    {"--print-ids", OPTION_FLAG, NULL, 0, 0, RUN(generate.print_ids), false, true,
     "write the ids of new tokens, the ending one included, in place of text"},
    {"-q, --quiet", OPTION_FLAG, NULL, 0, 0, RUN(generate.quiet), false, true,
     "no seed, speed or notes on standard error"},
    {"--explain-slow", OPTION_FLOAT, "X", 1, 1e6, RUN(generate.explain_slow), false, true,
     "name each token that took more than X times the median, and why, afterwards"},
};

/* What the user asked, gathered before the model is loaded: mistakes show at once. */
struct question {
    struct bytes text;
    struct token_list ids; /* in place of text */
};

static bool has_system(const struct run_args *args) {
    return args->system != NULL && *args->system != '\0';
}

static bool system_has_place(const struct run_args *args) {
    if (!has_system(args) || (!args->raw && args->ids == NULL)) return true;
    out_error("--system is a message of the chat format, which %s does without",
              args->raw ? "--raw" : "--ids");
    return false;
}

/* EXIT_DONE, or another exit status with the sentence printed. */
static int gather(const struct run_args *args, struct question *out) {
    *out = (struct question){.text = {NULL, 0}};
    const int sources = (args->prompt != NULL) + (args->file != NULL) + (args->ids != NULL);
    if (sources > 1) {
        out_error("one of PROMPT, -f and --ids can be given, found %d", sources);
        return EXIT_WRONG_USAGE;
    }
    if (args->ids != NULL)
        return input_parse_ids(args->ids, strlen(args->ids), "--ids", &out->ids) ? EXIT_DONE
                                                                                 : EXIT_WRONG_USAGE;
    if (args->prompt != NULL) return input_copy(args->prompt, &out->text) ? EXIT_DONE : EXIT_FAILED;
    const char *path = args->file != NULL ? args->file : "-";
    return input_read_prompt(path, &out->text) ? EXIT_DONE : EXIT_FAILED;
}

/* The tokens that are pending when the answer starts. */
static bool append_question(struct generator *g, const struct question *question,
                            const struct dialogue *dialogue) {
    if (question->text.data != NULL)
        return dialogue_append(dialogue, true, question->text.data, question->text.size,
                               &g->pending);
    if (!input_check_ids(&question->ids, g->n_vocab)) return false;
    for (size_t i = 0; i < question->ids.n; i++)
        if (!input_append(&g->pending, question->ids.data[i])) return false;
    return true;
}

static void print_seed(const struct sampling_args *sampling_args, const struct run_args *args) {
    if (!args->generate.quiet && sampling_args->options.temperature > 0)
        fprintf(stderr, "seed %llu\n", (unsigned long long)sampling_args->options.seed);
}

static int exit_status(enum answer answer, const struct generator *g) {
    switch (answer) {
    case ANSWER_ENDED:
    case ANSWER_LIMIT:
        return EXIT_DONE;
    case ANSWER_FULL:
        if (!g->args.quiet)
            fprintf(stderr, "stopped: the context of %d tokens is full (see -c)\n", g->n_ctx);
        return EXIT_DONE;
    case ANSWER_STOPPED:
    case ANSWER_CANCELLED:
        return EXIT_INTERRUPTED;
    case ANSWER_TOO_LONG:
    case ANSWER_FAILED:
        break;
    }
    return EXIT_FAILED;
}

static int answer_once(struct generator *g, const struct run_args *args,
                       const struct sampling_args *sampling_args, const struct dialogue *dialogue,
                       const struct question *question) {
    if (!append_question(g, question, dialogue)) return EXIT_FAILED;
    if (g->pending.n == 0) {
        out_error("the prompt is empty");
        return EXIT_FAILED;
    }
    if (g->pending.n > (size_t)g->n_ctx) {
        out_error("the prompt has %zu tokens, the context holds %d (see -c)", g->pending.n,
                  g->n_ctx);
        return EXIT_FAILED;
    }
    print_seed(sampling_args, args);
    if (dialogue->unknown_format && question->text.data != NULL && !args->raw && !g->args.quiet)
        fputs("the model's chat format is not ChatML: going on with the text as it is\n", stderr);
    interrupt_catch(true);
    const enum answer answer = generator_answer(g);
    interrupt_release();
    return exit_status(answer, g);
}

/* What becomes of the message that a chat begins with, where that may surprise. */
static void note_system(const struct run_args *args, const struct dialogue *dialogue) {
    if (has_system(args) && !dialogue->framed)
        fputs("--system is left out: the model has no ChatML format\n", stderr);
    else if (dialogue->framed && dialogue->missed_system)
        fputs("the chat template puts its own system message together, which is left out; --system "
              "TEXT gives one\n",
              stderr);
}

/* question: NULL for a chat. */
static int generate(struct quern_model *model, const struct session_args *session_args,
                    struct sampling_args *sampling_args, const struct run_args *args,
                    const struct question *question) {
    struct dialogue dialogue;
    dialogue_open(model, args->system, &dialogue);
    dialogue.switched_off = args->raw && dialogue.framed;
    if (args->raw) dialogue.framed = false;
    if (!args->generate.quiet && (question == NULL || question->text.data != NULL))
        note_system(args, &dialogue);
    sampling_choose_seed(sampling_args);
    struct generator generator;
    int status = generator_new(model, session_args, sampling_args, &args->generate, &generator);
    if (status == EXIT_DONE) {
        if (question == NULL) {
            print_seed(sampling_args, args);
            status = chat_run(&generator, &dialogue);
        } else {
            status = answer_once(&generator, args, sampling_args, &dialogue, question);
        }
        if (!args->generate.quiet) generator_report(&generator);
        generator_explain(&generator);
        generator_free(&generator);
    }
    dialogue_close(&dialogue);
    return status;
}

static int load_and_generate(struct model_args *model_args, struct session_args *session_args,
                             struct sampling_args *sampling_args, const struct run_args *args,
                             const struct question *question) {
    struct quern_model *model;
    tuned_apply(model_args, session_args, args->generate.quiet);
    int status = loader_open(model_args, false, &model);
    if (status != EXIT_DONE) return status;
    status = generate(model, session_args, sampling_args, args, question);
    quern_model_close(model);
    return status;
}

static bool wants_chat(const struct run_args *args) {
    return args->prompt == NULL && args->file == NULL && args->ids == NULL && isatty(STDIN_FILENO);
}

int command_run(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    struct sampling_args sampling_args = sampling_args_default();
    struct run_args args = {.generate = {.n_predict = -1}};
    const struct option_group groups[] = {
        OPTION_GROUP("Prompt", prompt_options, &args),
        OPTION_GROUP("Answer", answer_options, &args),
        OPTION_GROUP("Choice of tokens", sampling_options, &sampling_args),
        OPTION_GROUP("Speed and memory", thread_options, &model_args),
        OPTION_GROUP(NULL, context_options, &session_args),
        OPTION_GROUP(NULL, batch_options, &session_args),
        OPTION_GROUP(NULL, cache_options, &session_args),
        OPTION_GROUP(NULL, model_options, &model_args),
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}, {"PROMPT", &args.prompt}};
    const struct command command = {
        .name = "run",
        .arguments = "[options] MODEL [PROMPT]",
        .summary = "generate text, or chat",
        .description = "Answers the prompt and writes the text as it comes. Without a prompt it "
                       "is a chat when standard input is a terminal (/help lists its commands); "
                       "otherwise standard input is the prompt.\n"
                       "Models with ChatML tokens get the prompt in their chat format; others go "
                       "on with the text.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    if (!system_has_place(&args)) return EXIT_WRONG_USAGE;
    if (wants_chat(&args))
        return load_and_generate(&model_args, &session_args, &sampling_args, &args, NULL);
    struct question question;
    status = gather(&args, &question);
    if (status == EXIT_DONE)
        status = load_and_generate(&model_args, &session_args, &sampling_args, &args, &question);
    free(question.text.data);
    free(question.ids.data);
    return status;
}
