/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of prompts with expected answers.
 */
#ifndef QUERN_TOOLS_VERIFY_PROMPTS_H
#define QUERN_TOOLS_VERIFY_PROMPTS_H

#include <stdbool.h>

#include "input.h"
#include "report/verify.h"

struct verify_prompts {
    struct bytes bytes;             /* the file, cut into strings */
    struct qn_verify_prompt *items; /* [n] */
    size_t n;
};

/* Lines "prompt<TAB>expected" or just "prompt"; \n, \t and \\ stand for newline, tab and backslash;
 * empty lines and those that start with # are left out. False with the sentence printed, and
 * nothing to free, on failure. */
bool verify_prompts_read(const char *path, struct verify_prompts *out);
void verify_prompts_free(struct verify_prompts *prompts); /* idempotent */

#endif
