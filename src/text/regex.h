/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions of vocabularies' own, over PCRE2. They are written for Oniguruma, which
 * Hugging Face's tokenizers use, so they are translated first; what means something else in PCRE2
 * and cannot be translated is refused.
 */
#ifndef QN_TEXT_REGEX_H
#define QN_TEXT_REGEX_H

#include <stdbool.h>

#include "base/status.h"
#include "text/steps.h"

struct qn_regex;

/* Errors: QN_UNSUPPORTED (says where and why), QN_NO_MEMORY. */
enum qn_status qn_regex_new(struct qn_text pattern, struct qn_regex **out, struct qn_error *err);
void qn_regex_free(struct qn_regex *regex); /* NULL is allowed */

/* A walk over the matches in text[0, size), which is valid UTF-8 and is all that the pattern
 * sees. A match that is empty and touches the one before does not count. */
struct qn_regex_walk {
    const struct qn_regex *regex;
    const char *text;
    size_t size;
    size_t at, last_end; /* start with 0 */
    bool any;            /* a match was found: last_end is its end; start with false */
};
/* Work memory and the budget of steps, made by the first match (start with NULL) and shared by all
 * walks of one text. */
struct qn_regex_work;
void qn_regex_work_free(struct qn_regex_work *work); /* NULL is allowed */

/* *found false: there is no other. Walks that share work memory may together take a number of steps
 * for each byte of their texts, and a match a fixed amount of memory: QN_UNSUPPORTED beyond.
 * QN_NO_MEMORY. */
enum qn_status qn_regex_next(struct qn_regex_walk *walk, struct qn_regex_work **work, size_t *begin,
                             size_t *end, bool *found, struct qn_error *err);

#endif
