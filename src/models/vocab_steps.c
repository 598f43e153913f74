/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.json: normalizer and pre_tokenizer become steps.
 */
#include <string.h>

#include "formats/json_file.h"
#include "models/vocab_build.h"
#include "text/unicode.h"

/* Components hold others; files that nest deeper than this are made to break readers. */
enum { DEPTH_MAX = 8 };

struct component {
    const char *name; /* "type" in the file */
    enum qn_status (*read)(struct qn_vocab_build *build, const json_t *object, int depth,
                           struct qn_error *err);
};

/* ---- members ------------------------------------------------------------------------------- */

/* {"String": s} or {"Regex": s}; a plain string is literal too. */
static enum qn_status read_pattern(const struct qn_vocab_build *build, const json_t *object,
                                   struct qn_text_step *step, struct qn_error *err) {
    const json_t *const pattern = json_object_get(object, "pattern");
    const json_t *const regex = json_object_get(pattern, "Regex");
    const json_t *literal = json_object_get(pattern, "String");
    if (json_is_string(pattern)) literal = pattern;
    if (!json_is_string(regex) && !json_is_string(literal))
        return qn_build_broken(build, "a pattern is neither a String nor a Regex", err);
    step->regex = regex != NULL;
    step->pattern = qn_text_of_json(regex ? regex : literal);
    return QN_OK;
}

static enum qn_status read_text(const struct qn_vocab_build *build, const json_t *object,
                                const char *key, struct qn_text *out, struct qn_error *err) {
    const json_t *const text = json_object_get(object, key);
    if (!json_is_string(text))
        return qn_fail(err, QN_BAD_FILE, "%s: a component has no string '%s'", build->file, key);
    *out = qn_text_of_json(text);
    return QN_OK;
}

static enum qn_status read_behavior(const struct qn_vocab_build *build, const json_t *object,
                                    enum qn_behavior *out, struct qn_error *err) {
    static const char *const names[] = {
        [QN_BEHAVIOR_ISOLATED] = "Isolated",
        [QN_BEHAVIOR_REMOVED] = "Removed",
        [QN_BEHAVIOR_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [QN_BEHAVIOR_MERGED_WITH_NEXT] = "MergedWithNext",
        [QN_BEHAVIOR_CONTIGUOUS] = "Contiguous",
    };
    const char *name = names[QN_BEHAVIOR_ISOLATED];
    QN_TRY(qn_json_get_string(object, build->file, "behavior", &name, err));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(name, names[i]) != 0) continue;
        *out = (enum qn_behavior)i;
        return QN_OK;
    }
    return qn_fail(err, QN_UNSUPPORTED, "%s: behavior '%.32s' is not supported", build->file, name);
}

/* ---- normalizers --------------------------------------------------------------------------- */

static enum qn_status add(struct qn_vocab_build *build, bool normalizer,
                          enum qn_text_step_kind kind, struct qn_error *err) {
    return qn_build_step(build, normalizer, &(struct qn_text_step){.kind = kind}, err);
}

#define PLAIN_NORMALIZER(function, step_kind)                                                      \
    static enum qn_status function(struct qn_vocab_build *build, const json_t *object, int depth,  \
                                   struct qn_error *err) {                                         \
        (void)object;                                                                              \
        (void)depth;                                                                               \
        return add(build, true, step_kind, err);                                                   \
    }
PLAIN_NORMALIZER(read_nfc, QN_TEXT_NFC)
PLAIN_NORMALIZER(read_nfd, QN_TEXT_NFD)
PLAIN_NORMALIZER(read_nfkc, QN_TEXT_NFKC)
PLAIN_NORMALIZER(read_nfkd, QN_TEXT_NFKD)
PLAIN_NORMALIZER(read_lowercase, QN_TEXT_LOWERCASE)
PLAIN_NORMALIZER(read_strip_accents, QN_TEXT_STRIP_ACCENTS)

