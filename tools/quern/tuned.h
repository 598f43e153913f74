/* SPDX-License-Identifier: Apache-2.0
 *
 * What 'quern tune' found, put to use by the other subcommands.
 */
#ifndef QUERN_TOOLS_TUNED_H
#define QUERN_TOOLS_TUNED_H

#include "options.h"
#include "report/tune_store.h"

/* The header of a model, and what its settings are kept under. */
struct tuned_key {
    char folder[4096];
    struct qn_tune_key key;
};

/* EXIT_DONE, or another exit status with the sentence printed. The model's header is read. */
int tuned_key_read(const struct model_args *args, struct tuned_key *out);

/* Fills in what the arguments leave to the engine (0), where the model was tuned here; nothing with
 * --no-tune. -t takes the place of what was found for the prompt too, as it does without tuning.
 * One line on stderr says so, but not when `quiet`. session: NULL where ubatches are no concern. */
void tuned_apply(struct model_args *model, struct session_args *session, bool quiet);

#endif
