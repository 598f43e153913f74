/* SPDX-License-Identifier: Apache-2.0
 *
 * What pre-tokenizers ask of a character, and normal forms, both as Hugging Face's tokenizers
 * answer it. Tables come from utf8proc; the few places where its Unicode version is another than
 * theirs stand in unicode_ranges.h.
 */
#ifndef QN_TEXT_UNICODE_H
#define QN_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/utf8.h"

/* Bits of a character's class. */
enum {
    QN_CHAR_UPPER = 1,   /* Lu, Lt */
    QN_CHAR_LOWER = 2,   /* Ll */
    QN_CHAR_UNCASED = 4, /* Lm, Lo */
    QN_CHAR_LETTER = QN_CHAR_UPPER | QN_CHAR_LOWER | QN_CHAR_UNCASED,
    QN_CHAR_MARK = 8,
    QN_CHAR_NUMBER = 16,
    QN_CHAR_PUNCTUATION = 32,
    QN_CHAR_SYMBOL = 64,
    QN_CHAR_SPACE = 128,     /* White_Space */
    QN_CHAR_NEWLINE = 256,   /* CR, LF (also SPACE) */
    QN_CHAR_DIGIT = 512,     /* what the tokenizers' Digits rule cuts out */
    QN_CHAR_ISOLATED = 1024, /* what their Punctuation rule cuts out: ASCII symbols too */
};

/* Class of a character beyond ASCII. */
unsigned qn_unicode_class(int32_t codepoint);

extern const uint16_t qn_ascii_class[128];

/* Class of the character at data[0] of valid text; *length becomes its bytes. */
static inline unsigned qn_unicode_class_at(const char *data, size_t *length) {
    const unsigned char lead = (unsigned char)data[0];
    if (lead < 0x80) {
        *length = 1;
        return qn_ascii_class[lead];
    }
    return qn_unicode_class(qn_utf8_read(data, length));
}

/* Inclusive ranges, sorted. */
struct qn_range {
    int32_t first, last;
};
bool qn_unicode_in(const struct qn_range *ranges, size_t n, int32_t codepoint);

/* True when the text (valid UTF-8) is clearly in NFC; false does not say that it is not. */
bool qn_unicode_is_nfc(const char *text, size_t size);

/* A growing buffer of bytes; free(data) when done. Zero-initialise. */
struct qn_bytes {
    char *data;
    size_t size, capacity;
    size_t max; /* of size; 0: any */
};
/* Room for `more` bytes after size. Errors: QN_NO_MEMORY; QN_UNSUPPORTED beyond max. */
enum qn_status qn_bytes_reserve(struct qn_bytes *bytes, size_t more, struct qn_error *err);
/* Lowers a maximum by what has been written. */
void qn_bytes_spend(struct qn_bytes *bytes, size_t size);

enum qn_status qn_bytes_append(struct qn_bytes *bytes, const char *text, size_t size,
                               struct qn_error *err);

enum qn_form { QN_NFC, QN_NFD, QN_NFKC, QN_NFKD };
/* Appends the normal form of valid text to out. Takes time linear in size, whatever the marks. */
enum qn_status qn_unicode_normalize(enum qn_form form, const char *text, size_t size,
                                    struct qn_bytes *out, struct qn_error *err);

/* Letters, marks, decimal digits, connectors, joiners: \w of Rust's regular expressions. */
bool qn_unicode_is_word(int32_t codepoint);
/* Marks that StripAccents drops; codepoint >= 0x80. */
bool qn_unicode_is_accent(int32_t codepoint);
/* Inclusive ranges of characters that are younger than PCRE2's tables, with their class bits. */
struct qn_class_range {
    int32_t first, last;
    uint16_t class;
};
const struct qn_class_range *qn_unicode_after_pcre2(size_t *n);
/* Writes the lower case of a character into out[2]; returns how many characters it has. */
size_t qn_unicode_lower(int32_t codepoint, int32_t *out);
/* Where the grapheme cluster at text[at], at < size, ends. */
size_t qn_unicode_grapheme_end(const char *text, size_t at, size_t size);

#endif
