/* SPDX-License-Identifier: Apache-2.0 */
#include "token_text.h"

#include <stdlib.h>

#include "output.h"

bool token_text_next(struct token_text *text, const struct quern_model *model, int32_t id,
                     bool special) {
    size_t size;
    quern_token_bytes(model, id, special, &size);
    const size_t needed = 3 * size + 3; /* each byte may become U+FFFD, and one that was held */
    if (needed > text->capacity) {
        char *const data = realloc(text->data, needed);
        if (data == NULL) {
            out_error("no memory for the %zu bytes of token %d", size, id);
            return false;
        }
        text->data = data;
        text->capacity = needed;
    }
    text->n = quern_text_next(&text->stream, model, id, special, text->data, text->capacity);
    return true;
}
