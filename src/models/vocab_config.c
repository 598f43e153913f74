/* SPDX-License-Identifier: Apache-2.0
 *
 * What stands beside a vocabulary: special tokens, whether they go around a text, which of them
 * end an answer, the chat template.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/json_file.h"
#include "models/vocab_build.h"

enum { FILE_MAX = 64 << 20 };

/* ---- loading ------------------------------------------------------------------------------- */

static enum qn_status load(const struct qn_vocab_build *build, const char *name, json_t **out,
                           struct qn_error *err) {
    struct qn_error inner = {0};
    const enum qn_status status = qn_json_read(build->folder, name, FILE_MAX, out, &inner);
    if (status == QN_OK || status == QN_NOT_FOUND) return QN_OK;
    return qn_fail(err, status, "%s", inner.message);
}

static bool is_empty(const struct qn_vocab_build *build, const char *name) {
    char *path;
    struct stat info;
    if (asprintf(&path, "%s/%s", build->folder, name) < 0) return false;
    const bool empty = stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size == 0;
    free(path);
    return empty;
}

/* An empty file cannot be mapped; it is no template, and a model runs without. */
static enum qn_status load_template(struct qn_vocab_build *build, struct qn_error *err) {
    static const char name[] = "chat_template.jinja";
    struct qn_error inner = {0};
    const enum qn_status status = qn_build_map(build, name, &build->template_file, &inner);
    if (status == QN_OK || status == QN_NOT_FOUND) return QN_OK;
    if (status == QN_IO && is_empty(build, name)) return QN_OK;
    return qn_fail(err, status, "%s", inner.message);
}

/* The class that transformers takes for a model, where it is one that makes its own ByteLevel in
 * place of tokenizer.json's. A class that tokenizer_config.json names goes before the model's, but
 * for models whose files are known to name wrong ones. */
static const char *own_class(const struct qn_vocab_build *build, const json_t *config) {
    static const struct {
        const char *model, *class;
        bool always;
    } classes[] = {
        {"gpt2", "GPT2Tokenizer", false},       {"gpt_neox", "GPTNeoXTokenizer", false},
        {"starcoder2", "GPT2Tokenizer", false}, {"qwen2", "Qwen2Tokenizer", true},
        {"qwen3", "Qwen2Tokenizer", false},     {"qwen3_moe", "Qwen2Tokenizer", false},
        {"olmo2", "TokenizersBackend", true},
    };
    const char *class = json_string_value(json_object_get(build->settings, "tokenizer_class"));
    const char *const model = json_string_value(json_object_get(config, "model_type"));
    for (size_t i = 0; model && i < sizeof classes / sizeof *classes; i++)
        if (strcmp(model, classes[i].model) == 0 && (!class || classes[i].always))
            return classes[i].class;
    return class ? class : "";
}

/* Those classes go by the settings, whatever tokenizer.json says. */
static enum qn_status read_prefix_space(struct qn_vocab_build *build, const json_t *config,
                                        struct qn_error *err) {
    static const char *const classes[] = {"GPT2Tokenizer", "GPTNeoXTokenizer", "Qwen2Tokenizer"};
    const char *const class = own_class(build, config);
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const size_t length = strlen(classes[i]);
        if (strncmp(class, classes[i], length) == 0 &&
            (!class[length] || strcmp(class + length, "Fast") == 0))
            build->sets_prefix = true;
    }
    if (!build->sets_prefix) return QN_OK;
    qn_build_enter(build, "tokenizer_config.json");
    return qn_json_get_bool(build->settings, build->file, "add_prefix_space", &build->prefix_space,
                            err);
}

enum qn_status qn_vocab_config_load(struct qn_vocab_build *build, const json_t *config,
                                    struct qn_error *err) {
    QN_TRY(load(build, "tokenizer_config.json", &build->settings, err));
    QN_TRY(load(build, "special_tokens_map.json", &build->special_map, err));
    QN_TRY(read_prefix_space(build, config, err));
    return load_template(build, err);
}

/* ---- special tokens ------------------------------------------------------------------------ */

/* A token by name, which files give as a string or as an object with content. */
static const json_t *content_of(const json_t *value) {
    const json_t *const text = json_is_object(value) ? json_object_get(value, "content") : value;
    return json_is_string(text) ? text : NULL;
}

/* Makes the token of this text, which a file calls special, an added one; *id is -1 where there is
 * none: transformers would append it to the vocabulary, beyond what the model knows. */
static enum qn_status mark_special(struct qn_vocab_build *build, const json_t *text, int32_t *id,
                                   struct qn_error *err) {
    const struct qn_text name = text ? qn_text_of_json(text) : qn_text_of("");
    *id = name.size > 0 ? qn_token_map_find(&build->map, name.data, name.size) : -1;
    if (*id < 0 || build->added_at[*id] > 0) return QN_OK;
    build->kinds[*id] = QN_TOKEN_CONTROL;
    return qn_build_added(build, &(struct qn_added_token){.id = *id}, err);
}

static enum qn_status named_token(struct qn_vocab_build *build, const char *key, int32_t *id,
                                  struct qn_error *err) {
    const json_t *text = content_of(json_object_get(build->settings, key));
    if (!text) text = content_of(json_object_get(build->special_map, key));
    return mark_special(build, text, id, err);
}

