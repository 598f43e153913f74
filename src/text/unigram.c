/* SPDX-License-Identifier: Apache-2.0
 *
 * Unigram: of all ways to split a word into tokens, the one of the largest sum of scores, found
 * from left to right (Viterbi). A character that is no token itself may stand as the unknown one,
 * at a cost. Sums and their order are those of Hugging Face's tokenizers, so that ties fall alike.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "text/private.h"

/* What the unknown token scores less than the worst of the others. */
static const double unknown_penalty = 10;

static enum qn_status make_prefixes(struct qn_tokenizer *tokenizer, struct qn_error *err) {
    const uint32_t n = tokenizer->vocab.n_tokens;
    struct qn_special_token *tokens = malloc((n + (size_t)1) * sizeof *tokens);
    if (tokens == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for %u tokens", n);
    size_t n_kept = 0;
    for (uint32_t id = 0; id < n; id++) {
        if (tokenizer->foreign[id]) continue;
        if (tokenizer->tokens[id].size > QN_SPECIAL_MAX) {
            free(tokens);
            return qn_fail(err, QN_BAD_FILE, "token %u has %zu bytes, expected at most %d", id,
                           tokenizer->tokens[id].size, QN_SPECIAL_MAX);
        }
        tokens[n_kept++] =
            (struct qn_special_token){tokenizer->tokens[id], (int32_t)id, 0, 0, 0, 0};
    }
    return qn_special_init(&tokenizer->prefixes, tokens, n_kept, err);
}

static void find_byte_tokens(struct qn_tokenizer *tokenizer) {
    for (int byte = 0; byte < 256; byte++) tokenizer->byte_ids[byte] = -1;
    for (uint32_t id = 0; id < tokenizer->vocab.n_tokens; id++) {
        const int byte = qn_vocab_byte_token(&tokenizer->tokens[id]);
        if (byte >= 0 && !tokenizer->foreign[id]) tokenizer->byte_ids[byte] = (int32_t)id;
    }
}

enum qn_status qn_unigram_init(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                               struct qn_error *err) {
    const uint32_t n = vocab->n_tokens;
    tokenizer->weights = malloc(n * sizeof *tokenizer->weights);
    if (tokenizer->weights == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for %u scores", n);
    double worst = INFINITY;
    for (uint32_t id = 0; id < n; id++) {
        if (tokenizer->foreign[id]) continue;
        const double score = vocab->recipe->scores[id];
        if (!isfinite(score)) {
            return qn_fail(err, QN_BAD_FILE, "the score of token %u is not a number", id);
        }
        tokenizer->weights[id] = score;
        worst = score < worst ? score : worst;
    }
    tokenizer->unknown_weight = worst - unknown_penalty;
    find_byte_tokens(tokenizer);
    return make_prefixes(tokenizer, err);
}

static void offer(struct qn_best_end *end, double score, size_t length, int32_t id) {
    if (end->length > 0 && !(score > end->score)) return;
    *end = (struct qn_best_end){score, (uint32_t)length, id};
}

/* lattice[i] becomes the best way to text[0, i). */
static enum qn_status fill(const struct qn_tokenizer *tokenizer, struct qn_best_end *lattice,
                           const char *text, size_t size, struct qn_error *err) {
    memset(lattice, 0, (size + 1) * sizeof *lattice);
    for (size_t at = 0, length; at < size; at += length) {
        length = qn_utf8_length((unsigned char)text[at]);
        const double before = lattice[at].score;
        bool single = false;
        struct qn_special_prefix prefix = {0};
        const struct qn_special_token *token;
        while ((token = qn_special_prefix_next(&tokenizer->prefixes, &prefix, text + at,
                                               size - at)) != NULL) {
            const double score = tokenizer->weights[token->id] + before;
            offer(&lattice[at + token->text.size], score, token->text.size, token->id);
            single |= token->text.size == length;
        }
        if (single) continue;
        if (tokenizer->vocab.unknown < 0) {
            return qn_fail(err, QN_BAD_FILE,
                           "a character has no token, and the vocabulary names no unknown token");
        }
        offer(&lattice[at + length], tokenizer->unknown_weight + before, length,
              tokenizer->vocab.unknown);
    }
    return QN_OK;
}

/* The ids of a token of the best way; unknown ones may have other names. */
static enum qn_status append_token(struct qn_encoding *encoding, const char *text, size_t size,
                                   struct qn_error *err) {
    const struct qn_tokenizer *tokenizer = encoding->tokenizer;
    int32_t id = qn_token_map_find(&tokenizer->map, text, size);
    if (id >= 0 && !tokenizer->foreign[id]) return qn_ids_append(encoding->ids, &id, 1, err);
    bool all = tokenizer->byte_fallback;
    for (size_t i = 0; all && i < size; i++) all = tokenizer->byte_ids[(unsigned char)text[i]] >= 0;
    if (!all) return qn_ids_append(encoding->ids, &tokenizer->vocab.unknown, 1, err);
    for (size_t i = 0; i < size; i++) {
        QN_TRY(qn_ids_append(encoding->ids, &tokenizer->byte_ids[(unsigned char)text[i]], 1, err));
    }
    return QN_OK;
}

static enum qn_status reserve(struct qn_encoding *encoding, size_t n, struct qn_error *err) {
    if (n <= encoding->lattice_capacity) return QN_OK;
    size_t bytes;
    const size_t wanted = n < SIZE_MAX / 2 ? 2 * n : n;
    struct qn_best_end *larger = NULL;
    if (!qn_checked_mul(wanted, sizeof *larger, &bytes) ||
        (larger = realloc(encoding->lattice, bytes)) == NULL) {
        return qn_fail(err, QN_NO_MEMORY, "no memory to tokenize a word of %zu bytes", n);
    }
    encoding->lattice = larger;
    encoding->lattice_capacity = wanted;
    return QN_OK;
}

/* Turns the way back around: afterwards lattice[i].length is the bytes of the token that starts
 * at i. */
static void turn_around(struct qn_best_end *lattice, size_t size) {
    struct qn_best_end token = lattice[size];
    for (size_t end = size; end > 0;) {
        const size_t start = end - token.length;
        const struct qn_best_end before = lattice[start];
        lattice[start] = token;
        token = before;
        end = start;
    }
}

enum qn_status qn_unigram_word(struct qn_encoding *encoding, const char *word, size_t size,
                               struct qn_error *err) {
    if (size >= UINT32_MAX) {
        return qn_fail(err, QN_UNSUPPORTED, "a word of %zu bytes is too long to tokenize", size);
    }
    QN_TRY(reserve(encoding, size + 1, err));
    struct qn_best_end *lattice = encoding->lattice;
    QN_TRY(fill(encoding->tokenizer, lattice, word, size, err));
    turn_around(lattice, size);
    const int32_t unknown = encoding->tokenizer->vocab.unknown;
    for (size_t at = 0; at < size;) {
        const bool is_unknown = lattice[at].id == unknown;
        size_t end = at + lattice[at].length;
        while (is_unknown && encoding->tokenizer->fuse_unknown && end < size &&
               lattice[end].id == unknown) {
            end += lattice[end].length;
        }
        QN_TRY(append_token(encoding, word + at, end - at, err));
        at = end;
    }
    return QN_OK;
}
