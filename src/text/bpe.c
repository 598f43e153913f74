/* SPDX-License-Identifier: Apache-2.0
 *
 * BPE by a list of merges, which becomes a map of pairs. What a word starts as is its bytes, or its
 * characters where the vocabulary is not byte-level.
 */
#include <stdlib.h>
#include <string.h>

#include "text/bytes.h"
#include "text/private.h"

static int32_t find_token(const struct qn_tokenizer *tokenizer, const char *text, size_t size) {
    const int32_t id = qn_token_map_find(&tokenizer->map, text, size);
    return id >= 0 && !tokenizer->foreign[id] ? id : -1;
}

/* Of bytes in the byte alphabet, or spelled <0xHH>; and of ASCII characters. */
static void find_byte_tokens(struct qn_tokenizer *tokenizer) {
    static const char digits[] = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        char text[6] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
        const size_t size = tokenizer->whole_bytes ? qn_bytes_encode(&c, 1, text) : sizeof text;
        tokenizer->byte_ids[byte] = find_token(tokenizer, text, size);
        if (byte < 128) tokenizer->ascii_ids[byte] = find_token(tokenizer, &c, 1);
    }
}

static int printable_size(size_t size) {
    return (int)(size < 64 ? size : 64);
}

static enum qn_status make_merge(const struct qn_tokenizer *tokenizer, struct qn_text left,
                                 struct qn_text right, uint32_t i, struct qn_bytes *joined,
                                 struct qn_merge *merge, struct qn_error *err) {
    joined->size = 0;
    QN_TRY(qn_bytes_append(joined, left.data, left.size, err));
    QN_TRY(qn_bytes_append(joined, right.data, right.size, err));
    const int32_t left_id = find_token(tokenizer, left.data, left.size);
    const int32_t right_id = find_token(tokenizer, right.data, right.size);
    const int32_t id = find_token(tokenizer, joined->data, joined->size);
    if (left_id < 0 || right_id < 0 || id < 0) {
        return qn_fail(
            err, QN_BAD_FILE, "merge %u, \"%.*s %.*s\", names a token that does not exist", i,
            printable_size(left.size), left.data, printable_size(right.size), right.data);
    }
    *merge = (struct qn_merge){(uint32_t)left_id, (uint32_t)right_id, i, id};
    return QN_OK;
}

bool qn_vocab_split_merge(struct qn_text merge, struct qn_text pair[2]) {
    const char *space = merge.size > 0 ? memchr(merge.data, ' ', merge.size) : NULL;
    const size_t left = space == NULL ? 0 : (size_t)(space - merge.data);
    const size_t right = space == NULL ? 0 : merge.size - left - 1;
    if (left == 0 || right == 0 || memchr(space + 1, ' ', right) != NULL) return false;
    pair[0] = (struct qn_text){merge.data, left};
    pair[1] = (struct qn_text){space + 1, right};
    return true;
}

/* The two tokens of a merge; a recipe has them apart. */
static enum qn_status pair_of(const struct qn_vocab *vocab, uint32_t i, struct qn_text pair[2],
                              struct qn_error *err) {
    if (vocab->recipe != NULL) {
        memcpy(pair, vocab->merges + 2 * (size_t)i, 2 * sizeof *pair);
        return QN_OK;
    }
    const struct qn_text merge = vocab->merges[i];
    if (qn_vocab_split_merge(merge, pair)) return QN_OK;
    return qn_fail(err, QN_BAD_FILE, "merge %u is \"%.*s\", expected two tokens and a space", i,
                   printable_size(merge.size), merge.size > 0 ? merge.data : "");
}

static bool starts_with_mark(struct qn_text text) {
    return text.size >= QN_SPACE_MARK_SIZE &&
           memcmp(text.data, QN_SPACE_MARK, QN_SPACE_MARK_SIZE) == 0;
}

static bool ends_with_mark(struct qn_text text) {
    return text.size >= QN_SPACE_MARK_SIZE && memcmp(text.data + text.size - QN_SPACE_MARK_SIZE,
                                                     QN_SPACE_MARK, QN_SPACE_MARK_SIZE) == 0;
}

/* Of equal pairs the first counts in a GGUF file, as in llama.cpp, and the last in a
 * tokenizer.json, as in the tokenizers library: so that is read from the end. */
