/* SPDX-License-Identifier: Apache-2.0
 *
 * Text of a model: the ids of awkward strings, and what a trained one says greedily.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"

enum { MAX_TEXT_IDS = 256 };

struct id_list {
    int32_t ids[MAX_TEXT_IDS];
    size_t n;
};

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

/* The next field of a line of columns between tabs, "" behind the last. */
static char *next_field(char **line) {
    char *const field = strsep(line, "\t\n");
    return field ? field : "";
}

/* "1,2,3" */
static struct id_list parse_ids(const char *text) {
    struct id_list list = {.n = 0};
    char *end;
    for (; *text && list.n < MAX_TEXT_IDS; text = *end == ',' ? end + 1 : end)
        list.ids[list.n++] = (int32_t)strtol(text, &end, 10);
    return list;
}

static bool equal(const struct id_list *a, const struct id_list *b) {
    return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0;
}

static struct id_list encode(struct quern_model *model, const char *text, unsigned flags) {
    struct id_list list = {.n = 0};
    if (quern_encode(model, text, strlen(text), flags, list.ids, MAX_TEXT_IDS, &list.n, NULL) !=
        QUERN_OK)
        list.n = 0;
    return list;
}

/* Greedy continuation of a prompt up to an end token, as ids with it and as text without it. */
static struct id_list generate(struct quern_model *model, const struct id_list *prompt, char *text,
                               size_t capacity) {
    struct quern_session *const session = new_session(model, 0, 1, NULL);
    struct quern_model_info info;
    struct quern_text_stream stream = {.started = true}; /* it continues the prompt */
    struct id_list new = {.n = 0};
    const int32_t *ids = prompt->ids;
    size_t n = prompt->n, used = 0;
    quern_model_info(model, &info);
    text[0] = '\0';
    while (n && new.n < MAX_IDS && used + 64 < capacity) {
        eval(session, ids, NULL, n);
        const float *const logits = quern_session_logits(session, n - 1);
        int32_t next = 0;
        for (int i = 1; i < info.n_vocab; i++)
            if (logits[i] > logits[next]) next = i;
        new.ids[new.n++] = next;
        if (quern_token_is_end(model, next)) break;
        used += quern_text_next(&stream, model, next, false, text + used, capacity - used - 1);
        text[used] = '\0';
        ids = new.ids + new.n - 1;
        n = 1;
    }
    quern_session_free(session);
    return new;
}

void check_greedy(struct quern_model *model, const struct subject *subject) {
    char line[LINE_SIZE], text[LINE_SIZE];
    FILE *const file = fopen(subject->greedy, "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        char *rest = line, *const prompt = next_field(&rest), *const expected = next_field(&rest);
        const struct id_list ids = parse_ids(next_field(&rest)), new = parse_ids(next_field(&rest));
        unescape(prompt);
        unescape(expected);
        const struct id_list encoded =
            encode(model, prompt, QUERN_ENCODE_BOS | QUERN_ENCODE_SPECIAL);
        check(equal(&encoded, &ids), "%s: '%s' has other ids than expected", subject->name, prompt);
        const struct id_list found = generate(model, &ids, text, sizeof text);
        check(strcmp(text, expected) == 0, "%s: '%s' continues '%s'; expected '%s'", subject->name,
              prompt, text, expected);
        check(equal(&found, &new), "%s: '%s' continues by other ids than expected", subject->name,
              prompt);
    }
    fclose(file);
}

void check_words(struct quern_model *model, const struct subject *subject) {
    char line[LINE_SIZE];
    FILE *const file = fopen(subject->words, "r");
    check(file != NULL, "%s: cannot open", subject->words);
    while (file && fgets(line, sizeof line, file)) {
        char *rest = line;
        if (strcmp(next_field(&rest), subject->file) != 0) continue;
        char *const text = next_field(&rest);
        const struct id_list expected = parse_ids(next_field(&rest));
        unescape(text);
        const struct id_list found = encode(model, text, 0);
        check(equal(&found, &expected), "%s: '%s' has other ids than expected", subject->name,
              text);
    }
    if (file) fclose(file);
}
