/* SPDX-License-Identifier: Apache-2.0
 *
 * The run that is profiled: a prompt and tokens after it, some times over, with all that a program
 * does for an answer.
 */
#ifndef QUERN_TOOLS_PROFILE_RUN_H
#define QUERN_TOOLS_PROFILE_RUN_H

#include "input.h"
#include "options.h"
#include "report/profile.h"

struct profile_run {
    struct quern_model *model;
    struct quern_session *session;
    struct quern_sampler *sampler;
    struct token_list prompt;
    int n_gen, repeats;
};

/* A session as long as the run needs. prompt: text, or NULL for n_prompt random tokens. EXIT_DONE,
 * or another exit status with the sentence printed. */
int profile_run_open(struct quern_model *model, const struct session_args *session_args,
                     const char *prompt, int n_prompt, struct profile_run *run);
void profile_run_close(struct profile_run *run);

/* Runs once to warm up, then `repeats` times with the recorder on. */
int profile_run_record(struct profile_run *run, struct qn_profile *profile);

/* What recording costs: tokens decoded at one position, with and without it in turn (A B B A). The
 * comparison is of times in ns, a without and b with. */
int profile_run_overhead(struct profile_run *run, struct qn_comparison *overhead);

#endif