static enum qn_status read_merges(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                                  struct qn_bytes *joined, struct qn_error *err) {
    for (uint32_t k = 0; k < vocab->n_merges; k++) {
        const uint32_t i = vocab->recipe != NULL ? vocab->n_merges - 1 - k : k;
        struct qn_text pair[2];
        struct qn_merge merge;
        QN_TRY(pair_of(vocab, i, pair, err));
        QN_TRY(make_merge(tokenizer, pair[0], pair[1], i, joined, &merge, err));
        QN_TRY(qn_pair_map_add(&tokenizer->pairs, &merge, err));
        if (starts_with_mark(pair[1]) && !ends_with_mark(pair[0])) tokenizer->inner_space = true;
    }
    return QN_OK;
}

/* The splitters that the name of a pre-tokenizer stands for. */
static enum qn_status init_named(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                                 struct qn_error *err) {
    const struct qn_pretokenizer *pre = qn_pretokenizer_find(vocab->pre.data, vocab->pre.size);
    if (pre == NULL) {
        return qn_fail(err, QN_UNSUPPORTED, "pre-tokenizer \"%.*s\" is not known",
                       printable_size(vocab->pre.size), vocab->pre.data);
    }
    static const struct qn_text_step nfc = {.kind = QN_TEXT_NFC};
    tokenizer->vocab.pre.data = pre->name;
    tokenizer->ignore_merges = pre->ignore_merges;
    QN_TRY(qn_passes_init(&tokenizer->normalizers, &nfc, pre->nfc, err));
    return qn_passes_init_named(&tokenizer->splitters, pre, err);
}

/* Words are merged as bytes where that gives the same as merging characters of the byte alphabet:
 * unless a byte without token would become something else than nothing. */
static bool merges_bytes(const struct qn_tokenizer *tokenizer) {
    const struct qn_passes *splitters = &tokenizer->splitters;
    if (splitters->n == 0 || splitters->passes[splitters->n - 1].step.kind != QN_TEXT_BYTES) {
        return false;
    }
    if (tokenizer->vocab.unknown < 0 && !tokenizer->byte_fallback) return true;
    for (int byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        char text[2];
        if (find_token(tokenizer, text, qn_bytes_encode(&c, 1, text)) < 0) return false;
    }
    return true;
}

enum qn_status qn_bpe_init(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                           struct qn_error *err) {
    if (vocab->recipe == NULL) QN_TRY(init_named(tokenizer, vocab, err));
    tokenizer->whole_bytes = vocab->recipe == NULL || merges_bytes(tokenizer);
    find_byte_tokens(tokenizer);
    /* Without a token for it, U+2581 can become one with what stands before. */
    tokenizer->inner_space = find_token(tokenizer, QN_SPACE_MARK, QN_SPACE_MARK_SIZE) < 0;
    if (vocab->merges == NULL && vocab->scores != NULL) return qn_spm_init_pairs(tokenizer, err);
    QN_TRY(qn_pair_map_init(&tokenizer->pairs, vocab->n_merges, tokenizer->map.secret, err));
    struct qn_bytes joined = {0};
    const enum qn_status status = read_merges(tokenizer, vocab, &joined, err);
    free(joined.data);
    return status;
}

/* The token that a whole word is, or -1. */
static enum qn_status whole_word(struct qn_encoding *encoding, const char *word, size_t size,
                                 int32_t *id, struct qn_error *err) {
    const struct qn_tokenizer *tokenizer = encoding->tokenizer;
    *id = -1;
    if (size > tokenizer->longest_token) return QN_OK;
    if (!tokenizer->whole_bytes) {
        *id = find_token(tokenizer, word, size);
        return QN_OK;
    }
    encoding->scratch.size = 0;
    QN_TRY(qn_bytes_reserve(&encoding->scratch, 2 * size, err));
    const size_t encoded = qn_bytes_encode(word, size, encoding->scratch.data);
    *id = find_token(tokenizer, encoding->scratch.data, encoded);
    /* A GGUF file does not say which of its other tokens the model itself has. */
    if (!tokenizer->has_recipe && *id >= 0 && tokenizer->kinds[*id] != QN_TOKEN_NORMAL) *id = -1;
    return QN_OK;
}

