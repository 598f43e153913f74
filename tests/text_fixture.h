/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads tests/data/text: strings, vocabularies and the ids that belong to them. The format is
 * described in tools/fixtures_text.py. Files are trusted: a broken one ends the program.
 */
#ifndef QN_TESTS_TEXT_FIXTURE_H
#define QN_TESTS_TEXT_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "text/tokenizer.h"

struct text_strings {
    size_t n;
    struct qn_text *strings; /* [n] */
    char *file;
};
void text_strings_read(const char *folder, struct text_strings *strings);
void text_strings_free(struct text_strings *strings);

/* A vocabulary with everything it points to, all of it writable. */
struct text_vocab {
    struct qn_vocab vocab;
    struct qn_text *tokens; /* [vocab.n_tokens] */
    float *scores;
    uint8_t *kinds;
    struct qn_text *merges; /* [vocab.n_merges] */
    char *file;
};
/* bos, eos and end_of_turn are none; add_space_prefix is set for SentencePiece. */
void text_vocab_read(const char *folder, const char *name, struct text_vocab *vocab);
void text_vocab_free(struct text_vocab *vocab);

/* Expected ids, string by string. */
struct text_ids {
    const char *at, *end;
    char *file;
    size_t n_read;
};
void text_ids_open(const char *folder, const char *name, struct text_ids *ids);
void text_ids_close(struct text_ids *ids);

struct text_expected {
    size_t n;
    int32_t *ids;  /* [n], or NULL: only the hash is known */
    uint32_t hash; /* when ids is NULL */
};
/* The caller frees ids. */
struct text_expected text_ids_next(struct text_ids *ids);
/* Text that stands behind ids; points into the file. */
struct qn_text text_ids_blob(struct text_ids *ids);
uint32_t text_ids_hash(const int32_t *ids, size_t n);

#endif
