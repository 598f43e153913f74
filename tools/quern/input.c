/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading files and ids.
 */
#include "input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

static bool no_memory(void) {
    out_error("no memory for the input");
    return false;
}

/* ---- files ------------------------------------------------------------------------------ */

/* Doubles the buffer as it fills: the size of a pipe is not known. */
static bool read_stream(FILE *file, const char *name, struct bytes *out) {
    size_t capacity = 1 << 16;
    struct bytes bytes = {.data = malloc(capacity)};
    while (bytes.data != NULL) {
        bytes.size += fread(bytes.data + bytes.size, 1, capacity - 1 - bytes.size, file);
        if (bytes.size < capacity - 1) break;
        capacity *= 2;
        char *larger = realloc(bytes.data, capacity);
        if (larger == NULL) free(bytes.data);
        bytes.data = larger;
    }
    if (bytes.data == NULL) return no_memory();
    if (ferror(file)) {
        out_error("cannot read %s: %s", name, strerror(errno));
        free(bytes.data);
        return false;
    }
    bytes.data[bytes.size] = '\0';
    *out = bytes;
    return true;
}

bool input_read(const char *path, struct bytes *out) {
    if (strcmp(path, "-") == 0) return read_stream(stdin, "standard input", out);
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        out_error("cannot open %s: %s", path, strerror(errno));
        return false;
    }
    const bool done = read_stream(file, path, out);
    fclose(file);
    return done;
}

bool input_copy(const char *text, struct bytes *out) {
    char *copy = strdup(text);
    if (copy == NULL) return no_memory();
    *out = (struct bytes){.data = copy, .size = strlen(copy)};
    return true;
}

bool input_read_prompt(const char *path, struct bytes *out) {
    if (!input_read(path, out)) return false;
    if (out->size > 0 && out->data[out->size - 1] == '\n') out->data[--out->size] = '\0';
    return true;
}

/* ---- ids -------------------------------------------------------------------------------- */

static bool reserve(struct token_list *ids, size_t n) {
    if (n > SIZE_MAX / sizeof *ids->data) return no_memory();
    int32_t *larger = realloc(ids->data, (n > 0 ? n : 1) * sizeof *larger);
    if (larger == NULL) return no_memory();
    ids->data = larger;
    return true;
}

static bool is_separator(char c) {
    return c == ',' || c == ' ' || (c >= '\t' && c <= '\r');
}

/* One id at text[at]; returns the position after it, or `at` when there is no id. */
static size_t parse_id(const char *text, size_t size, size_t at, int32_t *id) {
    int64_t value = 0;
    size_t end = at;
    while (end < size && text[end] >= '0' && text[end] <= '9' && value <= INT32_MAX)
        value = value * 10 + (text[end++] - '0');
    const bool ended = end == size || is_separator(text[end]);
    if (end == at || !ended || value > INT32_MAX) return at;
    *id = (int32_t)value;
    return end;
}

/* An id and its separator take two bytes, so a list has at most size / 2 + 1. */
bool input_parse_ids(const char *text, size_t size, const char *source, struct token_list *out) {
    struct token_list ids = {.data = NULL};
    if (!reserve(&ids, size / 2 + 1)) return false;
    for (size_t at = 0; at < size;) {
        if (is_separator(text[at])) {
            at++;
            continue;
        }
        const size_t end = parse_id(text, size, at, &ids.data[ids.n]);
        if (end == at) {
            size_t length = 0;
            while (at + length < size && length < 24 && !is_separator(text[at + length])) length++;
            out_error("%s: '%.*s' is not a token id", source, (int)length, text + at);
            free(ids.data);
            return false;
        }
        ids.n++;
        at = end;
    }
    *out = ids;
    return true;
}

bool input_check_ids(const struct token_list *ids, int n_vocab) {
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->data[i] >= 0 && ids->data[i] < n_vocab) continue;
        out_error("token id %d (number %zu of the list) is outside the vocabulary, 0 to %d",
                  ids->data[i], i + 1, n_vocab - 1);
        return false;
    }
    return true;
}

/* A text rarely has more tokens than bytes; where it does, the encoder has told how many. */
bool input_encode(const struct quern_model *model, const char *text, size_t size, unsigned flags,
                  struct token_list *ids) {
    size_t capacity = size + 16, n = 0;
    struct quern_error err;
    for (int attempt = 0; attempt < 2; attempt++) {
        if (!reserve(ids, ids->n + capacity)) return false;
        if (quern_encode(model, text, size, flags, ids->data + ids->n, capacity, &n, &err) ==
            QUERN_OK) {
            ids->n += n;
            return true;
        }
        if (n <= capacity) break;
        capacity = n;
    }
    out_error("%s", err.message);
    return false;
}

bool input_append(struct token_list *ids, int32_t id) {
    if (!reserve(ids, ids->n + 1)) return false;
    ids->data[ids->n++] = id;
    return true;
}
