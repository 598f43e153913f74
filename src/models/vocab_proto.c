/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer.model: SentencePiece's ModelProto (sentencepiece_model.proto), of which these fields
 * are read:
 *   ModelProto      1 pieces, 2 trainer_spec, 3 normalizer_spec
 *   SentencePiece   1 piece, 2 score (fixed32), 3 type
 *   TrainerSpec     3 model_type, 24 treat_whitespace_as_suffix, 35 byte_fallback
 *   NormalizerSpec  2 precompiled_charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces,
 *                   5 escape_whitespaces
 */
#include <stdlib.h>
#include <string.h>

#include "formats/json_file.h"
#include "models/vocab_build.h"

enum model_type { TYPE_UNIGRAM = 1, TYPE_BPE = 2 };

struct proto {
    uint64_t model_type;
    bool byte_fallback, suffix, add_prefix, remove_spaces, escape_spaces;
    struct qn_text charsmap;
};

/* ---- wire format --------------------------------------------------------------------------- */

enum wire { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

struct cursor {
    const uint8_t *at, *end;
};

struct field {
    uint64_t number;
    enum wire wire;
    uint64_t value;       /* of a varint or fixed number */
    struct cursor inside; /* of bytes */
};

static bool read_varint(struct cursor *cursor, uint64_t *out) {
    *out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (cursor->at == cursor->end) return false;
        const uint8_t byte = *cursor->at++;
        *out |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool read_fixed(struct cursor *cursor, unsigned size, uint64_t *out) {
    if ((size_t)(cursor->end - cursor->at) < size) return false;
    *out = 0;
    for (unsigned i = 0; i < size; i++) *out |= (uint64_t)*cursor->at++ << (8 * i);
    return true;
}

/* The next field, whatever it is; false where the bytes are none. */
static bool read_field(struct cursor *cursor, struct field *field) {
    uint64_t key;
    if (!read_varint(cursor, &key)) return false;
    field->number = key >> 3;
    field->wire = (enum wire)(key & 7);
    switch (field->wire) {
    case WIRE_VARINT:
        return read_varint(cursor, &field->value);
    case WIRE_FIXED64:
        return read_fixed(cursor, 8, &field->value);
    case WIRE_FIXED32:
        return read_fixed(cursor, 4, &field->value);
    case WIRE_BYTES:
        if (!read_varint(cursor, &field->value)) return false;
        if (field->value > (uint64_t)(cursor->end - cursor->at)) return false;
        field->inside = (struct cursor){cursor->at, cursor->at + field->value};
        cursor->at += field->value;
        return true;
    }
    return false;
}

static enum qn_status broken(const struct qn_vocab_build *build, const struct cursor *cursor,
                             struct qn_error *err) {
    return qn_fail(err, QN_BAD_FILE, "%s: no SentencePiece model: byte %td starts no field",
                   build->file, cursor->at - build->proto_file.data);
}

static struct qn_text text_of(struct cursor inside) {
    return (struct qn_text){(const char *)inside.at, (size_t)(inside.end - inside.at)};
}

/* ---- messages ------------------------------------------------------------------------------ */

static enum qn_status read_piece(struct qn_vocab_build *build, struct cursor cursor,
                                 struct qn_error *err) {
    struct qn_text text = {"", 0};
    uint64_t type = QN_TOKEN_NORMAL;
    float score = 0;
    for (struct field field; cursor.at < cursor.end;) {
        if (!read_field(&cursor, &field)) return broken(build, &cursor, err);
        if (field.number == 1 && field.wire == WIRE_BYTES) text = text_of(field.inside);
        if (field.number == 3 && field.wire == WIRE_VARINT) type = field.value;
        if (field.number == 2 && field.wire == WIRE_FIXED32) {
            const uint32_t bits = (uint32_t)field.value;
            memcpy(&score, &bits, sizeof score);
        }
    }
    const uint32_t id = build->vocab.n_tokens;
    if (type < QN_TOKEN_NORMAL || type > QN_TOKEN_BYTE)
        return qn_fail(err, QN_BAD_FILE, "%s: piece %u is of type %llu; expected 1 to 6",
                       build->file, id, (unsigned long long)type);
    if (type == QN_TOKEN_BYTE && !qn_vocab_is_byte(text))
        return qn_fail(err, QN_BAD_FILE, "%s: piece %u is of type byte, but not \"<0xHH>\"",
                       build->file, id);
    QN_TRY(qn_build_token(build, id, text, (enum qn_token_kind)type, err));
    build->foreign[id] = 0;
    build->scores[id] = score;
    if (type == QN_TOKEN_UNKNOWN && build->vocab.unknown < 0) build->vocab.unknown = (int32_t)id;
    if (type != QN_TOKEN_CONTROL && type != QN_TOKEN_USER_DEFINED && type != QN_TOKEN_UNKNOWN)
        return QN_OK;
    if (type == QN_TOKEN_UNKNOWN) build->kinds[id] = QN_TOKEN_CONTROL;
    return qn_build_added(build, &(struct qn_added_token){.id = (int32_t)id}, err);
}

static enum qn_status read_trainer(const struct qn_vocab_build *build, struct cursor cursor,
                                   struct proto *proto, struct qn_error *err) {
    for (struct field field; cursor.at < cursor.end;) {
        if (!read_field(&cursor, &field)) return broken(build, &cursor, err);
        if (field.wire != WIRE_VARINT) continue;
        if (field.number == 3) proto->model_type = field.value;
        if (field.number == 24) proto->suffix = field.value != 0;
        if (field.number == 35) proto->byte_fallback = field.value != 0;
    }
    return QN_OK;
}

static enum qn_status read_normalizer(const struct qn_vocab_build *build, struct cursor cursor,
                                      struct proto *proto, struct qn_error *err) {
    for (struct field field; cursor.at < cursor.end;) {
        if (!read_field(&cursor, &field)) return broken(build, &cursor, err);
        if (field.number == 2 && field.wire == WIRE_BYTES) proto->charsmap = text_of(field.inside);
        if (field.wire != WIRE_VARINT) continue;
        if (field.number == 3) proto->add_prefix = field.value != 0;
        if (field.number == 4) proto->remove_spaces = field.value != 0;
        if (field.number == 5) proto->escape_spaces = field.value != 0;
    }
    return QN_OK;
}

static enum qn_status read_model(struct qn_vocab_build *build, struct proto *proto,
                                 struct qn_error *err) {
    const struct qn_file_map *const file = &build->proto_file;
    struct cursor cursor = {file->data, file->data + file->size};
    for (struct field field; cursor.at < cursor.end;) {
        if (!read_field(&cursor, &field)) return broken(build, &cursor, err);
        if (field.wire != WIRE_BYTES) continue;
        if (field.number == 1) QN_TRY(read_piece(build, field.inside, err));
        if (field.number == 2) QN_TRY(read_trainer(build, field.inside, proto, err));
        if (field.number == 3) QN_TRY(read_normalizer(build, field.inside, proto, err));
    }
    return QN_OK;
}

/* ---- steps --------------------------------------------------------------------------------- */

#define MARK "\xE2\x96\x81" /* U+2581 */

/* As transformers converts such files. The prefix: legacy tokenizers put one before every stretch
 * between special tokens, others only before the text. */
static enum qn_status add_steps(struct qn_vocab_build *build, const struct proto *proto,
                                struct qn_error *err) {
    bool prefix = proto->add_prefix, legacy = false;
    qn_build_enter(build, "tokenizer_config.json");
    QN_TRY(qn_json_get_bool(build->settings, build->file, "add_prefix_space", &prefix, err));
    QN_TRY(qn_json_get_bool(build->settings, build->file, "legacy", &legacy, err));
    qn_build_enter(build, "tokenizer.model");
    const struct qn_text_step charsmap = {.kind = QN_TEXT_CHARSMAP, .content = proto->charsmap};
    const struct qn_text_step spaces[] = {{.kind = QN_TEXT_STRIP, .right = true},
                                          {.kind = QN_TEXT_REPLACE,
                                           .regex = true,
                                           .pattern = qn_text_of(" {2,}"),
                                           .content = qn_text_of(MARK)}};
    if (proto->charsmap.size > 0) QN_TRY(qn_build_step(build, true, &charsmap, err));
    for (size_t i = 0; proto->remove_spaces && i < sizeof spaces / sizeof *spaces; i++)
        QN_TRY(qn_build_step(build, true, &spaces[i], err));
    const struct qn_text_step metaspace = {.kind = QN_TEXT_METASPACE,
                                           .content = qn_text_of(MARK),
                                           .pattern = qn_text_of(MARK),
                                           .behavior = QN_BEHAVIOR_MERGED_WITH_NEXT,
                                           .cut = proto->model_type == TYPE_UNIGRAM,
                                           .prepend = !prefix  ? QN_PREPEND_NEVER
                                                      : legacy ? QN_PREPEND_ALWAYS
                                                               : QN_PREPEND_FIRST};
    build->recipe.decoding = (struct qn_decoding){.byte_tokens = true,
                                                  .from = qn_text_of(MARK),
                                                  .to = qn_text_of(" "),
                                                  .strip = prefix ? QN_STRIP_SPACE : QN_STRIP_NONE};
    return qn_build_step(build, false, &metaspace, err);
}

/* The scores of BPE pieces say in which order they are merged. */
static enum qn_status keep_scores(struct qn_vocab_build *build, struct qn_error *err) {
    const uint32_t n = build->vocab.n_tokens;
    build->piece_scores = malloc((n + (size_t)1) * sizeof *build->piece_scores);
    if (!build->piece_scores)
        return qn_fail(err, QN_NO_MEMORY, "%s: no memory for the scores", build->file);
    for (uint32_t id = 0; id < n; id++) build->piece_scores[id] = (float)build->scores[id];
    return QN_OK;
}

enum qn_status qn_vocab_proto_read(struct qn_vocab_build *build, struct qn_error *err) {
    struct proto proto = {.model_type = TYPE_UNIGRAM,
                          .add_prefix = true,
                          .remove_spaces = true,
                          .escape_spaces = true};
    qn_build_enter(build, "tokenizer.model");
    QN_TRY(qn_build_map(build, build->name, &build->proto_file, err));
    QN_TRY(read_model(build, &proto, err));
    if (proto.model_type != TYPE_BPE && proto.model_type != TYPE_UNIGRAM)
        return qn_fail(err, QN_UNSUPPORTED,
                       "%s: model_type %llu is not supported; Unigram (1) and BPE (2) are",
                       build->file, (unsigned long long)proto.model_type);
    if (proto.suffix || !proto.escape_spaces)
        return qn_fail(err, QN_UNSUPPORTED, "%s: %s is not supported", build->file,
                       proto.suffix ? "treat_whitespace_as_suffix" : "escape_whitespaces false");
    build->vocab.model = proto.model_type == TYPE_BPE ? QN_VOCAB_BPE : QN_VOCAB_UNIGRAM;
    build->recipe.byte_fallback = proto.byte_fallback;
    build->recipe.fuse_unknown = true;
    QN_TRY(add_steps(build, &proto, err));
    return proto.model_type == TYPE_BPE ? keep_scores(build, err) : QN_OK;
}
