/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a tokenizer and answers questions about its tokens; encode.c and decoder.c do the work.
 */
#include "text/tokenizer.h"

#include <assert.h>
#include <stdlib.h>

#include "text/private.h"

static enum qn_status init(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                           struct qn_error *err) {
    QN_TRY(qn_vocab_copy(tokenizer, vocab, err));
    QN_TRY(qn_special_init(&tokenizer->special, tokenizer->tokens, tokenizer->kinds,
                           vocab->n_tokens, vocab->unknown, err));
    return vocab->model == QN_VOCAB_SPM ? qn_spm_init(tokenizer, err)
                                        : qn_bpe_init(tokenizer, vocab, err);
}

enum qn_status qn_tokenizer_new(const struct qn_vocab *vocab, struct qn_tokenizer **out,
                                struct qn_error *err) {
    *out = NULL;
    struct qn_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (tokenizer == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for a tokenizer");
    const enum qn_status status = init(tokenizer, vocab, err);
    if (status != QN_OK) {
        qn_tokenizer_free(tokenizer);
        return status;
    }
    *out = tokenizer;
    return QN_OK;
}

void qn_tokenizer_free(struct qn_tokenizer *tokenizer) {
    if (tokenizer == NULL) return;
    qn_token_map_free(&tokenizer->map);
    qn_pair_map_free(&tokenizer->pairs);
    qn_special_free(&tokenizer->special);
    free(tokenizer->scores);
    free(tokenizer->tokens);
    free(tokenizer->pieces);
    free(tokenizer->kinds);
    free(tokenizer->bytes);
    free(tokenizer);
}

void qn_ids_free(struct qn_ids *ids) {
    free(ids->data);
    *ids = (struct qn_ids){0};
}

struct qn_text qn_tokenizer_piece(const struct qn_tokenizer *tokenizer, int32_t id, bool special) {
    assert(id >= 0 && (uint32_t)id < tokenizer->vocab.n_tokens);
    const bool hidden =
        tokenizer->kinds[id] == QN_TOKEN_CONTROL || tokenizer->kinds[id] == QN_TOKEN_UNKNOWN;
    if (hidden && !special) return (struct qn_text){"", 0};
    return tokenizer->pieces[id];
}

int32_t qn_tokenizer_find(const struct qn_tokenizer *tokenizer, const char *text, size_t size) {
    return qn_token_map_find(&tokenizer->map, text, size);
}

uint32_t qn_tokenizer_n_tokens(const struct qn_tokenizer *tokenizer) {
    return tokenizer->vocab.n_tokens;
}

const struct qn_vocab *qn_tokenizer_vocab(const struct qn_tokenizer *tokenizer) {
    return &tokenizer->vocab;
}

bool qn_tokenizer_is_end(const struct qn_tokenizer *tokenizer, int32_t id) {
    for (size_t i = 0; i < tokenizer->n_ends; i++) {
        if (tokenizer->ends[i] == id) return true;
    }
    return false;
}
