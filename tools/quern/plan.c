/* SPDX-License-Identifier: Apache-2.0
 *
 * quern plan: what a model would do and need, from its header alone.
 */
#include "plan/plan.h"

#include <stdio.h>

#include "commands.h"
#include "forecast.h"
#include "models/vocab.h"
#include "options.h"
#include "output.h"
#include "system.h"

/* What a process that runs the model holds besides: the program, its libraries, the file's header
 * and the tokenizer. This one has all of these, so it says what it takes itself. */
static int print_process(const struct forecast *forecast) {
    const struct qn_layout *const l = &forecast->plan.layout;
    const size_t threads = (size_t)forecast->plan.limits.n_threads;
    const size_t planned =
        forecast->spec.arena_size + l->kv_size + l->buffer_size + l->scratch_size * threads;
    struct qn_tokenizer *tokenizer;
    struct qn_error err;
    if (qn_vocab_read(forecast->checkpoint, &tokenizer, &err) != QN_OK) {
        out_error("%s", err.message);
        return EXIT_FAILED;
    }
    const size_t process = system_resident();
    printf("%-24s  %12.2f  (measured: program, tokenizer, header)\n", "process",
           (double)process / 1048576);
    printf("%-24s  %12.2f\n", "expected resident", (double)(process + planned) / 1048576);
    qn_tokenizer_free(tokenizer);
    return EXIT_DONE;
}

int command_plan(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    const struct option_group groups[] = {
        OPTION_GROUP("Options", context_options, &session_args),
        OPTION_GROUP(NULL, thread_options, &model_args),
        {NULL, batch_options + 1, 1, &session_args}, /* -b: nothing of the plan depends on it */
        OPTION_GROUP(NULL, cache_options, &session_args),
        {NULL, model_options, 3, &model_args}, /* -m, --isa, --quantize: nothing is pinned here */
    };
    const struct positional positionals[] = {{"MODEL", &model_args.path}};
    const struct command command = {
        .name = "plan",
        .arguments = "[options] MODEL",
        .summary = "memory and steps of a model, before loading it",
        .description = "Prints the steps of a forward pass and where each byte of memory goes. "
                       "Only the file's header is read. With --isa, the plan is that of a machine "
                       "with these instructions.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    const enum args_result parsed = args_parse(&command, argc, argv);
    if (parsed != ARGS_OK) return parsed == ARGS_HELP ? EXIT_DONE : EXIT_WRONG_USAGE;

    struct forecast forecast;
    const int status = forecast_open(&model_args, &session_args, &forecast);
    if (status != EXIT_DONE) return status;
    if (forecast.err.status != QN_OK) {
        out_error("%s", forecast.err.message);
        forecast_close(&forecast);
        return EXIT_FAILED;
    }
    qn_plan_print(&forecast.plan, stdout);
    const int printed = print_process(&forecast);
    forecast_close(&forecast);
    return printed;
}
