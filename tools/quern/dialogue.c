/* SPDX-License-Identifier: Apache-2.0
 *
 * ChatML: <|im_start|>role\ntext<|im_end|>\n
 */
#include "dialogue.h"

#include <stdlib.h>
#include <string.h>

#include "output.h"

#define OPEN  "<|im_start|>"
#define CLOSE "<|im_end|>"

/* ---- the model's own template ----------------------------------------------------------- */

/* A template is a program that prints the frames from string literals, in which a newline is
 * written \n; text that is free of quotes and braces up to the frame's end is one literal. */
char *dialogue_default_system(const char *chat_template, size_t size) {
    static const char start[] = OPEN "system";
    const char *const end = chat_template + size;
    for (const char *at = chat_template;
         (at = memmem(at, (size_t)(end - at), start, sizeof start - 1)) != NULL;) {
        at += sizeof start - 1;
        const size_t left = (size_t)(end - at);
        const size_t newline = left > 2 && memcmp(at, "\\n", 2) == 0 ? 2 : left > 0 && *at == '\n';
        if (newline == 0) continue;
        const char *const text = at + newline;
        const char *const close = memmem(text, (size_t)(end - text), CLOSE, sizeof CLOSE - 1);
        if (close == NULL) return NULL;
        const size_t length = (size_t)(close - text);
        bool literal = length > 0;
        for (size_t i = 0; i < length; i++)
            if (strchr("'\"{}\\", text[i]) != NULL) literal = false;
        if (literal) return strndup(text, length);
    }
    return NULL;
}

void dialogue_open(const struct quern_model *model, const char *system, struct dialogue *out) {
    const char *const text = quern_model_chat_template(model);
    *out = (struct dialogue){.model = model,
                             .open = quern_token_find(model, OPEN),
                             .close = quern_token_find(model, CLOSE)};
    const bool tokens = out->open >= 0 && out->close >= 0;
    out->framed = tokens && (text == NULL || strstr(text, OPEN) != NULL);
    out->unknown_format = text != NULL && !out->framed;
    if (system == NULL)
        out->system = text != NULL ? dialogue_default_system(text, strlen(text)) : NULL;
    else
        out->system = *system != '\0' ? strdup(system) : NULL;
}

void dialogue_close(struct dialogue *dialogue) {
    free(dialogue->system);
    dialogue->system = NULL;
}

/* ---- frames ----------------------------------------------------------------------------- */

/* Text behind other tokens. */
static bool append_text(const struct dialogue *d, const char *text, size_t size,
                        struct token_list *ids) {
    return input_encode(d->model, text, size, QUERN_ENCODE_CONTINUED, ids);
}

/* <|im_start|>role\ntext, role and text encoded in one piece as the whole frame would be. */
static bool append_message(const struct dialogue *d, const char *role, const char *text,
                           size_t size, struct token_list *ids) {
    const size_t before = strlen(role) + 1;
    char *joined = malloc(before + size + 1);
    if (joined == NULL) {
        out_error("no memory for the message");
        return false;
    }
    memcpy(joined, role, before - 1);
    joined[before - 1] = '\n';
    if (size > 0) memcpy(joined + before, text, size);
    const bool done = input_append(ids, d->open) && append_text(d, joined, before + size, ids);
    free(joined);
    return done;
}

static bool append_close(const struct dialogue *d, struct token_list *ids) {
    return input_append(ids, d->close) && append_text(d, "\n", 1, ids);
}

bool dialogue_append(const struct dialogue *d, bool first, const char *message, size_t size,
                     struct token_list *ids) {
    if (!d->framed) {
        return first ? input_encode(d->model, message, size, QUERN_ENCODE_BOS, ids)
                     : append_text(d, message, size, ids);
    }
    if (first) {
        if (!input_encode(d->model, "", 0, QUERN_ENCODE_BOS, ids)) return false;
        if (d->system != NULL && (!append_message(d, "system", d->system, strlen(d->system), ids) ||
                                  !append_close(d, ids)))
            return false;
    } else if (!append_close(d, ids)) { /* of the answer before */
        return false;
    }
    return append_message(d, "user", message, size, ids) && append_close(d, ids) &&
           append_message(d, "assistant", NULL, 0, ids);
}
