/* SPDX-License-Identifier: Apache-2.0
 *
 * Takes a vocabulary over: checks what a file may have wrong, and works out the bytes that each
 * token stands for.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "text/bytes.h"
#include "text/private.h"

/* Real tokens have up to a few hundred bytes, real vocabularies up to some 300,000 tokens. */
enum { TOKEN_MAX = 1 << 16, TOKENS_MAX = 1 << 24 };

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int qn_vocab_byte_token(const struct qn_text *token) {
    if (token->size != 6 || memcmp(token->data, "<0x", 3) != 0 || token->data[5] != '>') return -1;
    const int high = hex_digit(token->data[3]), low = hex_digit(token->data[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

bool qn_vocab_is_byte(struct qn_text token) {
    return qn_vocab_byte_token(&token) >= 0;
}

static enum qn_status check_id(int32_t id, uint32_t n, const char *what, struct qn_error *err) {
    if (id >= -1 && (id < 0 || (uint32_t)id < n)) return QN_OK;
    return qn_fail(err, QN_BAD_FILE, "the %s token has id %d, expected less than %u", what, (int)id,
                   n);
}

static enum qn_status check(const struct qn_vocab *vocab, size_t *n_bytes, struct qn_error *err) {
    const uint32_t n = vocab->n_tokens;
    if (n == 0 || n > TOKENS_MAX) {
        return qn_fail(err, QN_BAD_FILE, "the vocabulary has %u tokens, expected 1 to %d", n,
                       TOKENS_MAX);
    }
    if (vocab->model == QN_VOCAB_SPM && vocab->scores == NULL) {
        return qn_fail(err, QN_BAD_FILE, "the SentencePiece vocabulary has no scores");
    }
    *n_bytes = 0;
    for (uint32_t id = 0; id < n; id++) {
        if (vocab->tokens[id].size > TOKEN_MAX) {
            return qn_fail(err, QN_BAD_FILE, "token %u has %zu bytes, expected at most %d", id,
                           vocab->tokens[id].size, TOKEN_MAX);
        }
        if (vocab->scores != NULL && isnan(vocab->scores[id])) {
            return qn_fail(err, QN_BAD_FILE, "the score of token %u is not a number", id);
        }
        if (vocab->kinds != NULL && vocab->kinds[id] == QN_TOKEN_BYTE &&
            qn_vocab_byte_token(&vocab->tokens[id]) < 0) {
            return qn_fail(err, QN_BAD_FILE, "byte token %u is \"%.*s\", expected \"<0xHH>\"", id,
                           (int)(vocab->tokens[id].size < 64 ? vocab->tokens[id].size : 64),
                           vocab->tokens[id].data);
        }
        if (!qn_checked_add(*n_bytes, 2 * vocab->tokens[id].size + 1, n_bytes)) {
            return qn_fail(err, QN_NO_MEMORY, "the vocabulary is too large");
        }
    }
    const struct qn_recipe *recipe = vocab->recipe;
    if (recipe != NULL && recipe->decoding.to.size > recipe->decoding.from.size) {
        return qn_fail(err, QN_UNSUPPORTED, "the decoder replaces a text by a longer one");
    }
    if (vocab->model == QN_VOCAB_UNIGRAM && (recipe == NULL || recipe->scores == NULL)) {
        return qn_fail(err, QN_BAD_FILE, "the Unigram vocabulary has no scores");
    }
    QN_TRY(check_id(vocab->bos, n, "beginning-of-text", err));
    QN_TRY(check_id(vocab->eos, n, "end-of-text", err));
    QN_TRY(check_id(vocab->unknown, n, "unknown", err));
    return check_id(vocab->end_of_turn, n, "end-of-turn", err);
}

static size_t write_replaced(const struct qn_decoding *decoding, const struct qn_text *token,
                             char *out) {
    const struct qn_text from = decoding->from, to = decoding->to;
    size_t n = 0;
    for (size_t i = 0; i < token->size;) {
        if (from.size > 0 && token->size - i >= from.size &&
            memcmp(token->data + i, from.data, from.size) == 0) {
            memcpy(out + n, to.data, to.size);
            n += to.size;
            i += from.size;
        } else {
            out[n++] = token->data[i++];
        }
    }
    return n;
}

size_t qn_vocab_write_piece(const struct qn_decoding *decoding, uint8_t kind,
                            const struct qn_text *token, char *out) {
    if (decoding->alphabet) {
        const size_t n = qn_bytes_decode(token->data, token->size, out);
        if (n != SIZE_MAX) return n;
    }
    if (kind == QN_TOKEN_BYTE && decoding->byte_tokens) {
        out[0] = (char)qn_vocab_byte_token(token);
        return 1;
    }
    return write_replaced(decoding, token, out);
}

/* In GGUF files what is no plain text has its own spelling. */
static struct qn_decoding decoding_of(const struct qn_vocab *vocab, uint8_t kind) {
    static const struct qn_decoding plain = {.strip = QN_STRIP_NONE};
    static const struct qn_decoding alphabet = {.alphabet = true};
    static const struct qn_decoding marks = {
        .byte_tokens = true, .from = {QN_SPACE_MARK, QN_SPACE_MARK_SIZE}, .to = {" ", 1}};
    if (vocab->recipe != NULL) return vocab->recipe->decoding;
    if (vocab->model == QN_VOCAB_SPM) return kind == QN_TOKEN_CONTROL ? plain : marks;
    return kind == QN_TOKEN_NORMAL ? alphabet : plain;
}

/* SentencePiece files without kinds spell bytes like all others. */
static uint8_t kind_of(const struct qn_vocab *vocab, uint32_t id) {
    if (vocab->kinds != NULL) return vocab->kinds[id];
    const bool byte = vocab->model == QN_VOCAB_SPM && qn_vocab_byte_token(&vocab->tokens[id]) >= 0;
    return byte ? QN_TOKEN_BYTE : QN_TOKEN_NORMAL;
}

/* Texts that end an answer, in the families that mark turns. The file's own EOS and end of turn
 * come on top; these are for files that name only one of them. */
static const char *const end_texts[] = {
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|eot|>",
    "<end_of_turn>",
    "<|end_of_turn|>",
    "<EOT>",
    "<|END_OF_TURN_TOKEN|>",
    "</s>",
    "<|return|>",
    "<|endofturn|>",
    "<｜end▁of▁sentence｜>",
};

static void add_end(struct qn_tokenizer *tokenizer, int32_t id) {
    if (id < 0) return;
    for (size_t i = 0; i < tokenizer->n_ends; i++) {
        if (tokenizer->ends[i] == id) return;
    }
    if (tokenizer->n_ends < QN_ENDS_MAX) tokenizer->ends[tokenizer->n_ends++] = id;
}

static void find_ends(struct qn_tokenizer *tokenizer) {
    add_end(tokenizer, tokenizer->vocab.eos);
    add_end(tokenizer, tokenizer->vocab.end_of_turn);
    for (size_t i = 0; i < tokenizer->vocab.n_ends; i++)
        add_end(tokenizer, tokenizer->vocab.ends[i]);
    for (size_t i = 0; i < sizeof end_texts / sizeof *end_texts; i++) {
        const int32_t id = qn_token_map_find(&tokenizer->map, end_texts[i], strlen(end_texts[i]));
        const bool special = id >= 0 && (tokenizer->kinds[id] == QN_TOKEN_CONTROL ||
                                         tokenizer->kinds[id] == QN_TOKEN_USER_DEFINED);
        if (special) add_end(tokenizer, id);
    }
}

static enum qn_status allocate(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                               size_t n_bytes, struct qn_error *err) {
    const uint32_t n = vocab->n_tokens;
    const bool scored = vocab->scores != NULL;
    tokenizer->scores = scored ? malloc(n * sizeof *tokenizer->scores) : NULL;
    tokenizer->vocab.scores = tokenizer->scores;
    tokenizer->vocab.tokens = tokenizer->tokens = malloc(n * sizeof *tokenizer->tokens);
    tokenizer->vocab.kinds = tokenizer->kinds = malloc(n);
    tokenizer->foreign = calloc(n, 1);
    tokenizer->pieces = malloc(n * sizeof *tokenizer->pieces);
    tokenizer->bytes = malloc(n_bytes);
    if ((scored && tokenizer->scores == NULL) || tokenizer->tokens == NULL ||
        tokenizer->kinds == NULL || tokenizer->foreign == NULL || tokenizer->pieces == NULL ||
        tokenizer->bytes == NULL) {
        return qn_fail(err, QN_NO_MEMORY, "no memory for a vocabulary of %u tokens", n);
    }
    if (scored) memcpy(tokenizer->scores, vocab->scores, n * sizeof *tokenizer->scores);
    return QN_OK;
}

static void copy_affix(const int32_t *ids, size_t n, int32_t *out, size_t *n_out) {
    if (n > 0) memcpy(out, ids, n * sizeof *out);
    *n_out = n;
}

/* What goes around a text. */
static enum qn_status copy_affixes(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                                   struct qn_error *err) {
    const struct qn_recipe *recipe = vocab->recipe;
    if (recipe == NULL) {
        copy_affix(&vocab->bos, vocab->add_bos && vocab->bos >= 0, tokenizer->prefix,
                   &tokenizer->n_prefix);
        copy_affix(&vocab->eos, vocab->add_eos && vocab->eos >= 0, tokenizer->suffix,
                   &tokenizer->n_suffix);
    } else if (recipe->n_prefix > QN_AFFIXES_MAX || recipe->n_suffix > QN_AFFIXES_MAX) {
        return qn_fail(err, QN_UNSUPPORTED, "more than %d tokens go around a text", QN_AFFIXES_MAX);
    } else {
        copy_affix(recipe->prefix, recipe->n_prefix, tokenizer->prefix, &tokenizer->n_prefix);
        copy_affix(recipe->suffix, recipe->n_suffix, tokenizer->suffix, &tokenizer->n_suffix);
        tokenizer->vocab.add_bos = recipe->n_prefix > 0;
        tokenizer->vocab.add_eos = recipe->n_suffix > 0;
    }
    for (size_t i = 0; i < tokenizer->n_prefix; i++) {
        QN_TRY(check_id(tokenizer->prefix[i], vocab->n_tokens, "first", err));
    }
    for (size_t i = 0; i < tokenizer->n_suffix; i++) {
        QN_TRY(check_id(tokenizer->suffix[i], vocab->n_tokens, "last", err));
    }
    return QN_OK;
}

static enum qn_status copy_template(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                                    struct qn_error *err) {
    const struct qn_text text = vocab->chat_template;
    if (text.size == 0) return QN_OK;
    tokenizer->chat_template = malloc(text.size + 1);
    if (tokenizer->chat_template == NULL) {
        return qn_fail(err, QN_NO_MEMORY, "no memory for a chat template of %zu bytes", text.size);
    }
    memcpy(tokenizer->chat_template, text.data, text.size);
    tokenizer->chat_template[text.size] = '\0';
    tokenizer->vocab.chat_template.data = tokenizer->chat_template;
    return QN_OK;
}

static void copy_tokens(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab) {
    const struct qn_recipe *recipe = vocab->recipe;
    char *at = tokenizer->bytes;
    for (uint32_t id = 0; id < vocab->n_tokens; id++) {
        const struct qn_text *token = &vocab->tokens[id];
        const uint8_t kind = tokenizer->kinds[id] = kind_of(vocab, id);
        if (recipe != NULL && recipe->foreign != NULL) tokenizer->foreign[id] = recipe->foreign[id];
        if (token->size > 0) memcpy(at, token->data, token->size);
        tokenizer->tokens[id] = (struct qn_text){at, token->size};
        at += token->size;
        const struct qn_decoding decoding = decoding_of(vocab, kind);
        const size_t size = qn_vocab_write_piece(&decoding, kind, token, at);
        tokenizer->pieces[id] = (struct qn_text){at, size};
        at += size;
        if (token->size > tokenizer->longest_token) tokenizer->longest_token = token->size;
    }
}

enum qn_status qn_vocab_copy(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                             struct qn_error *err) {
    size_t n_bytes = 0;
    QN_TRY(check(vocab, &n_bytes, err));
    tokenizer->vocab = *vocab;
    QN_TRY(allocate(tokenizer, vocab, n_bytes, err));
    copy_tokens(tokenizer, vocab);
    QN_TRY(copy_affixes(tokenizer, vocab, err));
    QN_TRY(copy_template(tokenizer, vocab, err));
    tokenizer->strip = vocab->recipe != NULL ? vocab->recipe->decoding.strip
                       : vocab->model == QN_VOCAB_SPM && vocab->add_space_prefix ? QN_STRIP_SPACE
                                                                                 : QN_STRIP_NONE;
    QN_TRY(qn_token_map_init(&tokenizer->map, tokenizer->tokens, vocab->n_tokens, qn_map_secret(),
                             err));
    find_ends(tokenizer);
    tokenizer->vocab.merges = NULL;
    tokenizer->vocab.n_merges = 0;
    tokenizer->vocab.ends = NULL;
    tokenizer->vocab.n_ends = 0;
    tokenizer->vocab.recipe = NULL;
    return QN_OK;
}
