/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.json: the model's tokens and merges, and the added tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/json_file.h"
#include "models/vocab_build.h"

/* ---- BPE ----------------------------------------------------------------------------------- */

static enum qn_status read_vocab(struct qn_vocab_build *build, const json_t *model,
                                 struct qn_error *err) {
    const json_t *const vocab = json_object_get(model, "vocab");
    if (!json_is_object(vocab)) return qn_build_broken(build, "model.vocab is not an object", err);
    qn_build_expect(build, json_object_size(vocab));
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)vocab, key, value) {
        if (!json_is_integer(value))
            return qn_build_broken(build, "an id of model.vocab is no integer", err);
        const int64_t id = json_integer_value(value);
        QN_TRY(qn_build_token(build, id, qn_text_of(key), QN_TOKEN_NORMAL, err));
        build->foreign[id] = 0;
    }
    return QN_OK;
}

/* "left right", or [left, right]. */
static enum qn_status read_merge(const struct qn_vocab_build *build, const json_t *merge, size_t i,
                                 struct qn_text *pair, struct qn_error *err) {
    if (json_is_array(merge) && json_array_size(merge) == 2 &&
        json_is_string(json_array_get(merge, 0)) && json_is_string(json_array_get(merge, 1))) {
        pair[0] = qn_text_of_json(json_array_get(merge, 0));
        pair[1] = qn_text_of_json(json_array_get(merge, 1));
        return QN_OK;
    }
    const struct qn_text text = json_is_string(merge) ? qn_text_of_json(merge) : qn_text_of("");
    if (qn_vocab_split_merge(text, pair)) return QN_OK;
    return qn_fail(err, QN_BAD_FILE,
                   "%s: model.merges[%zu] is \"%.64s\"; expected two tokens and a space",
                   build->file, i, text.data);
}

static enum qn_status read_merges(struct qn_vocab_build *build, const json_t *model,
                                  struct qn_error *err) {
    const json_t *const merges = json_object_get(model, "merges");
    if (!json_is_array(merges)) return qn_build_broken(build, "model.merges is not an array", err);
    const size_t n = json_array_size(merges);
    build->merges = malloc((n + 1) * 2 * sizeof *build->merges);
    if (!build->merges) return qn_fail(err, QN_NO_MEMORY, "%s: no memory for merges", build->file);
    for (size_t i = 0; i < n; i++)
        QN_TRY(read_merge(build, json_array_get(merges, i), i, build->merges + 2 * i, err));
    build->vocab.n_merges = (uint32_t)n;
    return QN_OK;
}

/* What BPE models of other kinds than a language model's have. */
static enum qn_status refuse_options(const struct qn_vocab_build *build, const json_t *model,
                                     struct qn_error *err) {
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof affixes / sizeof *affixes; i++) {
        const char *affix = "";
        QN_TRY(qn_json_get_string(model, build->file, affixes[i], &affix, err));
        if (*affix)
            return qn_fail(err, QN_UNSUPPORTED, "%s: model.%s '%.32s' is not supported",
                           build->file, affixes[i], affix);
    }
    float dropout = 0;
    QN_TRY(qn_json_get_float(model, build->file, "dropout", 0, 1, &dropout, err));
    if (dropout > 0)
        return qn_fail(err, QN_UNSUPPORTED, "%s: model.dropout is not supported", build->file);
    return QN_OK;
}

static enum qn_status read_bpe(struct qn_vocab_build *build, const json_t *model,
                               struct qn_error *err) {
    struct qn_recipe *const recipe = &build->recipe;
    build->vocab.model = QN_VOCAB_BPE;
    QN_TRY(refuse_options(build, model, err));
    QN_TRY(qn_json_get_bool(model, build->file, "fuse_unk", &recipe->fuse_unknown, err));
    QN_TRY(qn_json_get_bool(model, build->file, "byte_fallback", &recipe->byte_fallback, err));
    QN_TRY(qn_json_get_bool(model, build->file, "ignore_merges", &recipe->ignore_merges, err));
    QN_TRY(read_vocab(build, model, err));
    QN_TRY(read_merges(build, model, err));
    const char *unknown = NULL;
    QN_TRY(qn_json_get_string(model, build->file, "unk_token", &unknown, err));
    if (!unknown) return QN_OK;
    build->vocab.unknown = qn_build_find(build, qn_text_of(unknown));
    if (build->vocab.unknown < 0)
        return qn_fail(err, QN_BAD_FILE, "%s: model.unk_token '%.64s' is not in model.vocab",
                       build->file, unknown);
    return QN_OK;
}

/* ---- Unigram ------------------------------------------------------------------------------- */

