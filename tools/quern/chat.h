/* SPDX-License-Identifier: Apache-2.0
 *
 * A conversation at the terminal.
 */
#ifndef QUERN_TOOLS_CHAT_H
#define QUERN_TOOLS_CHAT_H

#include "dialogue.h"
#include "generate.h"

/* Until the user leaves. Returns the program's exit status. */
int chat_run(struct generator *generator, const struct dialogue *dialogue);

#endif
