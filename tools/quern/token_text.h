/* SPDX-License-Identifier: Apache-2.0
 *
 * Text of tokens as they come, however long their pieces are.
 */
#ifndef QUERN_TOOLS_TOKEN_TEXT_H
#define QUERN_TOOLS_TOKEN_TEXT_H

#include "quern.h"

struct token_text { /* zero-initialise; free(data) */
    struct quern_text_stream stream;
    char *data; /* [n]: what the last id gave */
    size_t n, capacity;
};

/* The text of the next id; -1 ends the stream. False with the sentence printed on failure. */
bool token_text_next(struct token_text *text, const struct quern_model *model, int32_t id,
                     bool special);

#endif