static enum qn_status read_replace(struct qn_vocab_build *build, const json_t *object, int depth,
                                   struct qn_error *err) {
    (void)depth;
    struct qn_text_step step = {.kind = QN_TEXT_REPLACE};
    QN_TRY(read_pattern(build, object, &step, err));
    QN_TRY(read_text(build, object, "content", &step.content, err));
    return qn_build_step(build, true, &step, err);
}

static enum qn_status read_prepend(struct qn_vocab_build *build, const json_t *object, int depth,
                                   struct qn_error *err) {
    (void)depth;
    struct qn_text_step step = {.kind = QN_TEXT_PREPEND};
    QN_TRY(read_text(build, object, "prepend", &step.content, err));
    return qn_build_step(build, true, &step, err);
}

static enum qn_status read_strip(struct qn_vocab_build *build, const json_t *object, int depth,
                                 struct qn_error *err) {
    (void)depth;
    struct qn_text_step step = {.kind = QN_TEXT_STRIP, .left = true, .right = true};
    QN_TRY(qn_json_get_bool(object, build->file, "strip_left", &step.left, err));
    QN_TRY(qn_json_get_bool(object, build->file, "strip_right", &step.right, err));
    return qn_build_step(build, true, &step, err);
}

static int base64_value(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes base64 into out; returns its bytes, or SIZE_MAX. */
static size_t decode_base64(struct qn_text text, char *out) {
    size_t n = 0;
    uint32_t bits = 0;
    unsigned n_bits = 0;
    while (text.size > 0 && text.data[text.size - 1] == '=') text.size--;
    for (size_t i = 0; i < text.size; i++) {
        const int value = base64_value(text.data[i]);
        if (value < 0) return SIZE_MAX;
        bits = bits << 6 | (uint32_t)value;
        n_bits += 6;
        if (n_bits < 8) continue;
        n_bits -= 8;
        out[n++] = (char)(bits >> n_bits & 0xFF);
    }
    return n;
}

static enum qn_status read_precompiled(struct qn_vocab_build *build, const json_t *object,
                                       int depth, struct qn_error *err) {
    (void)depth;
    struct qn_text_step step = {.kind = QN_TEXT_CHARSMAP};
    struct qn_text text;
    if (json_is_null(json_object_get(object, "precompiled_charsmap"))) return QN_OK;
    QN_TRY(read_text(build, object, "precompiled_charsmap", &text, err));
    if (text.size == 0) return QN_OK;
    char *const map = qn_build_alloc(build, text.size);
    if (!map) return qn_fail(err, QN_NO_MEMORY, "%s: no memory for a map", build->file);
    const size_t size = decode_base64(text, map);
    if (size == SIZE_MAX) return qn_build_broken(build, "precompiled_charsmap is not base64", err);
    step.content = (struct qn_text){map, size};
    return qn_build_step(build, true, &step, err);
}

/* ---- pre-tokenizers ------------------------------------------------------------------------ */

static enum qn_status read_byte_level(struct qn_vocab_build *build, const json_t *object, int depth,
                                      struct qn_error *err) {
    (void)depth;
    bool prefix = true, regex = true;
    QN_TRY(qn_json_get_bool(object, build->file, "add_prefix_space", &prefix, err));
    QN_TRY(qn_json_get_bool(object, build->file, "use_regex", &regex, err));
    if (build->sets_prefix) prefix = build->prefix_space;
    if (prefix) QN_TRY(add(build, false, QN_TEXT_PREFIX_SPACE, err));
    const struct qn_text_step split = {
        .kind = QN_TEXT_SPLIT, .regex = true, .pattern = qn_text_of(QN_PATTERN_GPT2)};
    if (regex) QN_TRY(qn_build_step(build, false, &split, err));
    return add(build, false, QN_TEXT_BYTES, err);
}

static enum qn_status read_split(struct qn_vocab_build *build, const json_t *object, int depth,
                                 struct qn_error *err) {
    (void)depth;
    struct qn_text_step step = {.kind = QN_TEXT_SPLIT};
    QN_TRY(read_pattern(build, object, &step, err));
    QN_TRY(read_behavior(build, object, &step.behavior, err));
    QN_TRY(qn_json_get_bool(object, build->file, "invert", &step.invert, err));
    return qn_build_step(build, false, &step, err);
}

static enum qn_status add_class(struct qn_vocab_build *build, unsigned class,
                                enum qn_behavior behavior, struct qn_error *err) {
    const struct qn_text_step step = {
        .kind = QN_TEXT_SPLIT_CLASS, .class = class, .behavior = behavior};
    return qn_build_step(build, false, &step, err);
}

static enum qn_status read_digits(struct qn_vocab_build *build, const json_t *object, int depth,
                                  struct qn_error *err) {
    (void)depth;
    bool individual = false;
    QN_TRY(qn_json_get_bool(object, build->file, "individual_digits", &individual, err));
    return add_class(build, QN_CHAR_DIGIT,
                     individual ? QN_BEHAVIOR_ISOLATED : QN_BEHAVIOR_CONTIGUOUS, err);
}

static enum qn_status read_punctuation(struct qn_vocab_build *build, const json_t *object,
                                       int depth, struct qn_error *err) {
    (void)depth;
    enum qn_behavior behavior = QN_BEHAVIOR_ISOLATED;
    QN_TRY(read_behavior(build, object, &behavior, err));
    return add_class(build, QN_CHAR_ISOLATED, behavior, err);
}

/* \w of Rust's regular expressions, by which this one splitter goes. */
#define RUST_WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200C}\\x{200D}"

static enum qn_status read_whitespace(struct qn_vocab_build *build, const json_t *object, int depth,
                                      struct qn_error *err) {
    (void)object;
    (void)depth;
    const struct qn_text_step step = {.kind = QN_TEXT_SPLIT,
                                      .regex = true,
                                      .pattern =
                                          qn_text_of("[" RUST_WORD "]+|[^" RUST_WORD "\\s]+"),
                                      .behavior = QN_BEHAVIOR_REMOVED,
                                      .invert = true};
    return qn_build_step(build, false, &step, err);
}

static enum qn_status read_whitespace_split(struct qn_vocab_build *build, const json_t *object,
                                            int depth, struct qn_error *err) {
    (void)object;
    (void)depth;
    return add_class(build, QN_CHAR_SPACE, QN_BEHAVIOR_REMOVED, err);
}

static enum qn_status read_bert(struct qn_vocab_build *build, const json_t *object, int depth,
                                struct qn_error *err) {
    QN_TRY(read_whitespace_split(build, object, depth, err));
    return add_class(build, QN_CHAR_ISOLATED, QN_BEHAVIOR_ISOLATED, err);
}

static enum qn_status read_delimiter(struct qn_vocab_build *build, const json_t *object, int depth,
                                     struct qn_error *err) {
    (void)depth;
    struct qn_text_step step = {.kind = QN_TEXT_SPLIT, .behavior = QN_BEHAVIOR_REMOVED};
    QN_TRY(read_text(build, object, "delimiter", &step.pattern, err));
    return qn_build_step(build, false, &step, err);
}

static enum qn_status read_metaspace(struct qn_vocab_build *build, const json_t *object, int depth,
                                     struct qn_error *err) {
    (void)depth;
    static const char *const schemes[] = {
        [QN_PREPEND_NEVER] = "never", [QN_PREPEND_FIRST] = "first", [QN_PREPEND_ALWAYS] = "always"};
    struct qn_text_step step = {
        .kind = QN_TEXT_METASPACE, .behavior = QN_BEHAVIOR_MERGED_WITH_NEXT, .cut = true};
    bool prefix = true; /* files of older versions have this in place of the scheme */
    QN_TRY(qn_json_get_bool(object, build->file, "add_prefix_space", &prefix, err));
    const char *scheme = prefix ? "always" : "never";
    QN_TRY(qn_json_get_string(object, build->file, "prepend_scheme", &scheme, err));
    QN_TRY(qn_json_get_bool(object, build->file, "split", &step.cut, err));
    QN_TRY(qn_build_mark(build, object, &step.content, err));
    step.pattern = step.content;
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        if (strcmp(scheme, schemes[i]) != 0) continue;
        step.prepend = (enum qn_prepend)i;
        return qn_build_step(build, false, &step, err);
    }
    return qn_fail(err, QN_UNSUPPORTED, "%s: prepend_scheme '%.32s' is not supported", build->file,
                   scheme);
}

