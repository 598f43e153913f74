/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.json: how ids become text again, and what goes around a text.
 */
#include <string.h>

#include "formats/json_file.h"
#include "models/vocab_build.h"

static enum qn_status type_of(const struct qn_vocab_build *build, const char *what,
                              const json_t *object, const char **type, struct qn_error *err) {
    *type = json_string_value(json_object_get(object, "type"));
    if (*type) return QN_OK;
    return qn_fail(err, QN_BAD_FILE, "%s: a %s has no type", build->file, what);
}

/* ---- decoder ------------------------------------------------------------------------------- */

static enum qn_status refuse(const struct qn_vocab_build *build, const char *type,
                             struct qn_error *err) {
    return qn_fail(err, QN_UNSUPPORTED, "%s: decoder '%.64s' is not supported in this place",
                   build->file, type);
}

static enum qn_status set_replacement(const struct qn_vocab_build *build,
                                      struct qn_decoding *decoding, struct qn_text from,
                                      struct qn_text to, const char *type, struct qn_error *err) {
    if (decoding->from.size > 0 || decoding->alphabet) return refuse(build, type, err);
    decoding->from = from;
    decoding->to = to;
    return QN_OK;
}

/* {"type": "Strip", "content": " ", "start": 1, "stop": 0} behind Fuse: the text's first space. */
static enum qn_status read_strip(const struct qn_vocab_build *build, const json_t *object,
                                 bool fused, struct qn_decoding *decoding, struct qn_error *err) {
    const char *content = "";
    int start = 0, stop = 0;
    QN_TRY(qn_json_get_string(object, build->file, "content", &content, err));
    QN_TRY(qn_json_get_int(object, build->file, "start", 0, 1 << 20, &start, err));
    QN_TRY(qn_json_get_int(object, build->file, "stop", 0, 1 << 20, &stop, err));
    if (start == 0 && stop == 0) return QN_OK;
    if (!fused || strcmp(content, " ") != 0 || start != 1 || stop != 0)
        return refuse(build, "Strip", err);
    decoding->strip = QN_STRIP_SPACE;
    return QN_OK;
}

static enum qn_status read_metaspace(const struct qn_vocab_build *build, const json_t *object,
                                     struct qn_decoding *decoding, struct qn_error *err) {
    bool prefix = true;
    QN_TRY(qn_json_get_bool(object, build->file, "add_prefix_space", &prefix, err));
    const char *scheme = prefix ? "always" : "never";
    QN_TRY(qn_json_get_string(object, build->file, "prepend_scheme", &scheme, err));
    struct qn_text mark;
    QN_TRY(qn_build_mark(build, object, &mark, err));
    if (strcmp(scheme, "never") != 0) decoding->strip = QN_STRIP_MARKS;
    return set_replacement(build, decoding, mark, qn_text_of(" "), "Metaspace", err);
}

static enum qn_status read_replace(const struct qn_vocab_build *build, const json_t *object,
                                   struct qn_decoding *decoding, struct qn_error *err) {
    const json_t *const from = json_object_get(json_object_get(object, "pattern"), "String");
    const json_t *const to = json_object_get(object, "content");
    if (!json_is_string(from) || !json_is_string(to)) return refuse(build, "Replace", err);
    return set_replacement(build, decoding, qn_text_of_json(from), qn_text_of_json(to), "Replace",
                           err);
}

static enum qn_status read_decoder(const struct qn_vocab_build *build, const json_t *object,
                                   struct qn_decoding *decoding, bool *fused,
                                   struct qn_error *err) {
    const char *type;
    QN_TRY(type_of(build, "decoder", object, &type, err));
    if (strcmp(type, "ByteLevel") == 0) {
        if (decoding->from.size > 0 || decoding->byte_tokens) return refuse(build, type, err);
        decoding->alphabet = true;
        return QN_OK;
    }
    if (strcmp(type, "ByteFallback") == 0) {
        if (decoding->alphabet || *fused) return refuse(build, type, err);
        decoding->byte_tokens = true;
        return QN_OK;
    }
    if (strcmp(type, "Fuse") == 0) {
        *fused = true;
        return QN_OK;
    }
    if (strcmp(type, "Metaspace") == 0) return read_metaspace(build, object, decoding, err);
    if (strcmp(type, "Replace") == 0) return read_replace(build, object, decoding, err);
    if (strcmp(type, "Strip") == 0) return read_strip(build, object, *fused, decoding, err);
    return refuse(build, type, err);
}