/* Bytes that the vocabulary lacks are dropped, as HF does. */
static size_t start_with_bytes(const struct qn_tokenizer *tokenizer, const char *word, size_t size,
                               int32_t *symbols) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        const int32_t id = tokenizer->byte_ids[(unsigned char)word[i]];
        if (id >= 0) symbols[n++] = id;
    }
    return n;
}

static bool has_bytes(const struct qn_tokenizer *tokenizer, const char *text, size_t size) {
    if (!tokenizer->byte_fallback) return false;
    for (size_t i = 0; i < size; i++) {
        if (tokenizer->byte_ids[(unsigned char)text[i]] < 0) return false;
    }
    return true;
}

/* Characters without a token become their bytes' tokens, or the unknown token. That waits for the
 * next character that is known, because it may take in others; bytes do not end the wait: so HF.
 */
static size_t start_with_characters(const struct qn_tokenizer *tokenizer, const char *word,
                                    size_t size, int32_t *symbols) {
    const int32_t unknown = tokenizer->vocab.unknown;
    bool waiting = false;
    size_t n = 0, length;
    for (size_t at = 0; at < size; at += length) {
        const unsigned char lead = (unsigned char)word[at];
        length = qn_utf8_length(lead);
        const int32_t id =
            length == 1 ? tokenizer->ascii_ids[lead] : find_token(tokenizer, word + at, length);
        if (id < 0 && has_bytes(tokenizer, word + at, length)) {
            n += start_with_bytes(tokenizer, word + at, length, symbols + n);
        } else if (id < 0 && unknown >= 0) {
            if (waiting && !tokenizer->fuse_unknown) symbols[n++] = unknown;
            waiting = true;
        } else if (id >= 0) {
            if (waiting) symbols[n++] = unknown;
            waiting = false;
            symbols[n++] = id;
        }
    }
    if (waiting) symbols[n++] = unknown;
    return n;
}

static enum qn_status merge(struct qn_encoding *encoding, const char *word, size_t size,
                            struct qn_error *err) {
    const struct qn_tokenizer *tokenizer = encoding->tokenizer;
    QN_TRY(qn_merger_reserve(&encoding->merger, size, err));
    int32_t *symbols = encoding->merger.symbols;
    size_t n = tokenizer->whole_bytes ? start_with_bytes(tokenizer, word, size, symbols)
                                      : start_with_characters(tokenizer, word, size, symbols);
    QN_TRY(qn_merge_word(&encoding->merger, &tokenizer->pairs, &n, err));
    return qn_ids_append(encoding->ids, encoding->merger.symbols, n, err);
}

/* Where the part of a word that starts at word[at] ends: before the next U+2581 that follows
 * another character. */
static size_t part_end(const char *word, size_t at, size_t size) {
    bool other = false;
    while (at < size) {
        const bool mark = starts_with_mark((struct qn_text){word + at, size - at});
        if (mark && other) return at;
        other |= !mark;
        at += mark ? QN_SPACE_MARK_SIZE : 1;
    }
    return size;
}

/* Vocabularies of SentencePiece's kind take a whole text for one word. No merge reaches across
 * where a space follows another character, so that is merged in parts, which come back. */
static enum qn_status merge_parts(struct qn_encoding *encoding, const char *word, size_t size,
                                  struct qn_error *err) {
    for (size_t at = 0; at < size;) {
        const size_t end = part_end(word, at, size);
        struct qn_cached_word *slot;
        bool known;
        QN_TRY(qn_cache_find(encoding, word + at, end - at, &known, &slot, err));
        const size_t first = encoding->ids->n;
        if (!known) {
            QN_TRY(merge(encoding, word + at, end - at, err));
            qn_cache_store(encoding, slot, word + at, end - at, first);
        }
        at = end;
    }
    return QN_OK;
}

enum qn_status qn_bpe_word(struct qn_encoding *encoding, const char *word, size_t size,
                           struct qn_error *err) {
    const struct qn_tokenizer *tokenizer = encoding->tokenizer;
    if (tokenizer->ignore_merges) {
        int32_t id;
        QN_TRY(whole_word(encoding, word, size, &id, err));
        if (id >= 0) return qn_ids_append(encoding->ids, &id, 1, err);
    } else if (!tokenizer->whole_bytes && !tokenizer->inner_space) {
        return merge_parts(encoding, word, size, err);
    }
    return merge(encoding, word, size, err);
}
