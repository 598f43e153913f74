/* SPDX-License-Identifier: Apache-2.0
 *
 * GPT-2's way to keep a byte-level vocabulary: vocab.json with ids, merges.txt with a merge a line.
 */
#include <stdlib.h>
#include <string.h>

#include "formats/json_file.h"
#include "models/vocab_build.h"

enum { FILE_MAX = 64 << 20 };

static enum qn_status read_vocab(struct qn_vocab_build *build, struct qn_error *err) {
    qn_build_enter(build, "vocab.json");
    QN_TRY(qn_json_read(build->folder, build->name, FILE_MAX, &build->merges_vocab, err));
    qn_build_expect(build, json_object_size(build->merges_vocab));
    const char *key;
    json_t *value;
    json_object_foreach(build->merges_vocab, key, value) {
        if (!json_is_integer(value))
            return qn_fail(err, QN_BAD_FILE, "%s: the id of \"%.64s\" is no integer", build->file,
                           key);
        const int64_t id = json_integer_value(value);
        QN_TRY(qn_build_token(build, id, qn_text_of(key), QN_TOKEN_NORMAL, err));
        build->foreign[id] = 0;
    }
    return QN_OK;
}

/* Lines that are neither empty nor the version. */
static size_t next_line(const struct qn_file_map *file, size_t at, struct qn_text *line) {
    const char *const data = (const char *)file->data;
    while (at < file->size) {
        const char *const end = memchr(data + at, '\n', file->size - at);
        const size_t stop = end ? (size_t)(end - data) : file->size;
        *line = (struct qn_text){data + at, stop - at};
        if (line->size > 0 && line->data[line->size - 1] == '\r') line->size--;
        const bool version = at == 0 && line->size >= 8 && memcmp(line->data, "#version", 8) == 0;
        at = stop + 1;
        if (line->size > 0 && !version) return at;
    }
    line->size = 0;
    return file->size;
}

static enum qn_status read_merge(const struct qn_vocab_build *build, struct qn_text line,
                                 struct qn_text *pair, struct qn_error *err) {
    if (qn_vocab_split_merge(line, pair)) return QN_OK;
    return qn_fail(err, QN_BAD_FILE,
                   "%s: the line \"%.*s\" is no merge; expected two tokens and a space",
                   build->file, (int)(line.size < 64 ? line.size : 64), line.data);
}

static enum qn_status read_merges(struct qn_vocab_build *build, struct qn_error *err) {
    qn_build_enter(build, "merges.txt");
    QN_TRY(qn_build_map(build, build->name, &build->merges_file, err));
    struct qn_text line;
    size_t n = 0;
    for (size_t at = 0; at = next_line(&build->merges_file, at, &line), line.size > 0;) n++;
    build->merges = malloc((n + 1) * 2 * sizeof *build->merges);
    if (!build->merges || n > UINT32_MAX)
        return qn_fail(err, QN_NO_MEMORY, "%s: no memory for %zu merges", build->file, n);
    n = 0;
    for (size_t at = 0; at = next_line(&build->merges_file, at, &line), line.size > 0; n++)
        QN_TRY(read_merge(build, line, build->merges + 2 * n, err));
    build->vocab.n_merges = (uint32_t)n;
    return QN_OK;
}

/* {"token": id}, as older versions of transformers wrote. */
static enum qn_status read_added(struct qn_vocab_build *build, struct qn_error *err) {
    qn_build_enter(build, "added_tokens.json");
    struct qn_error inner = {0};
    const enum qn_status status =
        qn_json_read(build->folder, build->name, FILE_MAX, &build->added_map, &inner);
    if (status == QN_NOT_FOUND) return QN_OK;
    if (status != QN_OK) return qn_fail(err, status, "%s", inner.message);
    qn_build_expect(build, json_object_size(build->added_map));
    const char *key;
    json_t *value;
    json_object_foreach(build->added_map, key, value) {
        if (!json_is_integer(value))
            return qn_fail(err, QN_BAD_FILE, "%s: the id of \"%.64s\" is no integer", build->file,
                           key);
        const int64_t id = json_integer_value(value);
        if (qn_build_is_beyond(build, id)) continue;
        QN_TRY(qn_build_token(build, id, qn_text_of(key), QN_TOKEN_USER_DEFINED, err));
        QN_TRY(qn_build_added(build, &(struct qn_added_token){.id = (int32_t)id}, err));
    }
    return QN_OK;
}

/* Classes of transformers that read these files, and how they cut text. */
static const struct tokenizer_class {
    const char *name, *pattern;
    bool nfc;
} classes[] = {
    {"GPT2Tokenizer", QN_PATTERN_GPT2, false},
    {"GPT2TokenizerFast", QN_PATTERN_GPT2, false},
    {"CodeGenTokenizer", QN_PATTERN_GPT2, false},
    {"PreTrainedTokenizerFast", QN_PATTERN_GPT2, false},
    {"Qwen2Tokenizer", QN_PATTERN_QWEN2, true},
    {"Qwen2TokenizerFast", QN_PATTERN_QWEN2, true},
};

static enum qn_status add_steps(struct qn_vocab_build *build, struct qn_error *err) {
    const struct tokenizer_class *class = NULL;
    const char *name = classes[0].name;
    bool prefix = false;
    qn_build_enter(build, "tokenizer_config.json");
    QN_TRY(qn_json_get_string(build->settings, build->file, "tokenizer_class", &name, err));
    QN_TRY(qn_json_get_bool(build->settings, build->file, "add_prefix_space", &prefix, err));
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strcmp(name, classes[i].name) == 0) class = &classes[i];
    if (!class)
        return qn_fail(err, QN_UNSUPPORTED,
                       "%s: tokenizer_class '%.64s' is not supported without a tokenizer.json",
                       build->file, name);
    const struct qn_text_step nfc = {.kind = QN_TEXT_NFC};
    const struct qn_text_step splitters[] = {
        {.kind = QN_TEXT_PREFIX_SPACE},
        {.kind = QN_TEXT_SPLIT, .regex = true, .pattern = qn_text_of(class->pattern)},
        {.kind = QN_TEXT_BYTES}};
    if (class->nfc) QN_TRY(qn_build_step(build, true, &nfc, err));
    for (size_t i = !prefix; i < sizeof splitters / sizeof *splitters; i++)
        QN_TRY(qn_build_step(build, false, &splitters[i], err));
    return QN_OK;
}

/* GPT-2's own name for BOS and EOS, where no file has others. */
static enum qn_status name_special(struct qn_vocab_build *build, struct qn_error *err) {
    const int32_t id = qn_build_find(build, qn_text_of("<|endoftext|>"));
    if (id < 0) return QN_OK;
    build->vocab.bos = build->vocab.eos = id;
    if (build->added_at[id] > 0) return QN_OK;
    build->kinds[id] = QN_TOKEN_CONTROL;
    return qn_build_added(build, &(struct qn_added_token){.id = id}, err);
}

enum qn_status qn_vocab_merges_read(struct qn_vocab_build *build, struct qn_error *err) {
    build->vocab.model = QN_VOCAB_BPE;
    build->recipe.decoding.alphabet = true;
    QN_TRY(read_vocab(build, err));
    QN_TRY(read_merges(build, err));
    QN_TRY(read_added(build, err));
    QN_TRY(name_special(build, err));
    QN_TRY(add_steps(build, err));
    qn_build_enter(build, "vocab.json");
    return QN_OK;
}
