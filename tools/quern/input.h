/* SPDX-License-Identifier: Apache-2.0
 *
 * What the user hands in: whole files, standard input, lists of token ids, text as ids.
 */
#ifndef QUERN_TOOLS_INPUT_H
#define QUERN_TOOLS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quern.h"

struct bytes {  /* free(data) */
    char *data; /* terminated */
    size_t size;
};

struct token_list { /* free(data) */
    int32_t *data;
    size_t n;
};

/* All functions: false with the sentence printed on failure, and nothing to free then. */

/* A whole file; "-" is standard input. */
bool input_read(const char *path, struct bytes *out);

/* A copy of a text. */
bool input_copy(const char *text, struct bytes *out);

/* A whole file less one newline at its end. */
bool input_read_prompt(const char *path, struct bytes *out);

/* Ids separated by commas or white space; `source` names them in the sentence. */
bool input_parse_ids(const char *text, size_t size, const char *source, struct token_list *out);

/* Every id is one of the model's vocabulary. */
bool input_check_ids(const struct token_list *ids, int n_vocab);

/* Appends a text's ids (quern_encode's flags). The list stays valid on failure. */
bool input_encode(const struct quern_model *model, const char *text, size_t size, unsigned flags,
                  struct token_list *ids);
/* Appends one id. The list stays valid on failure. */
bool input_append(struct token_list *ids, int32_t id);

#endif