/* ---- all ----------------------------------------------------------------------------------- */

static enum qn_status read_component(struct qn_vocab_build *build, const char *what,
                                     const struct component *table, size_t n, const json_t *object,
                                     int depth, struct qn_error *err);

static enum qn_status read_normalizers(struct qn_vocab_build *build, const json_t *object,
                                       int depth, struct qn_error *err);
static enum qn_status read_splitters(struct qn_vocab_build *build, const json_t *object, int depth,
                                     struct qn_error *err);

static const struct component normalizers[] = {
    {"Sequence", read_normalizers},
    {"NFC", read_nfc},
    {"NFD", read_nfd},
    {"NFKC", read_nfkc},
    {"NFKD", read_nfkd},
    {"Lowercase", read_lowercase},
    {"StripAccents", read_strip_accents},
    {"Replace", read_replace},
    {"Prepend", read_prepend},
    {"Strip", read_strip},
    {"Precompiled", read_precompiled},
};

static const struct component splitters[] = {
    {"Sequence", read_splitters},
    {"ByteLevel", read_byte_level},
    {"Split", read_split},
    {"Digits", read_digits},
    {"Punctuation", read_punctuation},
    {"Whitespace", read_whitespace},
    {"WhitespaceSplit", read_whitespace_split},
    {"BertPreTokenizer", read_bert},
    {"CharDelimiterSplit", read_delimiter},
    {"Metaspace", read_metaspace},
};