enum qn_status qn_vocab_json_decoder(struct qn_vocab_build *build, struct qn_error *err) {
    const json_t *const decoder = json_object_get(build->tokenizer, "decoder");
    struct qn_decoding *const decoding = &build->recipe.decoding;
    bool fused = false;
    if (!decoder || json_is_null(decoder))
        return qn_fail(err, QN_UNSUPPORTED, "%s: there is no decoder", build->file);
    const json_t *const list = json_object_get(decoder, "decoders");
    if (!json_is_array(list)) {
        QN_TRY(read_decoder(build, decoder, decoding, &fused, err));
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        QN_TRY(read_decoder(build, json_array_get(list, i), decoding, &fused, err));
    if (!decoding->byte_tokens) return QN_OK;
    for (uint32_t id = 0; id < build->vocab.n_tokens; id++)
        if (build->kinds[id] == QN_TOKEN_NORMAL && qn_vocab_is_byte(build->tokens[id]))
            build->kinds[id] = QN_TOKEN_BYTE;
    return QN_OK;
}

/* ---- post-processor ------------------------------------------------------------------------ */

static enum qn_status add_affix(struct qn_vocab_build *build, bool behind, const json_t *id,
                                struct qn_error *err) {
    size_t *const n = behind ? &build->recipe.n_suffix : &build->recipe.n_prefix;
    if (!json_is_integer(id) || json_integer_value(id) < 0 ||
        json_integer_value(id) >= build->vocab.n_tokens)
        return qn_build_broken(build, "post_processor has an id that is no token's", err);
    if (*n == QN_BUILD_AFFIXES)
        return qn_fail(err, QN_UNSUPPORTED, "%s: post_processor adds more than %d tokens",
                       build->file, QN_BUILD_AFFIXES);
    (behind ? build->suffix : build->prefix)[(*n)++] = (int32_t)json_integer_value(id);
    return QN_OK;
}

/* "single": a list of {"SpecialToken": {"id": name}} around one {"Sequence": {"id": "A"}}. */
static enum qn_status read_template(struct qn_vocab_build *build, const json_t *object,
                                    struct qn_error *err) {
    const json_t *const single = json_object_get(object, "single");
    const json_t *const tokens = json_object_get(object, "special_tokens");
    bool behind = false;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *const entry = json_array_get(single, i);
        if (json_object_get(entry, "Sequence")) {
            if (behind) return qn_build_broken(build, "post_processor repeats the text", err);
            behind = true;
            continue;
        }
        const char *const name =
            json_string_value(json_object_get(json_object_get(entry, "SpecialToken"), "id"));
        const json_t *const ids =
            name ? json_object_get(json_object_get(tokens, name), "ids") : NULL;
        if (json_array_size(ids) == 0)
            return qn_build_broken(build, "post_processor has a token without ids", err);
        for (size_t k = 0; k < json_array_size(ids); k++)
            QN_TRY(add_affix(build, behind, json_array_get(ids, k), err));
    }
    if (!behind) return qn_build_broken(build, "post_processor has no place for the text", err);
    return QN_OK;
}

/* "cls" and "sep": [name, id], before and behind. */
static enum qn_status read_bert(struct qn_vocab_build *build, const json_t *object,
                                struct qn_error *err) {
    QN_TRY(add_affix(build, false, json_array_get(json_object_get(object, "cls"), 1), err));
    return add_affix(build, true, json_array_get(json_object_get(object, "sep"), 1), err);
}

static enum qn_status read_processor(struct qn_vocab_build *build, const json_t *object,
                                     struct qn_error *err) {
    const char *type;
    QN_TRY(type_of(build, "post_processor", object, &type, err));
    if (strcmp(type, "ByteLevel") == 0) return QN_OK; /* of offsets only */
    if (strcmp(type, "TemplateProcessing") == 0) return read_template(build, object, err);
    if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0)
        return read_bert(build, object, err);
    return qn_fail(err, QN_UNSUPPORTED, "%s: post_processor '%.64s' is not supported", build->file,
                   type);
}

enum qn_status qn_vocab_json_processor(struct qn_vocab_build *build, struct qn_error *err) {
    const json_t *const processor = json_object_get(build->tokenizer, "post_processor");
    if (!processor || json_is_null(processor)) return QN_OK;
    const json_t *const list = json_object_get(processor, "processors");
    if (!json_is_array(list)) return read_processor(build, processor, err);
    /* Each would put its tokens around what the one before made. */
    for (size_t i = 0; i < json_array_size(list); i++) {
        const size_t n = build->recipe.n_prefix + build->recipe.n_suffix;
        QN_TRY(read_processor(build, json_array_get(list, i), err));
        if (n > 0 && build->recipe.n_prefix + build->recipe.n_suffix > n)
            return qn_fail(err, QN_UNSUPPORTED, "%s: two post_processors add tokens", build->file);
    }
    return QN_OK;
}
