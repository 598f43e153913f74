/* SPDX-License-Identifier: Apache-2.0
 *
 * Text to token ids and back. A tokenizer is made from a vocabulary, plain data that the model
 * loaders fill; it is immutable afterwards and may be shared by threads.
 */
#ifndef QN_TEXT_TOKENIZER_H
#define QN_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/steps.h"

enum qn_vocab_model {
    QN_VOCAB_BPE,    /* merges by a list; without steps byte-level ("gpt2") */
    QN_VOCAB_SPM,    /* SentencePiece with scores and byte fallback ("llama"), no steps */
    QN_VOCAB_UNIGRAM /* the split of the best sum of scores */
};

/* Token kinds as GGUF numbers them. */
enum qn_token_kind {
    QN_TOKEN_NORMAL = 1,
    QN_TOKEN_UNKNOWN = 2,
    QN_TOKEN_CONTROL = 3,      /* matched in text only when special tokens are parsed; no text */
    QN_TOKEN_USER_DEFINED = 4, /* always matched in text, before splitting */
    QN_TOKEN_UNUSED = 5,
    QN_TOKEN_BYTE = 6 /* <0xHH> */
};

/* A token that is found in text before anything else happens to it. */
struct qn_added_token {
    int32_t id;
    bool normalized; /* looked for in normalized text, itself normalized */
    bool single_word, lstrip, rstrip;
};

/* How ids become text again. */
enum qn_strip {
    QN_STRIP_NONE,
    QN_STRIP_SPACE, /* the first space of a text */
    QN_STRIP_MARKS  /* every U+2581 of the first token */
};
struct qn_decoding {
    bool alphabet;           /* tokens are spelled in the byte alphabet */
    bool byte_tokens;        /* <0xHH> stands for its byte */
    struct qn_text from, to; /* every `from` in a token becomes `to`, which is not longer */
    enum qn_strip strip;
};

/* What a tokenizer.json says beyond what a GGUF file does. */
struct qn_recipe {
    const struct qn_text_step *normalizers; /* [n_normalizers] */
    size_t n_normalizers;
    const struct qn_text_step *splitters; /* [n_splitters], the pre-tokenizer */
    size_t n_splitters;
    const struct qn_added_token *added; /* [n_added] */
    size_t n_added;
    const double *scores;   /* [n_tokens], Unigram */
    const uint8_t *foreign; /* [n_tokens] 1: not of the model, so text is never merged to it */
    const int32_t *prefix, *suffix; /* ids put around a text, in place of add_bos and add_eos */
    size_t n_prefix, n_suffix;
    bool ignore_merges, byte_fallback, fuse_unknown;
    struct qn_decoding decoding;
};

struct qn_vocab {
    enum qn_vocab_model model;
    struct qn_text pre; /* pre-tokenizer's name: "gpt-2", "qwen2", ...; BPE without recipe */
    uint32_t n_tokens;
    const struct qn_text *tokens; /* [n_tokens] */
    const float *scores;          /* [n_tokens], SPM; BPE: ranks in place of merges; or NULL */
    const uint8_t *kinds;         /* [n_tokens] enum qn_token_kind, or NULL: all NORMAL */
    uint32_t n_merges;
    const struct qn_text *merges; /* [n_merges] "left right", BPE, by rising rank; with recipe
                                     [2 * n_merges], left and right apart */
    int32_t bos, eos, unknown;    /* -1: none */
    int32_t end_of_turn;          /* -1: none */
    const int32_t *ends;          /* [n_ends] more tokens that end an answer */
    size_t n_ends;
    bool add_bos, add_eos, add_space_prefix; /* without recipe */
    const struct qn_recipe *recipe;          /* NULL: as the model and pre imply */
    struct qn_text chat_template;            /* size 0: none */
};

struct qn_tokenizer;

/* Copies what it keeps. Errors: QN_BAD_FILE (names the entry), QN_UNSUPPORTED (pre-tokenizer of
 * an unknown name, pattern that cannot be compiled), QN_NO_MEMORY. */
enum qn_status qn_tokenizer_new(const struct qn_vocab *vocab, struct qn_tokenizer **out,
                                struct qn_error *err);
