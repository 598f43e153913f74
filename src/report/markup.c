/* SPDX-License-Identifier: Apache-2.0 */
#include "report/markup.h"

#include <string.h>

#include "text/utf8.h"

static const char *entity_of(int32_t codepoint) {
    switch (codepoint) {
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '&':
        return "&amp;";
    case '"':
        return "&quot;";
    default:
        return NULL;
    }
}

/* Of XML, which takes less than HTML: no control characters, and not the last two of the plane. */
static bool is_character(int32_t codepoint) {
    return codepoint >= ' ' ? codepoint != 0xFFFE && codepoint != 0xFFFF
                            : codepoint == '\t' || codepoint == '\n' || codepoint == '\r';
}

void qn_put_text(const char *text, FILE *out) {
    size_t left = strlen(text), length;
    for (; left > 0; text += length, left -= length) {
        int32_t codepoint; /* -1 for bytes that are not UTF-8 */
        bool truncated;
        length = qn_utf8_decode(text, left, &codepoint, &truncated);
        const char *const entity = entity_of(codepoint);
        if (entity)
            fputs(entity, out);
        else if (is_character(codepoint))
            fwrite(text, 1, length, out);
        else
            fputs(QN_REPLACEMENT_UTF8, out);
    }
}

/* Outside of strings JSON has no '<'. */
void qn_put_json(const char *json, FILE *out) {
    for (; *json; json++)
        if (*json == '<')
            fputs("\\u003c", out);
        else
            fputc(*json, out);
}