static enum qn_status read_unigram(struct qn_vocab_build *build, const json_t *model,
                                   struct qn_error *err) {
    const json_t *const vocab = json_object_get(model, "vocab");
    build->vocab.model = QN_VOCAB_UNIGRAM;
    build->recipe.fuse_unknown = true;
    if (!json_is_array(vocab)) return qn_build_broken(build, "model.vocab is not an array", err);
    for (size_t id = 0; id < json_array_size(vocab); id++) {
        const json_t *const entry = json_array_get(vocab, id);
        const json_t *const text = json_array_get(entry, 0), *const score =
                                                                 json_array_get(entry, 1);
        if (json_array_size(entry) != 2 || !json_is_string(text) || !json_is_number(score))
            return qn_fail(err, QN_BAD_FILE, "%s: model.vocab[%zu] is no token with a score",
                           build->file, id);
        QN_TRY(qn_build_token(build, (int64_t)id, qn_text_of_json(text), QN_TOKEN_NORMAL, err));
        build->foreign[id] = 0;
        build->scores[id] = json_number_value(score);
    }
    int unknown = -1;
    QN_TRY(qn_json_get_int(model, build->file, "unk_id", 0, (long long)build->vocab.n_tokens - 1,
                           &unknown, err));
    build->vocab.unknown = unknown;
    return qn_json_get_bool(model, build->file, "byte_fallback", &build->recipe.byte_fallback, err);
}

/* ---- all ----------------------------------------------------------------------------------- */

static enum qn_status read_model(struct qn_vocab_build *build, struct qn_error *err) {
    const json_t *const model = json_object_get(build->tokenizer, "model");
    if (!json_is_object(model)) return qn_build_broken(build, "model is not an object", err);
    const char *type = json_is_array(json_object_get(model, "merges")) ? "BPE" : "Unigram";
    QN_TRY(qn_json_get_string(model, build->file, "type", &type, err));
    if (strcmp(type, "BPE") == 0) return read_bpe(build, model, err);
    if (strcmp(type, "Unigram") == 0) return read_unigram(build, model, err);
    return qn_fail(err, QN_UNSUPPORTED, "%s: model '%.64s' is not supported; BPE and Unigram are",
                   build->file, type);
}

enum qn_status qn_vocab_json_added(struct qn_vocab_build *build, const json_t *entry, int64_t id,
                                   struct qn_error *err) {
    const json_t *const content = json_object_get(entry, "content");
    if (!json_is_string(content))
        return qn_build_broken(build, "an added token has no content", err);
    if (json_string_length(content) == 0 || qn_build_is_beyond(build, id)) return QN_OK;
    bool special = false;
    struct qn_added_token added = {.normalized = true};
    QN_TRY(qn_json_get_bool(entry, build->file, "special", &special, err));
    added.normalized = !special;
    QN_TRY(qn_json_get_bool(entry, build->file, "normalized", &added.normalized, err));
    QN_TRY(qn_json_get_bool(entry, build->file, "single_word", &added.single_word, err));
    QN_TRY(qn_json_get_bool(entry, build->file, "lstrip", &added.lstrip, err));
    QN_TRY(qn_json_get_bool(entry, build->file, "rstrip", &added.rstrip, err));
    QN_TRY(qn_build_token(build, id, qn_text_of_json(content),
                          special ? QN_TOKEN_CONTROL : QN_TOKEN_USER_DEFINED, err));
    added.id = (int32_t)id;
    return qn_build_added(build, &added, err);
}

static enum qn_status read_added(struct qn_vocab_build *build, struct qn_error *err) {
    const json_t *const list = json_object_get(build->tokenizer, "added_tokens");
    if (!list || json_is_null(list)) return QN_OK;
    if (!json_is_array(list)) return qn_build_broken(build, "added_tokens is not an array", err);
    qn_build_expect(build, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *const entry = json_array_get(list, i);
        const json_t *const id = json_object_get(entry, "id");
        if (!json_is_integer(id)) return qn_build_broken(build, "an added token has no id", err);
        QN_TRY(qn_vocab_json_added(build, entry, json_integer_value(id), err));
    }
    return QN_OK;
}

/* The largest real ones have some 35 MB; a file of nothing but empty objects takes 80 times its
 * size. */
enum { FILE_MAX = 64 << 20 };

enum qn_status qn_vocab_json_read(struct qn_vocab_build *build, struct qn_error *err) {
    qn_build_enter(build, "tokenizer.json");
    QN_TRY(qn_json_read(build->folder, build->name, FILE_MAX, &build->tokenizer, err));
    QN_TRY(read_model(build, err));
    QN_TRY(read_added(build, err));
    QN_TRY(qn_vocab_json_steps(build, err));
    QN_TRY(qn_vocab_json_decoder(build, err));
    return qn_vocab_json_processor(build, err);
}
