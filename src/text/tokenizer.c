/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a tokenizer and answers questions about its tokens; encode.c and decoder.c do the work.
 */
#include "text/tokenizer.h"

#include <assert.h>
#include <stdlib.h>

#include "text/private.h"

/* The tokens that a vocabulary without recipe has looked for in text, by their kinds. */
static enum qn_status init_special(struct qn_tokenizer *tokenizer, struct qn_error *err) {
    const uint32_t n_tokens = tokenizer->vocab.n_tokens;
    struct qn_special_token *tokens = malloc((n_tokens + (size_t)1) * sizeof *tokens);
    if (tokens == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for special tokens");
    size_t n = 0;
    for (uint32_t id = 0; id < n_tokens; id++) {
        const uint8_t kind = tokenizer->kinds[id];
        const bool unknown = kind == QN_TOKEN_UNKNOWN && (int32_t)id == tokenizer->vocab.unknown;
        if (kind != QN_TOKEN_USER_DEFINED && kind != QN_TOKEN_CONTROL && !unknown) continue;
        if (tokenizer->tokens[id].size == 0) continue;
        tokens[n++] = (struct qn_special_token){.text = tokenizer->tokens[id],
                                                .id = (int32_t)id,
                                                .control = kind != QN_TOKEN_USER_DEFINED};
    }
    return qn_special_init(&tokenizer->special, tokens, n, err);
}

/* Texts of added tokens that are looked for in normalized text, normalized themselves, one after
 * another; offsets[i] is where that of added token i starts. */
static enum qn_status normalize_added(struct qn_tokenizer *tokenizer,
                                      const struct qn_recipe *recipe, size_t *offsets,
                                      struct qn_error *err) {
    struct qn_bytes buffers[2] = {0};
    struct qn_regex_work *work = NULL;
    enum qn_status status = QN_OK;
    size_t all = 0;
    for (size_t i = 0; i < recipe->n_added; i++) all += tokenizer->tokens[recipe->added[i].id].size;
    buffers[0].max = buffers[1].max = qn_normalized_max(all);
    for (size_t i = 0; status == QN_OK && i < recipe->n_added; i++) {
        offsets[i] = tokenizer->normalized_texts.size;
        if (!recipe->added[i].normalized) continue;
        const struct qn_text *token = &tokenizer->tokens[recipe->added[i].id];
        const char *text = token->data;
        size_t size = token->size;
        bool front;
        status = qn_normalize(&tokenizer->normalizers, buffers, &work, &text, &size, &front, err);
        if (status == QN_OK) {
            status = qn_bytes_append(&tokenizer->normalized_texts, text, size, err);
        }
    }
    offsets[recipe->n_added] = tokenizer->normalized_texts.size;
    free(buffers[0].data);
    free(buffers[1].data);
    qn_regex_work_free(work);
    return status;
}

/* Such tokens stand for their normalized text: so the tokenizers library decodes them. */
static enum qn_status write_normalized_pieces(struct qn_tokenizer *tokenizer,
                                              const struct qn_recipe *recipe, const size_t *offsets,
                                              struct qn_error *err) {
    struct qn_bytes *out = &tokenizer->normalized_pieces;
    QN_TRY(qn_bytes_reserve(out, offsets[recipe->n_added] + recipe->n_added, err));
    for (size_t i = 0; i < recipe->n_added; i++) {
        if (!recipe->added[i].normalized) continue;
        const int32_t id = recipe->added[i].id;
        const struct qn_text text = {tokenizer->normalized_texts.data + offsets[i],
                                     offsets[i + 1] - offsets[i]};
        char *piece = out->data + out->size;
        const size_t size =
            qn_vocab_write_piece(&recipe->decoding, tokenizer->kinds[id], &text, piece);
        tokenizer->pieces[id] = (struct qn_text){piece, size};
        out->size += size;
    }
    return QN_OK;
}

/* The added tokens that are looked for in normalized text, or in text as it comes. */
static enum qn_status init_added(struct qn_tokenizer *tokenizer, const struct qn_recipe *recipe,
                                 bool normalized, const size_t *offsets, struct qn_error *err) {
    struct qn_special_token *tokens = malloc((recipe->n_added + 1) * sizeof *tokens);
    if (tokens == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for added tokens");
    size_t n = 0;
    for (size_t i = 0; i < recipe->n_added; i++) {
        const struct qn_added_token *added = &recipe->added[i];
        if (added->normalized != normalized) continue;
        const struct qn_text written = {tokenizer->normalized_texts.data + offsets[i],
                                        offsets[i + 1] - offsets[i]};
        tokens[n++] =
            (struct qn_special_token){.text = normalized ? written : tokenizer->tokens[added->id],
                                      .id = added->id,
                                      .control = tokenizer->kinds[added->id] == QN_TOKEN_CONTROL,
                                      .single_word = added->single_word,
                                      .lstrip = added->lstrip,
                                      .rstrip = added->rstrip};
    }
    return qn_special_init(normalized ? &tokenizer->normalized : &tokenizer->special, tokens, n,
                           err);
}

static enum qn_status init_recipe(struct qn_tokenizer *tokenizer, const struct qn_recipe *recipe,
                                  struct qn_error *err) {
    tokenizer->has_recipe = true;
    tokenizer->ignore_merges = recipe->ignore_merges;
    tokenizer->byte_fallback = recipe->byte_fallback;
    tokenizer->fuse_unknown = recipe->fuse_unknown;
    QN_TRY(
        qn_passes_init(&tokenizer->normalizers, recipe->normalizers, recipe->n_normalizers, err));
    QN_TRY(qn_passes_init(&tokenizer->splitters, recipe->splitters, recipe->n_splitters, err));
    size_t *offsets = malloc((recipe->n_added + 1) * sizeof *offsets);
    if (offsets == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for added tokens");
    enum qn_status status = normalize_added(tokenizer, recipe, offsets, err);
    if (status == QN_OK) status = write_normalized_pieces(tokenizer, recipe, offsets, err);
    if (status == QN_OK) status = init_added(tokenizer, recipe, false, offsets, err);
    if (status == QN_OK) status = init_added(tokenizer, recipe, true, offsets, err);
    free(offsets);
    return status;
}

static enum qn_status init(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                           struct qn_error *err) {
    QN_TRY(qn_vocab_copy(tokenizer, vocab, err));
    QN_TRY(vocab->recipe != NULL ? init_recipe(tokenizer, vocab->recipe, err)
                                 : init_special(tokenizer, err));
    switch (vocab->model) {
    case QN_VOCAB_SPM:
        return qn_spm_init(tokenizer, err);
    case QN_VOCAB_UNIGRAM:
        return qn_unigram_init(tokenizer, vocab, err);
    default:
        return qn_bpe_init(tokenizer, vocab, err);
    }
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
    qn_special_free(&tokenizer->normalized);
    qn_special_free(&tokenizer->prefixes);
    qn_passes_free(&tokenizer->normalizers);
    qn_passes_free(&tokenizer->splitters);
    free(tokenizer->normalized_texts.data);
    free(tokenizer->normalized_pieces.data);
    free(tokenizer->weights);
    free(tokenizer->chat_template);
    free(tokenizer->foreign);
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

size_t qn_tokenizer_n_prefix(const struct qn_tokenizer *tokenizer) {
    return tokenizer->n_prefix;
}

const char *qn_tokenizer_kind(const struct qn_tokenizer *tokenizer) {
    if (tokenizer->vocab.model == QN_VOCAB_SPM) return "SentencePiece";
    if (tokenizer->vocab.model == QN_VOCAB_UNIGRAM) return "Unigram";
    if (tokenizer->whole_bytes) return "byte-level BPE";
    return tokenizer->byte_fallback ? "BPE with byte fallback" : "BPE";
}

const char *qn_tokenizer_chat_template(const struct qn_tokenizer *tokenizer) {
    return tokenizer->chat_template;
}

bool qn_tokenizer_is_end(const struct qn_tokenizer *tokenizer, int32_t id) {
    for (size_t i = 0; i < tokenizer->n_ends; i++) {
        if (tokenizer->ends[i] == id) return true;
    }
    return false;
}
