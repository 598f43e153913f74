/* SPDX-License-Identifier: Apache-2.0 */
#include "models/vocab_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

/* A file of a few bytes must not ask for memory for ids that it has no tokens for. Real ones have
 * gaps of up to some thousand. */
enum { TOKENS_MAX = 1 << 22, GAP_MAX = 1 << 16 };

struct qn_text qn_text_of_json(const json_t *string) {
    return (struct qn_text){json_string_value(string), json_string_length(string)};
}

struct qn_text qn_text_of(const char *string) {
    return (struct qn_text){string, strlen(string)};
}

enum qn_status qn_build_map(const struct qn_vocab_build *build, const char *name,
                            struct qn_file_map *map, struct qn_error *err) {
    char *path;
    if (asprintf(&path, "%s/%s", build->folder, name) < 0)
        return qn_fail(err, QN_NO_MEMORY, "no memory for a path");
    const enum qn_status status = qn_file_map_open(path, map, err);
    free(path);
    return status;
}

void *qn_build_alloc(struct qn_vocab_build *build, size_t size) {
    if (build->n_owned == QN_BUILD_OWNED) return NULL;
    void *const memory = malloc(size > 0 ? size : 1);
    if (memory) build->owned[build->n_owned++] = memory;
    return memory;
}

static bool grow(void **data, size_t n, size_t element) {
    void *const larger = realloc(*data, n * element);
    if (larger) *data = larger;
    return larger != NULL;
}

/* Makes room for ids up to `last`. */
static enum qn_status reserve(struct qn_vocab_build *build, uint32_t last, struct qn_error *err) {
    if (last < build->capacity) return QN_OK;
    uint32_t n = build->capacity > 0 ? build->capacity : 1024;
    while (n <= last) n *= 2;
    const struct {
        void *array;
        size_t element;
    } arrays[] = {{&build->tokens, sizeof *build->tokens},
                  {&build->kinds, 1},
                  {&build->foreign, 1},
                  {&build->scores, sizeof *build->scores},
                  {&build->added_at, sizeof *build->added_at}};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        void *data;
        memcpy(&data, arrays[i].array, sizeof data);
        const bool grown = grow(&data, n, arrays[i].element);
        memcpy(arrays[i].array, &data, sizeof data);
        if (!grown) return qn_fail(err, QN_NO_MEMORY, "%s: no memory for the tokens", build->file);
    }
    for (uint32_t id = build->capacity; id < n; id++) {
        build->tokens[id] = (struct qn_text){NULL, 0};
        build->kinds[id] = QN_TOKEN_UNUSED;
        build->foreign[id] = 1;
        build->scores[id] = 0;
        build->added_at[id] = 0;
    }
    build->capacity = n;
    return QN_OK;
}

static int shown(struct qn_text text) {
    return (int)(text.size < 64 ? text.size : 64);
}

void qn_build_enter(struct qn_vocab_build *build, const char *name) {
    build->name = name;
    snprintf(build->file, sizeof build->file, "%s/%s", build->folder, name);
}

enum qn_status qn_build_broken(const struct qn_vocab_build *build, const char *what,
                               struct qn_error *err) {
    return qn_fail(err, QN_BAD_FILE, "%s: %s", build->file, what);
}

void qn_build_expect(struct qn_vocab_build *build, size_t n) {
    build->n_expected = build->vocab.n_tokens + n;
}

enum qn_status qn_build_token(struct qn_vocab_build *build, int64_t id, struct qn_text text,
                              enum qn_token_kind kind, struct qn_error *err) {
    const int64_t n = build->vocab.n_tokens;
    const int64_t all = n > (int64_t)build->n_expected ? n : (int64_t)build->n_expected;
    if (id < 0 || id >= TOKENS_MAX || id > all + GAP_MAX)
        return qn_fail(err, QN_BAD_FILE,
                       "%s: token \"%.*s\" has id %lld; expected at most %lld for %lld tokens",
                       build->file, shown(text), text.data, (long long)id, (long long)all + GAP_MAX,
                       (long long)all);
    QN_TRY(reserve(build, (uint32_t)id, err));
    const struct qn_text other = build->tokens[id];
    if (other.data && (other.size != text.size || memcmp(other.data, text.data, text.size) != 0))
        return qn_fail(err, QN_BAD_FILE, "%s: \"%.*s\" and \"%.*s\" both have id %lld", build->file,
                       shown(other), other.data, shown(text), text.data, (long long)id);
    build->tokens[id] = text;
    build->kinds[id] = (uint8_t)kind;
    if (id >= n) build->vocab.n_tokens = (uint32_t)id + 1;
    return QN_OK;
}