void qn_tokenizer_free(struct qn_tokenizer *tokenizer); /* NULL is allowed */

struct qn_ids { /* grows; free with qn_ids_free; zero-initialise */
    int32_t *data;
    size_t n, capacity;
};
void qn_ids_free(struct qn_ids *ids);

enum {
    QN_ENCODE_BOS = 1,     /* add BOS/EOS where the vocabulary asks for it */
    QN_ENCODE_SPECIAL = 2, /* control tokens in the text become their ids */
    /* Something stands before the text, which is not marked as the start of one. Vocabularies that
     * mark every stretch between special tokens do so all the same. */
    QN_ENCODE_CONTINUED = 4
};

/* Appends to ids. Any bytes are accepted: invalid UTF-8 is encoded as Hugging Face's tokenizers
 * see it, as U+FFFD. Takes time linear in size, for single words of n bytes n log n. Errors:
 * QN_NO_MEMORY; QN_UNSUPPORTED for a word of 4 GiB, or where a pattern of the vocabulary's own
 * takes too long; QN_BAD_FILE where a text has no tokens and there is no unknown token. */
enum qn_status qn_tokenizer_encode(const struct qn_tokenizer *tokenizer, const char *text,
                                   size_t size, unsigned flags, struct qn_ids *ids,
                                   struct qn_error *err);

/* The bytes that a token stands for (may be a part of a character); empty for control tokens
 * unless `special`. id must be in range. Points into the tokenizer. SentencePiece's leading space
 * of the first token is the caller's to drop (qn_decoder does). */
struct qn_text qn_tokenizer_piece(const struct qn_tokenizer *tokenizer, int32_t id, bool special);

/* The id of a token by its exact text, or -1. */
int32_t qn_tokenizer_find(const struct qn_tokenizer *tokenizer, const char *text, size_t size);

uint32_t qn_tokenizer_n_tokens(const struct qn_tokenizer *tokenizer);
/* The vocabulary as it was given, with arrays of the tokenizer's own; merges, ends and recipe are
 * NULL; add_bos and add_eos say whether anything is put before and behind a text. */
const struct qn_vocab *qn_tokenizer_vocab(const struct qn_tokenizer *tokenizer);
/* How many of the ids that an empty text has with QN_ENCODE_BOS go before one; the others end it.
 */
size_t qn_tokenizer_n_prefix(const struct qn_tokenizer *tokenizer);
/* "byte-level BPE", "BPE with byte fallback", "BPE", "Unigram", "SentencePiece". */
const char *qn_tokenizer_kind(const struct qn_tokenizer *tokenizer);
/* The chat template's text, a Jinja program; NULL: none. */
const char *qn_tokenizer_chat_template(const struct qn_tokenizer *tokenizer);
/* A merge as files write it, "left right", apart; false where it is none. */
bool qn_vocab_split_merge(struct qn_text merge, struct qn_text pair[2]);
/* Whether a token is spelled <0xHH>. */
bool qn_vocab_is_byte(struct qn_text token);
/* EOS, end of turn, and the other tokens that end an answer (<|im_end|>, <|endoftext|>, ...). */
bool qn_tokenizer_is_end(const struct qn_tokenizer *tokenizer, int32_t id);

/* Streaming decoder: holds back bytes of an unfinished character, so that output is always valid
 * UTF-8; what can never become valid comes out as U+FFFD. Zero-initialise; set started where the
 * text goes on from something (a prompt), so that a SentencePiece model's first space stays. */
struct qn_decoder {
    char held[4];
    int n_held;
    bool started;
};
/* Bytes that may be written now for the next id: at most 3 * size of the piece + 3 (writes into
 * out[capacity]; returns the count, or 0 with nothing consumed if capacity is too small). */
size_t qn_decoder_next(struct qn_decoder *decoder, const struct qn_tokenizer *tokenizer, int32_t id,
                       bool special, char *out, size_t capacity);
/* What remains at the end: U+FFFD for an unfinished character. */
size_t qn_decoder_finish(struct qn_decoder *decoder, char *out, size_t capacity);

#endif
