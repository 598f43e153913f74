/* SPDX-License-Identifier: Apache-2.0
 *
 * quern plan: what a model would do and need, from its header alone.
 */
#include "plan/plan.h"

#include <stdio.h>
#include <stdlib.h>

#include "commands.h"
#include "forecast.h"
#include "options.h"
#include "output.h"

int command_plan(int argc, char **argv) {
    struct model_args model_args = {.path = NULL};
    struct session_args session_args = session_args_default();
    const struct option_group groups[] = {
        OPTION_GROUP("Options", context_options, &session_args),
        OPTION_GROUP(NULL, thread_options, &model_args),
        {NULL, batch_options + 1, 1, &session_args}, /* -b: nothing of the plan depends on it */
        OPTION_GROUP(NULL, cache_options, &session_args),
        {NULL, model_options, 2, &model_args}, /* -m, --isa: nothing is pinned here */
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
    forecast_close(&forecast);
    return EXIT_DONE;
}