bool qn_build_is_beyond(const struct qn_vocab_build *build, int64_t id) {
    return id >= build->n_rows;
}

enum qn_status qn_build_added(struct qn_vocab_build *build, const struct qn_added_token *added,
                              struct qn_error *err) {
    uint32_t *const at = &build->added_at[added->id];
    if (*at > 0) {
        build->added[*at - 1] = *added;
        return QN_OK;
    }
    if (build->recipe.n_added == build->added_capacity) {
        const size_t n = build->added_capacity > 0 ? 2 * build->added_capacity : 64;
        void *data = build->added;
        const bool grown = grow(&data, n, sizeof *build->added);
        build->added = data;
        if (!grown)
            return qn_fail(err, QN_NO_MEMORY, "%s: no memory for the added tokens", build->file);
        build->added_capacity = n;
    }
    build->added[build->recipe.n_added++] = *added;
    *at = (uint32_t)build->recipe.n_added;
    return QN_OK;
}

int32_t qn_build_find(const struct qn_vocab_build *build, struct qn_text text) {
    for (uint32_t id = 0; id < build->vocab.n_tokens; id++) {
        const struct qn_text token = build->tokens[id];
        if (token.data && token.size == text.size && memcmp(token.data, text.data, text.size) == 0)
            return (int32_t)id;
    }
    return -1;
}

/* Ids without a token exist, but no text leads to them and they stand for none. */
enum qn_status qn_build_index(struct qn_vocab_build *build, struct qn_error *err) {
    const uint32_t n = build->vocab.n_tokens;
    for (uint32_t id = 0; id < n; id++)
        if (!build->tokens[id].data) build->tokens[id] = qn_text_of("");
    return qn_token_map_init(&build->map, build->tokens, n, qn_map_secret(), err);
}

enum qn_status qn_build_step(struct qn_vocab_build *build, bool normalizer,
                             const struct qn_text_step *step, struct qn_error *err) {
    size_t *const n = normalizer ? &build->recipe.n_normalizers : &build->recipe.n_splitters;
    if (*n == QN_BUILD_STEPS)
        return qn_fail(err, QN_UNSUPPORTED, "%s: %s has more than %d steps", build->file,
                       normalizer ? "normalizer" : "pre_tokenizer", QN_BUILD_STEPS);
    (normalizer ? build->normalizers : build->splitters)[(*n)++] = *step;
    return QN_OK;
}

enum qn_status qn_build_mark(const struct qn_vocab_build *build, const json_t *metaspace,
                             struct qn_text *mark, struct qn_error *err) {
    const json_t *const text = json_object_get(metaspace, "replacement");
    *mark = json_is_string(text) ? qn_text_of_json(text) : qn_text_of("");
    if (mark->size > 0 && qn_utf8_length((unsigned char)mark->data[0]) == mark->size) return QN_OK;
    return qn_build_broken(build, "a Metaspace's replacement is not one character", err);
}

void qn_build_free(struct qn_vocab_build *build) {
    qn_token_map_free(&build->map);
    free(build->tokens);
    free(build->kinds);
    free(build->foreign);
    free(build->scores);
    free(build->added_at);
    free(build->piece_scores);
    free(build->merges);
    free(build->added);
    json_decref(build->tokenizer);
    json_decref(build->settings);
    json_decref(build->special_map);
    json_decref(build->added_map);
    json_decref(build->merges_vocab);
    qn_file_map_close(&build->merges_file);
    qn_file_map_close(&build->proto_file);
    qn_file_map_close(&build->template_file);
    for (size_t i = 0; i < build->n_owned; i++) free(build->owned[i]);
}
