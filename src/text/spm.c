/* SPDX-License-Identifier: Apache-2.0
 *
 * SentencePiece BPE: any two adjacent pieces whose joined text is a piece may merge, the one of
 * the best score first. That is merging by pairs, with every way to split a piece in two as a pair
 * and the order of scores as ranks. Characters that are no piece become byte tokens.
 */
#include <stdlib.h>
#include <string.h>

#include "text/private.h"

/* Each piece is looked up once per split, each look-up as long as the piece: longer ones would
 * let a small file take minutes. Real ones have up to some 100 bytes. */
enum { PIECE_MAX = 512 };

/* Control, unknown and byte tokens never come from text. */
static bool is_piece(uint8_t kind) {
    return kind == QN_TOKEN_NORMAL || kind == QN_TOKEN_USER_DEFINED || kind == QN_TOKEN_UNUSED;
}

static int32_t find_piece(const struct qn_tokenizer *tokenizer, const char *text, size_t size) {
    const int32_t id = qn_token_map_find(&tokenizer->map, text, size);
    return id >= 0 && is_piece(tokenizer->kinds[id]) ? id : -1;
}

static int by_score(const void *a, const void *b, void *context) {
    const float *scores = context;
    const float left = scores[*(const int32_t *)a], right = scores[*(const int32_t *)b];
    return left > right ? -1 : left < right;
}

