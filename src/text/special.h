/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds added tokens in text: leftmost first, longest first.
 */
#ifndef QN_TEXT_SPECIAL_H
#define QN_TEXT_SPECIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/steps.h"

/* A search takes time proportional to the text times the longest of these texts, so that has a
 * limit; real ones have up to some 50 bytes. */
enum { QN_SPECIAL_MAX = 1024 };

struct qn_special_token {
    struct qn_text text;
    int32_t id;
    bool control; /* counts only when special tokens are parsed */
    bool single_word, lstrip, rstrip;
};

struct qn_special {
    struct qn_special_token *tokens; /* [n] sorted by text; of equal ones the last is found */
    size_t n;
    size_t first[257]; /* tokens[first[b] .. first[b + 1]) start with byte b */
};

/* Takes tokens[n] over, which free() can free; their texts are the caller's and stay. Drops
 * those that no text can hold: empty ones and such as are not valid UTF-8. */
enum qn_status qn_special_init(struct qn_special *special, struct qn_special_token *tokens,
                               size_t n, struct qn_error *err);
void qn_special_free(struct qn_special *special);

/* A walk over the tokens that text[0, size), size > 0, starts with, shorter ones first. */
struct qn_special_prefix {
    size_t low, high, depth; /* start with 0 */
};
const struct qn_special_token *qn_special_prefix_next(const struct qn_special *special,
                                                      struct qn_special_prefix *prefix,
                                                      const char *text, size_t size);

/* A walk over a text: stretches of plain text, each but the last with a token behind it. */
struct qn_special_walk {
    const char *text;
    size_t size;
    bool control;     /* control tokens count; else their texts are plain */
    size_t at, taken; /* start with 0; nothing before taken is left */
};
/* The next plain stretch, text[*begin, *end), perhaps empty, and the token behind it, or NULL at
 * the end of the text. */
const struct qn_special_token *qn_special_next(const struct qn_special *special,
                                               struct qn_special_walk *walk, size_t *begin,
                                               size_t *end);

#endif
