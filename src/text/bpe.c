/* SPDX-License-Identifier: Apache-2.0
 *
 * Byte-level BPE: the list of merges becomes a map of pairs; text is normalized, cut into words,
 * and each word's bytes are merged.
 */
#include <stdlib.h>
#include <string.h>

#include "text/bytes.h"
#include "text/private.h"

static void find_byte_tokens(struct qn_tokenizer *tokenizer) {
    for (int byte = 0; byte < 256; byte++) {
        const char c = (char)byte;
        char text[2];
        const size_t size = qn_bytes_encode(&c, 1, text);
        tokenizer->byte_ids[byte] = qn_token_map_find(&tokenizer->map, text, size);
    }
}

static int printable_size(size_t size) {
    return (int)(size < 64 ? size : 64);
}

/* Reads "left right" of rank i. */
static enum qn_status read_merge(const struct qn_tokenizer *tokenizer, const struct qn_text *text,
                                 uint32_t i, struct qn_bytes *joined, struct qn_merge *merge,
                                 struct qn_error *err) {
    const char *space = text->size > 0 ? memchr(text->data, ' ', text->size) : NULL;
    const size_t left_size = space == NULL ? 0 : (size_t)(space - text->data);
    const size_t right_size = space == NULL ? 0 : text->size - left_size - 1;
    if (left_size == 0 || right_size == 0 || memchr(space + 1, ' ', right_size) != NULL) {
        return qn_fail(err, QN_BAD_FILE, "merge %u is \"%.*s\", expected two tokens and a space", i,
                       printable_size(text->size), text->size > 0 ? text->data : "");
    }
    joined->size = 0;
    QN_TRY(qn_bytes_reserve(joined, text->size, err));
    memcpy(joined->data, text->data, left_size);
    memcpy(joined->data + left_size, space + 1, right_size);
    const int32_t left = qn_token_map_find(&tokenizer->map, text->data, left_size);
    const int32_t right = qn_token_map_find(&tokenizer->map, space + 1, right_size);
    const int32_t id = qn_token_map_find(&tokenizer->map, joined->data, left_size + right_size);
    if (left < 0 || right < 0 || id < 0) {
        return qn_fail(err, QN_BAD_FILE, "merge %u, \"%.*s\", names a token that does not exist", i,
                       printable_size(text->size), text->data);
    }
    *merge = (struct qn_merge){(uint32_t)left, (uint32_t)right, i, id};
    return QN_OK;
}

static enum qn_status read_merges(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                                  struct qn_bytes *joined, struct qn_error *err) {
    for (uint32_t i = 0; i < vocab->n_merges; i++) {
        struct qn_merge merge;
        QN_TRY(read_merge(tokenizer, &vocab->merges[i], i, joined, &merge, err));
        QN_TRY(qn_pair_map_add(&tokenizer->pairs, &merge, err));
    }
    return QN_OK;
}

enum qn_status qn_bpe_init(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                           struct qn_error *err) {
    tokenizer->pre = qn_pretokenizer_find(vocab->pre.data, vocab->pre.size);
    if (tokenizer->pre == NULL) {
        return qn_fail(err, QN_UNSUPPORTED, "pre-tokenizer \"%.*s\" is not known",
                       printable_size(vocab->pre.size), vocab->pre.data);
    }
    tokenizer->vocab.pre.data = tokenizer->pre->name;
    find_byte_tokens(tokenizer);
    QN_TRY(qn_pair_map_init(&tokenizer->pairs, vocab->n_merges, tokenizer->map.secret, err));
    struct qn_bytes joined = {0};
    const enum qn_status status = read_merges(tokenizer, vocab, &joined, err);
    free(joined.data);
    return status;
}

/* The token that a whole word is, or -1. */
static enum qn_status whole_word(struct qn_encoding *encoding, const char *word, size_t size,
                                 int32_t *id, struct qn_error *err) {
    *id = -1;
    if (size > encoding->tokenizer->longest_token) return QN_OK;
    encoding->scratch.size = 0;
    QN_TRY(qn_bytes_reserve(&encoding->scratch, 2 * size, err));
    const size_t encoded = qn_bytes_encode(word, size, encoding->scratch.data);
    const int32_t found =
        qn_token_map_find(&encoding->tokenizer->map, encoding->scratch.data, encoded);
    if (found >= 0 && encoding->tokenizer->kinds[found] == QN_TOKEN_NORMAL) *id = found;
    return QN_OK;
}

static enum qn_status encode_word(struct qn_encoding *encoding, const char *word, size_t size,
                                  struct qn_error *err) {
    const struct qn_tokenizer *tokenizer = encoding->tokenizer;
    if (tokenizer->pre->ignore_merges) {
        int32_t id;
        QN_TRY(whole_word(encoding, word, size, &id, err));
        if (id >= 0) return qn_ids_append(encoding->ids, &id, 1, err);
    }
    QN_TRY(qn_merger_reserve(&encoding->merger, size, err));
    size_t n = 0;
    for (size_t i = 0; i < size;
         i++) { /* bytes that the vocabulary lacks are dropped, as HF does */
        const int32_t id = tokenizer->byte_ids[(unsigned char)word[i]];
        if (id >= 0) encoding->merger.symbols[n++] = id;
    }
    QN_TRY(qn_merge_word(&encoding->merger, &tokenizer->pairs, &n, err));
    return qn_ids_append(encoding->ids, encoding->merger.symbols, n, err);
}

enum qn_status qn_bpe_encode(struct qn_encoding *encoding, const char *text, size_t size,
                             struct qn_error *err) {
    const struct qn_pretokenizer *pre = encoding->tokenizer->pre;
    encoding->epoch = 0;
    if (pre->nfc && !qn_unicode_is_nfc(text, size)) {
        encoding->normalized.size = 0;
        QN_TRY(qn_unicode_nfc(text, size, &encoding->normalized, err));
        text = encoding->normalized.data;
        size = encoding->normalized.size;
        encoding->epoch = ++encoding->last_epoch;
    }
    struct qn_words words;
    qn_words_start(&words, pre, text, 0, size);
    size_t begin, end;
    while (qn_words_next(&words, &begin, &end)) {
        const char *word = text + begin;
        struct qn_cached_word *slot;
        bool known;
        QN_TRY(qn_cache_find(encoding, word, end - begin, &known, &slot, err));
        if (known) continue;
        const size_t first = encoding->ids->n;
        QN_TRY(encode_word(encoding, word, end - begin, err));
        qn_cache_store(encoding, slot, word, end - begin, first);
    }
    return QN_OK;
}
