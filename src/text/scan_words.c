/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules that cut all of a text into words, numbers, punctuation and white space: what the
 * regular expressions of GPT-2 and its descendants say, as scanners. Each tries the alternatives of
 * its expression in their order.
 */
#include "text/pretokenize.h"

/* What no alternative for words and numbers takes. */
#define WORDS (QN_CHAR_LETTER | QN_CHAR_NUMBER)

static unsigned class_at(const char *text, size_t at, size_t *length) {
    return qn_unicode_class_at(text + at, length);
}

/* Where the run of characters that have one of the bits ends. */
static size_t run_of(const char *text, size_t at, size_t end, unsigned bits) {
    size_t length;
    while (at < end && (class_at(text, at, &length) & bits) != 0) at += length;
    return at;
}

/* Where the run of characters that have none of the bits ends. */
static size_t run_without(const char *text, size_t at, size_t end, unsigned bits) {
    size_t length;
    while (at < end && (class_at(text, at, &length) & bits) == 0) at += length;
    return at;
}

static size_t run_of_newlines(const char *text, size_t at, size_t end, bool slash) {
    while (at < end && (text[at] == '\r' || text[at] == '\n' || (slash && text[at] == '/'))) at++;
    return at;
}

/* Up to max (0: all) numbers. */
static size_t run_of_numbers(const char *text, size_t at, size_t end, size_t max) {
    size_t length;
    for (size_t n = 0; (max == 0 || n < max) && at < end; n++) {
        if ((class_at(text, at, &length) & QN_CHAR_NUMBER) == 0) break;
        at += length;
    }
    return at;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* Bytes of a contraction ('s 't 're 've 'm 'll 'd) at text[at], or 0. Ignoring case, the long s
 * (U+017F) is an s too. */
static size_t contraction(const char *text, size_t at, size_t end, bool ignore_case) {
    const size_t left = end - at;
    if (left < 2 || text[at] != '\'') return 0;
    char first = text[at + 1], second = left > 2 ? text[at + 2] : '\0';
    if (ignore_case) {
        if (left > 2 && first == '\xC5' && second == '\xBF') return 3;
        first = lower(first);
        second = lower(second);
    }
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    if (left > 2 && ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                     (first == 'l' && second == 'l'))) {
        return 3;
    }
    return 0;
}

/* The end of white space that starts at text[at]: all of a run that ends the text; otherwise a
 * run leaves its last character to the next word, if it has more than that. */
static size_t white_space(const char *text, size_t at, size_t end) {
    size_t last = at, length, p = at;
    while (p < end && (class_at(text, p, &length) & QN_CHAR_SPACE) != 0) {
        last = p;
        p += length;
    }
    return p == end || last == at ? p : last;
}

/* As white_space, but a run with line breaks is first taken up to the last of them. */
static size_t white_space_lines(const char *text, size_t at, size_t end) {
    size_t after_newline = at, length;
    for (size_t p = at; p < end; p += length) {
        const unsigned class = class_at(text, p, &length);
        if ((class & QN_CHAR_SPACE) == 0) break;
        if (class & QN_CHAR_NEWLINE) after_newline = p + length;
    }
    return after_newline > at ? after_newline : white_space(text, at, end);
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
size_t qn_cut_gpt2(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    (void)cut;
    const size_t short_form = contraction(text, at, end, false);
    if (short_form > 0) return at + short_form;
    const size_t start = text[at] == ' ' && at + 1 < end ? at + 1 : at;
    size_t length;
    const unsigned class = class_at(text, start, &length);
    if (class & QN_CHAR_LETTER) return run_of(text, start + length, end, QN_CHAR_LETTER);
    if (class & QN_CHAR_NUMBER) return run_of(text, start + length, end, QN_CHAR_NUMBER);
    if (class & QN_CHAR_SPACE) return white_space(text, at, end);
    return run_without(text, start + length, end, WORDS | QN_CHAR_SPACE);
}

/* Punctuation with line breaks behind it, or white space: the last alternatives of the newer
 * expressions: ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`. words: what punctuation is
 * not. */
static size_t punctuation_or_space(const struct qn_cut *cut, unsigned words, const char *text,
                                   size_t at, size_t end) {
    const size_t start = text[at] == ' ' && at + 1 < end ? at + 1 : at;
    const size_t stop = run_without(text, start, end, words | QN_CHAR_SPACE);
    if (stop > start) return run_of_newlines(text, stop, end, cut->slash_ends);
    return white_space_lines(text, at, end);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
 * \s*[\r\n]+|\s+(?!\S)|\s+
 * with cut->letters for the second and fourth \p{L}, max_run for the 3. */
size_t qn_cut_llama3(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    const size_t short_form = cut->contractions ? contraction(text, at, end, true) : 0;
    if (short_form > 0) return at + short_form;
    size_t length;
    const unsigned class = class_at(text, at, &length);
    if ((class & cut->letters) != 0) return run_of(text, at + length, end, cut->letters);
    if (class & QN_CHAR_NUMBER) return run_of_numbers(text, at, end, cut->max_run);
    if ((class & QN_CHAR_NEWLINE) == 0) { /* one other character may lead a word */
        const size_t stop = run_of(text, at + length, end, cut->letters);
        if (stop > at + length) return stop;
    }
    return punctuation_or_space(cut, cut->letters | QN_CHAR_NUMBER, text, at, end);
}

static bool is_ascii_letter(char c) {
    return lower(c) >= 'a' && lower(c) <= 'z';
}

/* [!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|
 * \s+(?!\S)|\s+   (the first class: ASCII punctuation and symbols) */
size_t qn_cut_deepseek3(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    const unsigned letters = QN_CHAR_LETTER | QN_CHAR_MARK;
    const unsigned signs = QN_CHAR_PUNCTUATION | QN_CHAR_SYMBOL;
    size_t length;
    const unsigned class = class_at(text, at, &length);
    if (length == 1 && (class & signs) != 0) {
        size_t stop = at + 1;
        while (stop < end && is_ascii_letter(text[stop])) stop++;
        if (stop > at + 1) return stop;
    }
    if (class & letters) return run_of(text, at + length, end, letters);
    if ((class & (QN_CHAR_NEWLINE | signs)) == 0) {
        const size_t stop = run_of(text, at + length, end, letters);
        if (stop > at + length) return stop;
    }
    const size_t start = text[at] == ' ' && at + 1 < end ? at + 1 : at;
    const size_t stop = run_of(text, start, end, signs);
    if (stop > start) return run_of_newlines(text, stop, end, cut->slash_ends);
    if (class & QN_CHAR_SPACE) return white_space_lines(text, at, end);
    /* No alternative matches here: the characters up to the next match are one piece. */
    size_t p = at + length;
    while (p < end) {
        const unsigned next = class_at(text, p, &length);
        if ((next & (letters | signs | QN_CHAR_SPACE)) != 0) break;
        p += length;
        if (p < end) {
            size_t ignored;
            if ((class_at(text, p, &ignored) & letters) != 0) return p - length;
        }
    }
    return p;
}

enum {
    UNCASED = QN_CHAR_UNCASED | QN_CHAR_MARK, /* serve as capitals and as small letters */
    CAPITAL = QN_CHAR_UPPER | UNCASED,
    SMALL = QN_CHAR_LOWER | UNCASED
};

/* [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ at text[at]; its end, or `at`. */
static size_t small_word(const char *text, size_t at, size_t end) {
    size_t length, p = at, after_uncased = at;
    while (p < end) {
        const unsigned class = class_at(text, p, &length);
        if ((class & CAPITAL) == 0) break;
        p += length;
        if (class & UNCASED) after_uncased = p;
    }
    const size_t stop = run_of(text, p, end, SMALL);
    /* Without a small letter behind, the last uncased one of the capitals serves as it. */
    return stop > p ? stop : after_uncased;
}

/* A cased word at text[at], which may be led by one other character: small_word, with and without
 * that character, then [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]* likewise. */
static size_t cased_word(const char *text, size_t at, size_t end) {
    size_t length, stop;
    const unsigned class = class_at(text, at, &length);
    const bool leads = (class & (QN_CHAR_NEWLINE | WORDS)) == 0;
    if (leads && (stop = small_word(text, at + length, end)) > at + length) return stop;
    if ((stop = small_word(text, at, end)) > at) return stop;
    /* No small letter follows, so only capitals are left. */
    if (leads) stop = run_of(text, at + length, end, CAPITAL);
    if (leads && stop > at + length) return stop;
    return run_of(text, at, end, CAPITAL);
}

/* A cased word, with a contraction behind it where cut->contractions; \p{N}{1,max_run}; then as
 * llama3. */
size_t qn_cut_cased(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    size_t length;
    const unsigned class = class_at(text, at, &length);
    const size_t stop = cased_word(text, at, end);
    if (stop > at) return stop + (cut->contractions ? contraction(text, stop, end, true) : 0);
    if (class & QN_CHAR_NUMBER) return run_of_numbers(text, at, end, cut->max_run);
    return punctuation_or_space(cut, WORDS, text, at, end);
}