/* Special tokens that have no role of their own. */
static enum qn_status read_more_special(struct qn_vocab_build *build, struct qn_error *err) {
    static const char *const roles[] = {"unk_token", "pad_token", "sep_token", "cls_token",
                                        "mask_token"};
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    int32_t id;
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        QN_TRY(named_token(build, roles[i], &id, err));
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const json_t *list = json_object_get(build->settings, lists[i]);
        if (!list) list = json_object_get(build->special_map, lists[i]);
        for (size_t k = 0; k < json_array_size(list); k++)
            QN_TRY(mark_special(build, content_of(json_array_get(list, k)), &id, err));
        const char *name;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)list, name, value)
            QN_TRY(mark_special(build, content_of(value), &id, err));
    }
    return QN_OK;
}

static enum qn_status read_added(struct qn_vocab_build *build, struct qn_error *err) {
    const json_t *const added = json_object_get(build->settings, "added_tokens_decoder");
    qn_build_expect(build, json_object_size(added));
    const char *key;
    json_t *entry;
    json_object_foreach((json_t *)(uintptr_t)added, key, entry) {
        char *end;
        const long long id = strtoll(key, &end, 10);
        if (*key == '\0' || *end != '\0')
            return qn_fail(err, QN_BAD_FILE, "%s: added_tokens_decoder has \"%.64s\" for an id",
                           build->file, key);
        QN_TRY(qn_vocab_json_added(build, entry, id, err));
    }
    return QN_OK;
}

/* ---- around a text ------------------------------------------------------------------------- */

/* As transformers does: beside a tokenizer.json, whose post-processor says it or which puts nothing
 * around a text, the settings do not count; and a token that does not exist is not put anywhere. */
static enum qn_status read_affixes(struct qn_vocab_build *build, struct qn_error *err) {
    if (build->tokenizer) return QN_OK;
    /* Llama's class has a BOS by default. */
    bool bos = build->piece_scores != NULL, eos = false;
    QN_TRY(qn_json_get_bool(build->settings, build->file, "add_bos_token", &bos, err));
    QN_TRY(qn_json_get_bool(build->settings, build->file, "add_eos_token", &eos, err));
    if (!(bos && build->vocab.bos < 0)) {
        build->recipe.n_prefix = bos;
        build->prefix[0] = build->vocab.bos;
    }
    if (!(eos && build->vocab.eos < 0)) {
        build->recipe.n_suffix = eos;
        build->suffix[0] = build->vocab.eos;
    }
    return QN_OK;
}

/* ---- ends ---------------------------------------------------------------------------------- */

static void add_end(struct qn_vocab_build *build, const json_t *id) {
    const long long value = json_is_integer(id) ? json_integer_value(id) : -1;
    if (value < 0 || value >= build->vocab.n_tokens || build->vocab.n_ends == QN_BUILD_ENDS) return;
    build->ends[build->vocab.n_ends++] = (int32_t)value;
}

/* "eos_token_id": a number or a list of numbers. */
static void read_ends(struct qn_vocab_build *build, const json_t *object) {
    const json_t *const eos = json_object_get(object, "eos_token_id");
    add_end(build, eos);
    for (size_t i = 0; i < json_array_size(eos); i++) add_end(build, json_array_get(eos, i));
}

/* A token id of config.json where tokenizer_config.json names no token. */
static void read_id(const struct qn_vocab_build *build, const json_t *config, const char *key,
                    int32_t *id) {
    const json_t *const value = json_object_get(config, key);
    if (*id >= 0 || !json_is_integer(value)) return;
    const long long number = json_integer_value(value);
    if (number >= 0 && number < build->vocab.n_tokens) *id = (int32_t)number;
}

/* ---- chat template ------------------------------------------------------------------------- */

/* A file of its own counts first; in tokenizer_config.json it is a string, or a list of named ones
 * of which "default" is meant. */
static void read_template(struct qn_vocab_build *build) {
    const json_t *value = json_object_get(build->settings, "chat_template");
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++) {
        const json_t *const entry = json_array_get(value, i);
        const char *const name = json_string_value(json_object_get(entry, "name"));
        if (name && strcmp(name, "default") == 0) value = json_object_get(entry, "template");
    }
    if (json_is_string(value)) build->vocab.chat_template = qn_text_of_json(value);
    const struct qn_file_map *const file = &build->template_file;
    if (file->data)
        build->vocab.chat_template = (struct qn_text){(const char *)file->data, file->size};
}

enum qn_status qn_vocab_config_apply(struct qn_vocab_build *build, const json_t *config,
                                     struct qn_error *err) {
    qn_build_enter(build, "tokenizer_config.json");
    QN_TRY(read_added(build, err));
    QN_TRY(qn_build_index(build, err));
    int32_t bos, eos;
    QN_TRY(named_token(build, "bos_token", &bos, err));
    QN_TRY(named_token(build, "eos_token", &eos, err));
    if (bos >= 0) build->vocab.bos = bos;
    if (eos >= 0) build->vocab.eos = eos;
    QN_TRY(read_more_special(build, err));
    read_id(build, config, "bos_token_id", &build->vocab.bos);
    read_id(build, config, "eos_token_id", &build->vocab.eos);
    QN_TRY(read_affixes(build, err));
    json_t *generation = NULL;
    QN_TRY(load(build, "generation_config.json", &generation, err));
    read_ends(build, generation);
    read_ends(build, config);
    json_decref(generation);
    if (build->vocab.eos < 0 && build->vocab.n_ends > 0) build->vocab.eos = build->ends[0];
    read_template(build);
    return QN_OK;
}