static bool is_continuation(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

static enum qn_status add_pairs(struct qn_tokenizer *tokenizer, int32_t id, uint32_t rank,
                                struct qn_error *err) {
    const struct qn_text *token = &tokenizer->tokens[id];
    if (token->size > PIECE_MAX) {
        return qn_fail(err, QN_BAD_FILE, "token %d has %zu bytes, expected at most %d", (int)id,
                       token->size, PIECE_MAX);
    }
    for (size_t i = 1; i < token->size; i++) {
        if (is_continuation(token->data[i])) continue;
        const int32_t left = find_piece(tokenizer, token->data, i);
        if (left < 0) continue;
        const int32_t right = find_piece(tokenizer, token->data + i, token->size - i);
        if (right < 0) continue;
        const struct qn_merge merge = {(uint32_t)left, (uint32_t)right, rank, id};
        QN_TRY(qn_pair_map_add(&tokenizer->pairs, &merge, err));
    }
    return QN_OK;
}

/* Pieces of equal score have equal rank: then the leftmost pair goes first. */
static enum qn_status add_all_pairs(struct qn_tokenizer *tokenizer, int32_t *order,
                                    struct qn_error *err) {
    const uint32_t n = tokenizer->vocab.n_tokens;
    float *scores = tokenizer->scores;
    for (uint32_t i = 0; i < n; i++) order[i] = (int32_t)i;
    qsort_r(order, n, sizeof *order, by_score, scores);
    uint32_t rank = 0;
    for (uint32_t i = 0; i < n; i++) {
        const int32_t id = order[i];
        if (i > 0 && scores[id] != scores[order[i - 1]]) rank = i;
        /* Of tokens with equal text only one can be found, so only that one is made. */
        const struct qn_text *token = &tokenizer->tokens[id];
        if (find_piece(tokenizer, token->data, token->size) != id) continue;
        QN_TRY(add_pairs(tokenizer, id, rank, err));
    }
    return QN_OK;
}

static bool starts_with_mark(const char *text, size_t size) {
    return size >= QN_SPACE_MARK_SIZE && memcmp(text, QN_SPACE_MARK, QN_SPACE_MARK_SIZE) == 0;
}

/* Whether a piece has U+2581 behind another character; if none has, words can be merged alone. */
static bool has_inner_space(const struct qn_text *token) {
    bool other = false;
    for (size_t i = 0; i < token->size;) {
        const bool mark = starts_with_mark(token->data + i, token->size - i);
        if (mark && other) return true;
        other |= !mark;
        i += mark ? QN_SPACE_MARK_SIZE : 1;
    }
    return false;
}

enum qn_status qn_spm_init_pairs(struct qn_tokenizer *tokenizer, struct qn_error *err) {
    const uint32_t n = tokenizer->vocab.n_tokens;
    /* Without a piece for the space, words can share an unknown token. */
    tokenizer->inner_space = find_piece(tokenizer, QN_SPACE_MARK, QN_SPACE_MARK_SIZE) < 0;
    for (uint32_t id = 0; id < n; id++) {
        if (is_piece(tokenizer->kinds[id]) && has_inner_space(&tokenizer->tokens[id])) {
            tokenizer->inner_space = true;
        }
    }
    QN_TRY(qn_pair_map_init(&tokenizer->pairs, n, tokenizer->map.secret, err));
    int32_t *order = malloc(n * sizeof *order);
    if (order == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory to sort %u tokens", n);
    const enum qn_status status = add_all_pairs(tokenizer, order, err);
    free(order);
    return status;
}

enum qn_status qn_spm_init(struct qn_tokenizer *tokenizer, struct qn_error *err) {
    for (int byte = 0; byte < 256; byte++) tokenizer->byte_ids[byte] = -1;
    for (uint32_t id = 0; id < tokenizer->vocab.n_tokens; id++) {
        if (tokenizer->kinds[id] != QN_TOKEN_BYTE) continue;
        tokenizer->byte_ids[qn_vocab_byte_token(&tokenizer->tokens[id])] = (int32_t)id;
    }
    for (int c = 0; c < 128; c++) {
        const char text = (char)c;
        tokenizer->ascii_ids[c] = c == ' '
                                      ? find_piece(tokenizer, QN_SPACE_MARK, QN_SPACE_MARK_SIZE)
                                      : find_piece(tokenizer, &text, 1);
    }
    return qn_spm_init_pairs(tokenizer, err);
}

/* Adds the tokens that a character starts as: its piece, or its bytes, or the unknown token, which
 * takes in what follows as long as that is unknown too. */
static void add_character(const struct qn_tokenizer *tokenizer, const char *text, size_t size,
                          int32_t *symbols, size_t *n) {
    const int32_t piece = size == 1 ? tokenizer->ascii_ids[(unsigned char)text[0]]
                                    : find_piece(tokenizer, text, size);
    if (piece >= 0) {
        symbols[(*n)++] = piece;
        return;
    }
    /* A space without a piece of its own stands for U+2581, of whose bytes it is made. */
    if (size == 1 && text[0] == ' ') {
        text = QN_SPACE_MARK;
        size = QN_SPACE_MARK_SIZE;
    }
    bool all = true;
    for (size_t i = 0; i < size; i++) all &= tokenizer->byte_ids[(unsigned char)text[i]] >= 0;
    if (all) {
        for (size_t i = 0; i < size; i++) {
            symbols[(*n)++] = tokenizer->byte_ids[(unsigned char)text[i]];
        }
    } else if (tokenizer->vocab.unknown >= 0 &&
               (*n == 0 || symbols[*n - 1] != tokenizer->vocab.unknown)) {
        symbols[(*n)++] = tokenizer->vocab.unknown;
    }
}

/* Merges a word; prefix: a space stands before it that the text does not have. */
static enum qn_status encode_word(struct qn_encoding *encoding, const char *word, size_t size,
                                  bool prefix, struct qn_error *err) {
    const struct qn_tokenizer *tokenizer = encoding->tokenizer;
    /* A space may become three byte tokens; every other byte gives at most one. */
    size_t room = size + QN_SPACE_MARK_SIZE;
    if (tokenizer->ascii_ids[' '] < 0) room += 2 * size;
    QN_TRY(qn_merger_reserve(&encoding->merger, room, err));
    int32_t *symbols = encoding->merger.symbols;
    size_t n = 0;
    if (prefix) add_character(tokenizer, " ", 1, symbols, &n);
    for (size_t at = 0; at < size;) {
        const size_t length = qn_utf8_length((unsigned char)word[at]);
        add_character(tokenizer, word + at, length, symbols, &n);
        at += length;
    }
    QN_TRY(qn_merge_word(&encoding->merger, &tokenizer->pairs, &n, err));
    return qn_ids_append(encoding->ids, symbols, n, err);
}

/* Where the word at text[at] ends: before the next space that follows another character. */
static size_t word_end(const char *text, size_t at, size_t size) {
    bool other = false;
    while (at < size) {
        const bool mark = starts_with_mark(text + at, size - at);
        const bool space = text[at] == ' ' || mark;
        if (space && other) return at;
        other |= !space;
        at += mark ? QN_SPACE_MARK_SIZE : 1;
    }
    return size;
}

enum qn_status qn_spm_encode(struct qn_encoding *encoding, const char *text, size_t size,
                             struct qn_error *err) {
    const struct qn_tokenizer *tokenizer = encoding->tokenizer;
    const bool prefix = tokenizer->vocab.add_space_prefix;
    encoding->epoch = 0;
    if (tokenizer->inner_space) return encode_word(encoding, text, size, prefix, err);
    for (size_t at = 0; at < size;) {
        const size_t end = word_end(text, at, size);
        const bool first = prefix && at == 0;
        struct qn_cached_word *slot = NULL;
        bool known = false;
        if (!first) QN_TRY(qn_cache_find(encoding, text + at, end - at, &known, &slot, err));
        if (!known) {
            const size_t first_id = encoding->ids->n;
            QN_TRY(encode_word(encoding, text + at, end - at, first, err));
            qn_cache_store(encoding, slot, text + at, end - at, first_id);
        }
        at = end;
    }
    return QN_OK;
}
