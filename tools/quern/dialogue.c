/* SPDX-License-Identifier: Apache-2.0
 *
 * ChatML: <|im_start|>role\ntext<|im_end|>\n
 */
#include "dialogue.h"

#include <stdlib.h>
#include <string.h>

#include "chat_template.h"
#include "output.h"

void dialogue_open(const struct quern_model *model, const char *system, struct dialogue *out) {
    const char *const text = quern_model_chat_template(model);
    *out = (struct dialogue){.model = model,
                             .open = quern_token_find(model, CHATML_OPEN),
                             .close = quern_token_find(model, CHATML_CLOSE)};
    const bool tokens = out->open >= 0 && out->close >= 0;
    out->framed = tokens && (text == NULL || strstr(text, CHATML_OPEN) != NULL);
    out->unknown_format = text != NULL && !out->framed;
    if (system == NULL)
        out->system = text != NULL ? chat_template_system(text, &out->missed_system) : NULL;
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
