/* SPDX-License-Identifier: Apache-2.0 */
#include "models/vocab_gguf.h"

#include <stdlib.h>
#include <string.h>

#include "text/pretokenize.h"

enum { MAX_TOKENS = 1 << 22 };

/* What the vocabulary points to while the tokenizer is made. */
struct tables {
    struct qn_text *tokens, *merges;
    float *scores;
    uint8_t *kinds;
};

static void tables_free(struct tables *tables) {
    free(tables->tokens);
    free(tables->merges);
    free(tables->scores);
    free(tables->kinds);
}

static bool string_is(struct qn_string s, const char *text) {
    return s.size == strlen(text) && memcmp(s.data, text, s.size) == 0;
}

static enum qn_status read_strings(const struct qn_gguf *gguf, const char *key,
                                   struct qn_text **strings, uint32_t *n, struct qn_error *err) {
    const struct qn_gguf_value *value = NULL;
    QN_TRY(qn_gguf_get_array(gguf, key, QN_GGUF_STRING, &value, err));
    if (value->count > MAX_TOKENS)
        return qn_fail(err, QN_BAD_FILE, "metadata key %s has %llu entries; at most %d are allowed",
                       key, (unsigned long long)value->count, MAX_TOKENS);
    *n = (uint32_t)value->count;
    *strings = malloc((*n ? *n : 1) * sizeof **strings);
    if (!*strings) return qn_fail(err, QN_NO_MEMORY, "no memory for %s", key);
    const uint8_t *cursor = value->data;
    for (uint32_t i = 0; i < *n; i++) {
        const struct qn_string s = qn_gguf_next_string(&cursor);
        (*strings)[i] = (struct qn_text){s.data, s.size};
    }
    return QN_OK;
}

/* An array that must be as long as the vocabulary. */
static enum qn_status read_per_token(const struct qn_gguf *gguf, const char *key,
                                     enum qn_gguf_type element, uint32_t n_tokens,
                                     const uint8_t **data, struct qn_error *err) {
    const struct qn_gguf_value *value = NULL;
    QN_TRY(qn_gguf_get_array(gguf, key, element, &value, err));
    if (value->count != n_tokens)
        return qn_fail(err, QN_BAD_FILE,
                       "metadata key %s has %llu entries; expected one for each "
                       "of the %u tokens",
                       key, (unsigned long long)value->count, n_tokens);
    *data = value->data;
    return QN_OK;
}

static enum qn_status read_scores(const struct qn_gguf *gguf, const struct qn_vocab *vocab,
                                  struct tables *tables, struct qn_error *err) {
    const uint8_t *data = NULL;
    QN_TRY(read_per_token(gguf, "tokenizer.ggml.scores", QN_GGUF_F32, vocab->n_tokens, &data, err));
    tables->scores = malloc(vocab->n_tokens * sizeof(float));
    if (!tables->scores) return qn_fail(err, QN_NO_MEMORY, "no memory for the token scores");
    memcpy(tables->scores, data, vocab->n_tokens * sizeof(float));
    return QN_OK;
}

static enum qn_status read_kinds(const struct qn_gguf *gguf, const struct qn_vocab *vocab,
                                 struct tables *tables, struct qn_error *err) {
    static const char key[] = "tokenizer.ggml.token_type";
    if (!qn_gguf_find(gguf, key)) return QN_OK;
    const uint8_t *data = NULL;
    QN_TRY(read_per_token(gguf, key, QN_GGUF_I32, vocab->n_tokens, &data, err));
    tables->kinds = malloc(vocab->n_tokens);
    if (!tables->kinds) return qn_fail(err, QN_NO_MEMORY, "no memory for the token types");
    for (uint32_t i = 0; i < vocab->n_tokens; i++) {
        int32_t kind;
        memcpy(&kind, data + i * sizeof kind, sizeof kind);
        if (kind < QN_TOKEN_NORMAL || kind > QN_TOKEN_BYTE)
            return qn_fail(err, QN_BAD_FILE,
                           "metadata key %s says %d for token %u; expected 1 to 6", key, kind, i);
        tables->kinds[i] = (uint8_t)kind;
    }
    return QN_OK;
}

