/* SPDX-License-Identifier: Apache-2.0
 *
 * Pre-tokenizers: how each family of byte-level vocabularies cuts text into words before merging.
 * A pre-tokenizer is a row of a table: a name, what is done to the text first, and a list of
 * cutting rules, each cutting the pieces of the one before. Rules are scanners of our own: linear
 * in the text and without recursion, where a regular expression engine would be neither.
 */
#ifndef QN_TEXT_PRETOKENIZE_H
#define QN_TEXT_PRETOKENIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "text/steps.h"
#include "text/unicode.h"

/* One rule. Which parameters count depends on next. */
struct qn_cut {
    /* Where the piece that starts at text[at] ends; at < end, the result is in (at, end]. */
    size_t (*next)(const struct qn_cut *cut, const char *text, size_t at, size_t end);
    unsigned letters; /* class bits that make up a word */
    unsigned members; /* class bits of a run */
    size_t n_ranges;  /* of ranges: members of a run by character */
    const struct qn_range *ranges;
    size_t max_run;     /* longest run in characters; 0: no limit */
    bool leading_space; /* a run may start with one whitespace character */
    bool contractions;  /* 's 't 're ... are words */
    bool slash_ends;    /* '/' may follow punctuation like a line break */
};

enum { QN_CUTS_MAX = 6 };

struct qn_pretokenizer {
    const char *name;
    const struct qn_cut *cuts; /* [n_cuts] */
    size_t n_cuts;             /* 1 .. QN_CUTS_MAX */
    bool nfc;                  /* the text is brought to NFC first */
    bool ignore_merges;        /* a word that is a token is not merged */
    bool bos;                  /* texts start with BOS where the file does not say whether */
};

/* NULL when the name is not known. */
const struct qn_pretokenizer *qn_pretokenizer_find(const char *name, size_t size);

/* The rule of our own that cuts as the regular expression of a tokenizer.json does, or NULL. whole:
 * only if every character is in some match. */
const struct qn_cut *qn_cut_find(struct qn_text pattern, bool whole);
/* The rules (scan_words.c, scan_runs.c); see there. */
size_t qn_cut_gpt2(const struct qn_cut *cut, const char *text, size_t at, size_t end);
size_t qn_cut_llama3(const struct qn_cut *cut, const char *text, size_t at, size_t end);
size_t qn_cut_deepseek3(const struct qn_cut *cut, const char *text, size_t at, size_t end);
size_t qn_cut_cased(const struct qn_cut *cut, const char *text, size_t at, size_t end);
size_t qn_cut_runs(const struct qn_cut *cut, const char *text, size_t at, size_t end);
size_t qn_cut_trailing_space(const struct qn_cut *cut, const char *text, size_t at, size_t end);
size_t qn_cut_byte_numbers(const struct qn_cut *cut, const char *text, size_t at, size_t end);
size_t qn_cut_three_digits(const struct qn_cut *cut, const char *text, size_t at, size_t end);

#endif
