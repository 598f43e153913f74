/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of src/text share about a tokenizer; nobody else includes this.
 */
#ifndef QN_TEXT_PRIVATE_H
#define QN_TEXT_PRIVATE_H

#include "text/maps.h"
#include "text/merge.h"
#include "text/passes.h"
#include "text/special.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

enum { QN_ENDS_MAX = 32, QN_AFFIXES_MAX = 8 };

struct qn_tokenizer {
    struct qn_vocab vocab;  /* its arrays are the copies below; without merges */
    float *scores;          /* [n_tokens] SentencePiece, else NULL */
    char *bytes;            /* what tokens and pieces point into */
    struct qn_text *tokens; /* [n_tokens] as the file spells them */
    struct qn_text *pieces; /* [n_tokens] the bytes that they stand for */
    uint8_t *kinds;         /* [n_tokens] */
    char *chat_template;    /* or NULL */
    uint8_t *foreign;       /* [n_tokens] 1: merging never leads to it */
    struct qn_token_map map;
    struct qn_pair_map pairs;
    struct qn_special special;         /* found in text as it comes */
    struct qn_special normalized;      /* found in normalized text */
    struct qn_bytes normalized_texts;  /* what the latter's texts point into */
    struct qn_bytes normalized_pieces; /* what they stand for */
    int32_t byte_ids[256];             /* token of a byte alone, or -1 */
    int32_t ends[QN_ENDS_MAX];
    size_t n_ends;
    int32_t prefix[QN_AFFIXES_MAX], suffix[QN_AFFIXES_MAX];
    size_t n_prefix, n_suffix;
    enum qn_strip strip;
    bool has_recipe; /* made from a tokenizer.json, or as if */
    struct qn_passes normalizers, splitters;
    size_t longest_token; /* bytes */
    /* BPE */
    bool whole_bytes; /* the last splitter makes bytes of words; else characters are merged */
    bool ignore_merges, byte_fallback, fuse_unknown;
    /* SentencePiece, and BPE over characters */
    int32_t ascii_ids[128]; /* token of a character, SentencePiece's ' ' as U+2581, or -1 */
    bool inner_space;       /* some token has U+2581 after another character */
    /* Unigram */
    struct qn_special prefixes; /* all tokens, to find those that a text starts with */
    double *weights;            /* [n_tokens] scores */
    double unknown_weight;
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

/* A character's best way in a Unigram lattice. */
struct qn_best_end {
    double score;
    uint32_t length; /* bytes of the token that ends here; 0: none does */
    int32_t id;
};

/* One call of qn_tokenizer_encode. */
struct qn_encoding {
    const struct qn_tokenizer *tokenizer;
    struct qn_ids *ids;
    struct qn_merger merger;
    struct qn_bytes normalized[2]; /* the current segment, after one and another normalizer */
    struct qn_bytes rewritten[QN_PASSES_MAX]; /* what each splitter made of its piece */
    struct qn_regex_work *regex;
    struct qn_bytes scratch;
    struct qn_best_end *lattice; /* [lattice_capacity] */
    size_t lattice_capacity;
    struct qn_cached_word *cache; /* [cache_mask + 1] or NULL */
    size_t cache_mask;
    uint32_t epoch, last_epoch;
};

/* vocab.c: checks the vocabulary and copies it into tokens, pieces, kinds. */
enum qn_status qn_vocab_copy(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                             struct qn_error *err);
/* Writes the bytes that a token stands for into out[size of the token + 1]; returns their count. */
size_t qn_vocab_write_piece(const struct qn_decoding *decoding, uint8_t kind,
                            const struct qn_text *token, char *out);
/* The value of "<0xHH>", or -1. */
int qn_vocab_byte_token(const struct qn_text *token);

/* bpe.c: fills byte_ids and pairs; encodes a word of valid UTF-8. */
enum qn_status qn_bpe_init(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                           struct qn_error *err);
enum qn_status qn_bpe_word(struct qn_encoding *encoding, const char *word, size_t size,
                           struct qn_error *err);

/* unigram.c, likewise. */
enum qn_status qn_unigram_init(struct qn_tokenizer *tokenizer, const struct qn_vocab *vocab,
                               struct qn_error *err);
enum qn_status qn_unigram_word(struct qn_encoding *encoding, const char *word, size_t size,
                               struct qn_error *err);

/* spm.c: pairs from scores, and inner_space. */
enum qn_status qn_spm_init_pairs(struct qn_tokenizer *tokenizer, struct qn_error *err);
/* spm.c: encodes a segment of valid UTF-8 without added tokens. */
enum qn_status qn_spm_init(struct qn_tokenizer *tokenizer, struct qn_error *err);
enum qn_status qn_spm_encode(struct qn_encoding *encoding, const char *text, size_t size,
                             struct qn_error *err);

/* normalize.c: what the steps may write of a text of that size, all stretches of it together. */
size_t qn_normalized_max(size_t size);
/* *text[*size] becomes what the normalizers make of it, in one of the buffers, whose maxima fall by
 * what was written. *front becomes false where its first characters were dropped. */
enum qn_status qn_normalize(const struct qn_passes *passes, struct qn_bytes buffers[2],
                            struct qn_regex_work **work, const char **text, size_t *size,
                            bool *front, struct qn_error *err);

/* split.c: the ids of a piece of normalized text, word by word. first: it starts the whole text. */
enum qn_status qn_split_encode(struct qn_encoding *encoding, const char *text, size_t size,
                               bool first, struct qn_error *err);

/* encode.c: the ids of a word if it was seen before, appended; *known says so. Else *slot is where
 * to remember it with qn_cache_store (NULL: nowhere). */
enum qn_status qn_cache_find(struct qn_encoding *encoding, const char *text, size_t size,
                             bool *known, struct qn_cached_word **slot, struct qn_error *err);
/* first_id: where the ids of the word start in encoding->ids; they end at its end. */
void qn_cache_store(struct qn_encoding *encoding, struct qn_cached_word *slot, const char *text,
                    size_t size, size_t first_id);

#endif