static enum qn_status read_special_ids(const struct qn_gguf *gguf, struct qn_vocab *vocab,
                                       struct qn_error *err) {
    const struct {
        const char *key;
        int32_t *id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", &vocab->bos},
               {"tokenizer.ggml.eos_token_id", &vocab->eos},
               {"tokenizer.ggml.unknown_token_id", &vocab->unknown},
               {"tokenizer.ggml.eot_token_id", &vocab->end_of_turn}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        *ids[i].id = -1;
        if (!qn_gguf_find(gguf, ids[i].key)) continue;
        uint64_t id;
        QN_TRY(qn_gguf_get_u64(gguf, ids[i].key, &id, err));
        if (id >= vocab->n_tokens)
            return qn_fail(err, QN_BAD_FILE,
                           "metadata key %s is %llu; the vocabulary has %u tokens", ids[i].key,
                           (unsigned long long)id, vocab->n_tokens);
        *ids[i].id = (int32_t)id;
    }
    return QN_OK;
}

static enum qn_status read_flags(const struct qn_gguf *gguf, struct qn_vocab *vocab,
                                 struct qn_error *err) {
    /* Unless the file says otherwise, SentencePiece vocabularies of the Llama family start texts
     * with BOS and a space, and some BPE ones with BOS. */
    const bool spm = vocab->model == QN_VOCAB_SPM;
    const struct qn_pretokenizer *const pre =
        spm ? NULL : qn_pretokenizer_find(vocab->pre.data, vocab->pre.size);
    vocab->add_space_prefix = spm;
    vocab->add_bos = spm || (pre && pre->bos && vocab->bos >= 0);
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"tokenizer.ggml.add_bos_token", &vocab->add_bos},
                 {"tokenizer.ggml.add_eos_token", &vocab->add_eos},
                 {"tokenizer.ggml.add_space_prefix", &vocab->add_space_prefix}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (qn_gguf_find(gguf, flags[i].key))
            QN_TRY(qn_gguf_get_bool(gguf, flags[i].key, flags[i].flag, err));
    return QN_OK;
}

static enum qn_status read_model(const struct qn_gguf *gguf, struct qn_vocab *vocab,
                                 struct tables *tables, struct qn_error *err) {
    struct qn_string model;
    QN_TRY(qn_gguf_get_string(gguf, "tokenizer.ggml.model", &model, err));
    if (string_is(model, "llama")) {
        vocab->model = QN_VOCAB_SPM;
        return read_scores(gguf, vocab, tables, err);
    }
    if (!string_is(model, "gpt2"))
        return qn_fail(err, QN_UNSUPPORTED,
                       "metadata key tokenizer.ggml.model is '%.*s'; expected gpt2 or llama",
                       (int)(model.size < 64 ? model.size : 64), model.data);
    vocab->model = QN_VOCAB_BPE;
    QN_TRY(read_strings(gguf, "tokenizer.ggml.merges", &tables->merges, &vocab->n_merges, err));
    /* Files of GPT-NeoX often leave the name out; its rule differs from the default one. */
    struct qn_string pre = {"default", 7}, architecture;
    if (qn_gguf_get_string(gguf, "general.architecture", &architecture, NULL) == QN_OK &&
        string_is(architecture, "gptneox"))
        pre = (struct qn_string){"gpt-neox", 8};
    if (qn_gguf_find(gguf, "tokenizer.ggml.pre"))
        QN_TRY(qn_gguf_get_string(gguf, "tokenizer.ggml.pre", &pre, err));
    vocab->pre = (struct qn_text){pre.data, pre.size};
    return QN_OK;
}

static enum qn_status read_vocab(const struct qn_gguf *gguf, struct tables *tables,
                                 struct qn_tokenizer **out, struct qn_error *err) {
    struct qn_vocab vocab = {0};
    QN_TRY(read_strings(gguf, "tokenizer.ggml.tokens", &tables->tokens, &vocab.n_tokens, err));
    QN_TRY(read_model(gguf, &vocab, tables, err));
    QN_TRY(read_kinds(gguf, &vocab, tables, err));
    QN_TRY(read_special_ids(gguf, &vocab, err));
    QN_TRY(read_flags(gguf, &vocab, err));
    struct qn_string text;
    if (qn_gguf_get_string(gguf, "tokenizer.chat_template", &text, NULL) == QN_OK)
        vocab.chat_template = (struct qn_text){text.data, text.size};
    vocab.tokens = tables->tokens;
    vocab.merges = tables->merges;
    vocab.scores = tables->scores;
    vocab.kinds = tables->kinds;
    return qn_tokenizer_new(&vocab, out, err);
}

enum qn_status qn_vocab_gguf_read(const struct qn_gguf *gguf, struct qn_tokenizer **out,
                                  struct qn_error *err) {
    struct tables tables = {0};
    const enum qn_status status = read_vocab(gguf, &tables, out, err);
    tables_free(&tables);
    return status;
}
