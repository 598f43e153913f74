/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of src/text share about a tokenizer; nobody else includes this.
 */
#ifndef QN_TEXT_PRIVATE_H
#define QN_TEXT_PRIVATE_H

#include "text/maps.h"
#include "text/merge.h"
#include "text/pretokenize.h"
#include "text/special.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

enum { QN_ENDS_MAX = 32 };

struct qn_tokenizer {
    struct qn_vocab vocab;  /* its arrays are the copies below; without merges */
    float *scores;          /* [n_tokens] SentencePiece, else NULL */
    char *bytes;            /* what tokens and pieces point into */
    struct qn_text *tokens; /* [n_tokens] as the file spells them */
    struct qn_text *pieces; /* [n_tokens] the bytes that they stand for */
    uint8_t *kinds;         /* [n_tokens] */
    struct qn_token_map map;
    struct qn_pair_map pairs;
    struct qn_special special;
    int32_t byte_ids[256]; /* token of a byte alone, or -1 */
    int32_t ends[QN_ENDS_MAX];
    size_t n_ends;
    /* BPE */
    const struct qn_pretokenizer *pre;
    size_t longest_token; /* bytes */
    /* SentencePiece */
    int32_t ascii_ids[128]; /* token of a character, ' ' as U+2581, or -1 */
    bool inner_space;       /* some token has U+2581 after another character */
};

#define QN_SPACE_MARK "\xE2\x96\x81" /* U+2581, SentencePiece's visible space */
enum { QN_SPACE_MARK_SIZE = 3 };

/* A word seen before in the same call, where it stood and where its ids are. */
struct qn_cached_word {
    const char *text; /* NULL: free */
    uint32_t size;
    uint32_t epoch; /* of the buffer that text points into */
    size_t ids, n_ids;
};

/* One call of qn_tokenizer_encode. */
struct qn_encoding {
    const struct qn_tokenizer *tokenizer;
    struct qn_ids *ids;
    struct qn_merger merger;
    struct qn_bytes normalized; /* NFC of the current segment */
    struct qn_bytes scratch;
    struct qn_cached_word *cache; /* [cache_mask + 1] or NULL */
    size_t cache_mask;
    uint32_t epoch, last_epoch;
};

/* bpe.c: fills byte_ids and pairs; encodes a segment of valid UTF-8 without special tokens. */
enum qn_status qn_bpe_init(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                           struct qn_error *err);
enum qn_status qn_bpe_encode(struct qn_encoding *encoding, const char *text, size_t size,
                             struct qn_error *err);

/* spm.c, likewise. */
enum qn_status qn_spm_init(struct qn_tokenizer *tokenizer, struct qn_error *err);
enum qn_status qn_spm_encode(struct qn_encoding *encoding, const char *text, size_t size,
                             struct qn_error *err);

/* vocab.c: checks the vocabulary and copies it into tokens, pieces, kinds. */
enum qn_status qn_vocab_copy(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                             struct qn_error *err);
/* The value of "<0xHH>", or -1. */
int qn_vocab_byte_token(const struct qn_text *token);

/* encode.c: the ids of a word if it was seen before, appended; *known says so. Else *slot is where
 * to remember it with qn_cache_store (NULL: nowhere). */
enum qn_status qn_cache_find(struct qn_encoding *encoding, const char *text, size_t size,
                             bool *known, struct qn_cached_word **slot, struct qn_error *err);
/* first_id: where the ids of the word start in encoding->ids; they end at its end. */
void qn_cache_store(struct qn_encoding *encoding, struct qn_cached_word *slot, const char *text,
                    size_t size, size_t first_id);

#endif