static enum qn_status read_sequence(struct qn_vocab_build *build, const char *what,
                                    const char *member, const struct component *table, size_t n,
                                    const json_t *object, int depth, struct qn_error *err) {
    const json_t *const list = json_object_get(object, member);
    if (!json_is_array(list) || depth == DEPTH_MAX)
        return qn_fail(err, QN_BAD_FILE, "%s: a Sequence has no list of %s", build->file, member);
    for (size_t i = 0; i < json_array_size(list); i++)
        QN_TRY(read_component(build, what, table, n, json_array_get(list, i), depth + 1, err));
    return QN_OK;
}

static enum qn_status read_normalizers(struct qn_vocab_build *build, const json_t *object,
                                       int depth, struct qn_error *err) {
    return read_sequence(build, "normalizer", "normalizers", normalizers,
                         sizeof normalizers / sizeof *normalizers, object, depth, err);
}

static enum qn_status read_splitters(struct qn_vocab_build *build, const json_t *object, int depth,
                                     struct qn_error *err) {
    return read_sequence(build, "pre_tokenizer", "pretokenizers", splitters,
                         sizeof splitters / sizeof *splitters, object, depth, err);
}

static enum qn_status read_component(struct qn_vocab_build *build, const char *what,
                                     const struct component *table, size_t n, const json_t *object,
                                     int depth, struct qn_error *err) {
    const json_t *const type = json_object_get(object, "type");
    if (!json_is_string(type))
        return qn_fail(err, QN_BAD_FILE, "%s: a %s has no type", build->file, what);
    const char *const name = json_string_value(type);
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, table[i].name) == 0) return table[i].read(build, object, depth, err);
    return qn_fail(err, QN_UNSUPPORTED, "%s: %s '%.64s' is not supported", build->file, what, name);
}

enum qn_status qn_vocab_json_steps(struct qn_vocab_build *build, struct qn_error *err) {
    const json_t *const normalizer = json_object_get(build->tokenizer, "normalizer");
    if (normalizer && !json_is_null(normalizer))
        QN_TRY(read_component(build, "normalizer", normalizers,
                              sizeof normalizers / sizeof *normalizers, normalizer, 0, err));
    const json_t *const splitter = json_object_get(build->tokenizer, "pre_tokenizer");
    if (!splitter || json_is_null(splitter)) return QN_OK;
    return read_component(build, "pre_tokenizer", splitters, sizeof splitters / sizeof *splitters,
                          splitter, 0, err);
}
