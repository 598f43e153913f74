/* SPDX-License-Identifier: Apache-2.0
 *
 * What a trained model says, greedily, and the ids of what it is asked.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"

/* Undoes \n, \t and \\ in place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        from++;
        *to++ = (char)(*from == 'n' ? '\n' : *from == 't' ? '\t' : *from);
    }
    *to = '\0';
}

/* Greedy continuation of a prompt as text, until an end token. */
static void generate(struct quern_model *model, const char *prompt, char *text, size_t capacity) {
    struct quern_session *const session = new_session(model, 0, 1, NULL);
    struct quern_model_info info;
    struct quern_text_stream stream = {.started = true}; /* it continues the prompt */
    int32_t ids[MAX_IDS], next;
    size_t n, used = 0;
    quern_model_info(model, &info);
    text[0] = '\0';
    if (quern_encode(model, prompt, strlen(prompt), QUERN_ENCODE_BOS | QUERN_ENCODE_SPECIAL, ids,
                     MAX_IDS, &n, NULL) != QUERN_OK)
        n = 0;
    for (int step = 0; step < 60 && n; step++) {
        eval(session, ids, NULL, n);
        const float *const logits = quern_session_logits(session, n - 1);
        next = 0;
        for (int i = 1; i < info.n_vocab; i++)
            if (logits[i] > logits[next]) next = i;
        if (quern_token_is_end(model, next) || used + 64 > capacity) break;
        used += quern_text_next(&stream, model, next, false, text + used, capacity - used - 1);
        text[used] = '\0';
        ids[0] = next;
        n = 1;
    }
    quern_session_free(session);
}

/* expected: ids separated by commas */
static void check_ids(struct quern_model *model, const char *name, const char *prompt,
                      char *expected) {
    int32_t ids[MAX_IDS];
    size_t n;
    bool equal =
        quern_encode(model, prompt, strlen(prompt), QUERN_ENCODE_BOS | QUERN_ENCODE_SPECIAL, ids,
                     MAX_IDS, &n, NULL) == QUERN_OK;
    char *rest = expected;
    for (size_t i = 0; equal && i < n; i++) {
        equal = strtol(rest, &rest, 10) == ids[i] && (*rest == ',') == (i + 1 < n);
        rest += *rest == ',';
    }
    check(equal && *rest == '\0', "%s: '%s' is not encoded as %s", name, prompt, expected);
}

void check_greedy(struct quern_model *model, const struct subject *subject) {
    char line[LINE_SIZE], text[LINE_SIZE];
    FILE *const file = fopen(subject->greedy, "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        char *const prompt = strtok(line, "\t"), *const expected = strtok(NULL, "\t");
        char *const ids = strtok(NULL, "\t");
        unescape(prompt);
        unescape(expected);
        check_ids(model, subject->name, prompt, ids);
        generate(model, prompt, text, sizeof text);
        check(strcmp(text, expected) == 0, "%s: '%s' continues '%s'; expected '%s'", subject->name,
              prompt, text, expected);
    }
    fclose(file);
}
