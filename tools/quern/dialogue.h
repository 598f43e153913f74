/* SPDX-License-Identifier: Apache-2.0
 *
 * How a conversation is written in tokens: ChatML frames, or plain text for models that know no
 * roles. What a user types never becomes a control token, so nobody can speak in another role.
 */
#ifndef QUERN_TOOLS_DIALOGUE_H
#define QUERN_TOOLS_DIALOGUE_H

#include "input.h"

struct dialogue {
    const struct quern_model *model;
    bool framed;         /* false: plain text */
    bool switched_off;   /* the model has the format, and the user does not want it */
    bool unknown_format; /* the model has a chat template of another kind */
    int32_t open, close; /* <|im_start|>, <|im_end|> */
    char *system;        /* the first message, or NULL */
    bool missed_system;  /* the chat template has one that could not be taken from it */
};

/* system: NULL for the chat template's own, "" for none. */
void dialogue_open(const struct quern_model *model, const char *system, struct dialogue *out);
void dialogue_close(struct dialogue *dialogue);

/* Appends the tokens of a message up to where the answer starts; `first` opens the conversation.
 * On failure, with its sentence printed, the list may have grown. */
bool dialogue_append(const struct dialogue *dialogue, bool first, const char *message, size_t size,
                     struct token_list *ids);

#endif
