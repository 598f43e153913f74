/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds control and user-defined tokens in text: leftmost first, longest first.
 */
#ifndef QN_TEXT_SPECIAL_H
#define QN_TEXT_SPECIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer.h"

/* A search takes time proportional to the text times the longest of these tokens, so that has a
 * limit; real ones have up to some 50 bytes. */
enum { QN_SPECIAL_MAX = 1024 };

struct qn_special {
    int32_t *ids; /* [n] sorted by the bytes of their tokens */
    size_t n;
    size_t first[257]; /* ids[first[b] .. first[b + 1]) start with byte b */
    const struct qn_text *tokens;
    const uint8_t *kinds;
};

/* tokens and kinds are the caller's and stay. unknown: the id of the unknown token or -1. */
enum qn_status qn_special_init(struct qn_special *special, const struct qn_text *tokens,
                               const uint8_t *kinds, size_t n_tokens, int32_t unknown,
                               struct qn_error *err);
void qn_special_free(struct qn_special *special);

/* The first token in text[at, end): its position, or `end` when there is none; *id is the token.
 * control: control tokens count too. */
size_t qn_special_find(const struct qn_special *special, const char *text, size_t at, size_t end,
                       bool control, int32_t *id);

#endif
