/* SPDX-License-Identifier: Apache-2.0
 *
 * Character classes and normal forms over utf8proc's tables.
 */
#include "text/unicode.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/checked.h"
#include "text/unicode_ranges.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

#define OTHER 0
#define BLANK QN_CHAR_SPACE
#define BREAK (QN_CHAR_SPACE | QN_CHAR_NEWLINE)
#define UPPER QN_CHAR_UPPER
#define LOWER QN_CHAR_LOWER
#define DIGIT (QN_CHAR_NUMBER | QN_CHAR_DIGIT)
#define PUNCT (QN_CHAR_PUNCTUATION | QN_CHAR_ISOLATED)
#define SIGNS (QN_CHAR_SYMBOL | QN_CHAR_ISOLATED)

const uint16_t qn_ascii_class[128] = {
    [0x00] = OTHER, ['\t'] = BLANK, ['\n'] = BREAK, ['\v'] = BLANK, ['\f'] = BLANK, ['\r'] = BREAK,
    [' '] = BLANK,  ['!'] = PUNCT,  ['"'] = PUNCT,  ['#'] = PUNCT,  ['$'] = SIGNS,  ['%'] = PUNCT,
    ['&'] = PUNCT,  ['\''] = PUNCT, ['('] = PUNCT,  [')'] = PUNCT,  ['*'] = PUNCT,  ['+'] = SIGNS,
    [','] = PUNCT,  ['-'] = PUNCT,  ['.'] = PUNCT,  ['/'] = PUNCT,  ['0'] = DIGIT,  ['1'] = DIGIT,
    ['2'] = DIGIT,  ['3'] = DIGIT,  ['4'] = DIGIT,  ['5'] = DIGIT,  ['6'] = DIGIT,  ['7'] = DIGIT,
    ['8'] = DIGIT,  ['9'] = DIGIT,  [':'] = PUNCT,  [';'] = PUNCT,  ['<'] = SIGNS,  ['='] = SIGNS,
    ['>'] = SIGNS,  ['?'] = PUNCT,  ['@'] = PUNCT,  ['A'] = UPPER,  ['B'] = UPPER,  ['C'] = UPPER,
    ['D'] = UPPER,  ['E'] = UPPER,  ['F'] = UPPER,  ['G'] = UPPER,  ['H'] = UPPER,  ['I'] = UPPER,
    ['J'] = UPPER,  ['K'] = UPPER,  ['L'] = UPPER,  ['M'] = UPPER,  ['N'] = UPPER,  ['O'] = UPPER,
    ['P'] = UPPER,  ['Q'] = UPPER,  ['R'] = UPPER,  ['S'] = UPPER,  ['T'] = UPPER,  ['U'] = UPPER,
    ['V'] = UPPER,  ['W'] = UPPER,  ['X'] = UPPER,  ['Y'] = UPPER,  ['Z'] = UPPER,  ['['] = PUNCT,
    ['\\'] = PUNCT, [']'] = PUNCT,  ['^'] = SIGNS,  ['_'] = PUNCT,  ['`'] = SIGNS,  ['a'] = LOWER,
    ['b'] = LOWER,  ['c'] = LOWER,  ['d'] = LOWER,  ['e'] = LOWER,  ['f'] = LOWER,  ['g'] = LOWER,
    ['h'] = LOWER,  ['i'] = LOWER,  ['j'] = LOWER,  ['k'] = LOWER,  ['l'] = LOWER,  ['m'] = LOWER,
    ['n'] = LOWER,  ['o'] = LOWER,  ['p'] = LOWER,  ['q'] = LOWER,  ['r'] = LOWER,  ['s'] = LOWER,
    ['t'] = LOWER,  ['u'] = LOWER,  ['v'] = LOWER,  ['w'] = LOWER,  ['x'] = LOWER,  ['y'] = LOWER,
    ['z'] = LOWER,  ['{'] = PUNCT,  ['|'] = SIGNS,  ['}'] = PUNCT,  ['~'] = SIGNS,
};

/* By utf8proc_category_t. */
static const uint16_t category_class[] = {
    [UTF8PROC_CATEGORY_LU] = QN_CHAR_UPPER,
    [UTF8PROC_CATEGORY_LL] = QN_CHAR_LOWER,
    [UTF8PROC_CATEGORY_LT] = QN_CHAR_UPPER,
    [UTF8PROC_CATEGORY_LM] = QN_CHAR_UNCASED,
    [UTF8PROC_CATEGORY_LO] = QN_CHAR_UNCASED,
    [UTF8PROC_CATEGORY_MN] = QN_CHAR_MARK,
    [UTF8PROC_CATEGORY_MC] = QN_CHAR_MARK,
    [UTF8PROC_CATEGORY_ME] = QN_CHAR_MARK,
    [UTF8PROC_CATEGORY_ND] = DIGIT,
    [UTF8PROC_CATEGORY_NL] = DIGIT,
    [UTF8PROC_CATEGORY_NO] = DIGIT,
    [UTF8PROC_CATEGORY_PC] = QN_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PD] = QN_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PS] = QN_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PE] = QN_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PI] = QN_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PF] = QN_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_PO] = QN_CHAR_PUNCTUATION,
    [UTF8PROC_CATEGORY_SM] = QN_CHAR_SYMBOL,
    [UTF8PROC_CATEGORY_SC] = QN_CHAR_SYMBOL,
    [UTF8PROC_CATEGORY_SK] = QN_CHAR_SYMBOL,
    [UTF8PROC_CATEGORY_SO] = QN_CHAR_SYMBOL,
    [UTF8PROC_CATEGORY_ZS] = QN_CHAR_SPACE,
    [UTF8PROC_CATEGORY_ZL] = QN_CHAR_SPACE,
    [UTF8PROC_CATEGORY_ZP] = QN_CHAR_SPACE,
    [UTF8PROC_CATEGORY_CO] = OTHER,
};

bool qn_unicode_in(const struct qn_range *ranges, size_t n, int32_t codepoint) {
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (codepoint > ranges[middle].last) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < n && codepoint >= ranges[low].first;
}

static const struct qn_class_range *newer_character(int32_t codepoint) {
    size_t low = 0, high = LENGTH(newer_characters);
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (codepoint > newer_characters[middle].last) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    const bool found = low < LENGTH(newer_characters) && codepoint >= newer_characters[low].first;
    return found ? &newer_characters[low] : NULL;
}

unsigned qn_unicode_class(int32_t codepoint) {
    if (codepoint >= 0x4E00 && codepoint < 0xA000) return QN_CHAR_UNCASED; /* Han: common */
    const utf8proc_category_t category = utf8proc_category(codepoint);
    unsigned class = (size_t)category < LENGTH(category_class) ? category_class[category] : OTHER;
    if (class & QN_CHAR_LETTER) return class;
    if (codepoint == 0x85) return QN_CHAR_SPACE; /* the one control character beyond ASCII */
    if (category == UTF8PROC_CATEGORY_CN) {
        const struct qn_class_range *newer = newer_character(codepoint);
        if (newer != NULL) class = newer->class;
        if (class & QN_CHAR_NUMBER) class |= QN_CHAR_DIGIT;
        if (qn_unicode_in(newer_digits, LENGTH(newer_digits), codepoint)) class |= QN_CHAR_DIGIT;
    }
    const bool isolated =
        class & QN_CHAR_PUNCTUATION
            ? !qn_unicode_in(not_yet_punctuation, LENGTH(not_yet_punctuation), codepoint)
            : qn_unicode_in(once_punctuation, LENGTH(once_punctuation), codepoint);
    return isolated ? class | QN_CHAR_ISOLATED : class;
}

enum qn_status qn_bytes_reserve(struct qn_bytes *bytes, size_t more, struct qn_error *err) {
    size_t need;
    if (!qn_checked_add(bytes->size, more, &need)) {
        return qn_fail(err, QN_NO_MEMORY, "a text is too large for this machine");
    }
    if (bytes->max > 0 && need > bytes->max) {
        return qn_fail(err, QN_UNSUPPORTED, "the tokenizer's steps make too much of a text");
    }
    if (need <= bytes->capacity) return QN_OK;
    size_t capacity = bytes->capacity < 256 ? 256 : bytes->capacity;
    while (capacity < need) capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    char *data = realloc(bytes->data, capacity);
    if (data == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for %zu bytes of text", need);
    bytes->data = data;
    bytes->capacity = capacity;
    return QN_OK;
}

void qn_bytes_spend(struct qn_bytes *bytes, size_t size) {
    if (bytes->max > 0) bytes->max = size < bytes->max ? bytes->max - size : 1;
}

enum qn_status qn_bytes_append(struct qn_bytes *bytes, const char *text, size_t size,
                               struct qn_error *err) {
    if (size == 0) return QN_OK;
    QN_TRY(qn_bytes_reserve(bytes, size, err));
    memcpy(bytes->data + bytes->size, text, size);
    bytes->size += size;
    return QN_OK;
}

/* ---- normal forms -------------------------------------------------------------------------- */

/* Below U+0300 nothing composes with what stands before it, and all is composed. */
enum { FIRST_COMPOSING = 0x300, FIRST_COMPOSING_LEAD = 0xCC };

static const struct form {
    int options;              /* of utf8proc */
    unsigned char first_lead; /* characters that start with less are their own form */
} forms[] = {
    [QN_NFC] = {UTF8PROC_STABLE | UTF8PROC_COMPOSE, FIRST_COMPOSING_LEAD},
    [QN_NFD] = {UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, 0x80},
    [QN_NFKC] = {UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT, 0x80},
    [QN_NFKD] = {UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT, 0x80},
};

bool qn_unicode_is_nfc(const char *text, size_t size) {
    unsigned char high = 0;
    for (size_t i = 0; i < size; i++) {
        const unsigned char byte = (unsigned char)text[i];
        high = byte > high ? byte : high;
    }
    return high < FIRST_COMPOSING_LEAD;
}

struct points { /* a growing array of characters */
    int32_t *data;
    size_t n, capacity;
};

static bool points_reserve(struct points *points, size_t more) {
    if (points->capacity - points->n >= more) return true;
    const size_t capacity = 2 * (points->n + more);
    if (capacity > SIZE_MAX / sizeof *points->data) return false;
    int32_t *data = realloc(points->data, capacity * sizeof *data);
    if (data == NULL) return false;
    points->data = data;
    points->capacity = capacity;
    return true;
}

static bool is_barrier(const struct form *form, int32_t codepoint) {
    if ((form->options & UTF8PROC_COMPAT) != 0 &&
        qn_unicode_in(compatibility_barriers, LENGTH(compatibility_barriers), codepoint)) {
        return true;
    }
    return qn_unicode_in(nfc_barriers, LENGTH(nfc_barriers), codepoint) ||
           newer_character(codepoint) != NULL;
}

static unsigned combining_class(int32_t codepoint) {
    return (unsigned)utf8proc_get_property(codepoint)->combining_class;
}

/* Sorts marks[n] by combining class, equal ones in their order: a counting sort, because runs of
 * marks can be as long as the text. other[n] is scratch. */
static void sort_marks(int32_t *marks, size_t n, int32_t *other) {
    size_t first[257] = {0};
    for (size_t i = 0; i < n; i++) first[(combining_class(marks[i]) & 0xFF) + 1]++;
    for (size_t c = 0; c < 256; c++) first[c + 1] += first[c];
    for (size_t i = 0; i < n; i++) other[first[combining_class(marks[i]) & 0xFF]++] = marks[i];
    memcpy(marks, other, n * sizeof *marks);
}

/* Puts the marks of decomposed text in canonical order. Most runs are one or two marks. */
static bool order_marks(struct points *points) {
    const size_t n = points->n;
    size_t i = 0;
    while (i < n) {
        if (combining_class(points->data[i]) == 0) {
            i++;
            continue;
        }
        size_t end = i + 1;
        bool sorted = true;
        while (end < n && combining_class(points->data[end]) != 0) {
            sorted &= combining_class(points->data[end - 1]) <= combining_class(points->data[end]);
            end++;
        }
        if (!sorted) {
            if (!points_reserve(points, end - i)) return false;
            sort_marks(points->data + i, end - i, points->data + n);
        }
        i = end;
    }
    return true;
}

/* Composes the characters collected so far and writes them out. */
static enum qn_status flush(const struct form *form, struct points *points, struct qn_bytes *out,
                            struct qn_error *err) {
    if (points->n == 0) return QN_OK;
    if (!order_marks(points)) return qn_fail(err, QN_NO_MEMORY, "no memory to normalize a text");
    utf8proc_ssize_t n = (utf8proc_ssize_t)points->n;
    if (form->options & UTF8PROC_COMPOSE) {
        n = utf8proc_normalize_utf32(points->data, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    }
    points->n = 0;
    if (n < 0) return qn_fail(err, QN_NO_MEMORY, "%s", utf8proc_errmsg(n));
    QN_TRY(qn_bytes_reserve(out, (size_t)n * QN_UTF8_MAX, err));
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        out->size += qn_utf8_write(points->data[i], out->data + out->size);
    }
    return QN_OK;
}

/* Longest decomposition of one character, in characters (Unicode: 4, compatible ones 18). */
enum { DECOMPOSED_MAX = 32 };

/* Bytes of the stretch of characters that are their own form, without its last character, with
 * which what follows could compose. */
static size_t settled_prefix(const struct form *form, const char *text, size_t size) {
    size_t n = 0;
    while (n < size && (unsigned char)text[n] < form->first_lead) n++;
    while (n > 0 && ((unsigned char)text[n - 1] & 0xC0) == 0x80) n--;
    return n > 0 ? n - 1 : 0;
}

static enum qn_status normalize(const struct form *form, const char *text, size_t size,
                                struct points *points, struct qn_bytes *out, struct qn_error *err) {
    size_t length;
    for (size_t at = 0; at < size; at += length) {
        if ((unsigned char)text[at] < form->first_lead) {
            QN_TRY(flush(form, points, out, err));
            length = settled_prefix(form, text + at, size - at);
            if (length > 0) {
                QN_TRY(qn_bytes_append(out, text + at, length, err));
                continue;
            }
        }
        const int32_t codepoint = qn_utf8_read(text + at, &length);
        if (codepoint >= FIRST_COMPOSING && is_barrier(form, codepoint)) {
            QN_TRY(flush(form, points, out, err));
            QN_TRY(qn_bytes_append(out, text + at, length, err));
            continue;
        }
        if (!points_reserve(points, DECOMPOSED_MAX)) {
            return qn_fail(err, QN_NO_MEMORY, "no memory to normalize a text");
        }
        int boundary = 0;
        const utf8proc_ssize_t n = utf8proc_decompose_char(
            codepoint, points->data + points->n, DECOMPOSED_MAX, form->options, &boundary);
        if (n < 0 || n > DECOMPOSED_MAX) {
            return qn_fail(err, QN_BAD_ARGUMENT, "U+%04X cannot be normalized",
                           (unsigned)codepoint);
        }
        points->n += (size_t)n;
    }
    return flush(form, points, out, err);
}

enum qn_status qn_unicode_normalize(enum qn_form form, const char *text, size_t size,
                                    struct qn_bytes *out, struct qn_error *err) {
    struct points points = {0};
    const enum qn_status status = normalize(&forms[form], text, size, &points, out, err);
    free(points.data);
    return status;
}

/* ---- words, case, graphemes ---------------------------------------------------------------- */

bool qn_unicode_is_word(int32_t codepoint) {
    /* Symbols that are alphabetic nevertheless: letters in circles and squares; joiners. */
    static const struct qn_range others[] = {{0x200C, 0x200D},
                                             {0x24B6, 0x24E9},
                                             {0x1F130, 0x1F149},
                                             {0x1F150, 0x1F169},
                                             {0x1F170, 0x1F189}};
    switch (utf8proc_category(codepoint)) {
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        break;
    }
    const unsigned class =
        codepoint < 0x80 ? qn_ascii_class[codepoint] : qn_unicode_class(codepoint);
    return (class & (QN_CHAR_LETTER | QN_CHAR_MARK)) != 0 ||
           qn_unicode_in(others, LENGTH(others), codepoint);
}

bool qn_unicode_is_accent(int32_t codepoint) {
    return (qn_unicode_class(codepoint) & QN_CHAR_MARK) != 0
               ? !qn_unicode_in(kept_marks, LENGTH(kept_marks), codepoint)
               : qn_unicode_in(once_marks, LENGTH(once_marks), codepoint);
}

const struct qn_class_range *qn_unicode_after_pcre2(size_t *n) {
    *n = LENGTH(after_pcre2);
    return after_pcre2;
}

size_t qn_unicode_lower(int32_t codepoint, int32_t *out) {
    out[0] = utf8proc_tolower(codepoint);
    for (size_t i = 0; codepoint >= newer_lower[0][0] && i < LENGTH(newer_lower); i++) {
        if (newer_lower[i][0] == codepoint) out[0] = newer_lower[i][1];
    }
    if (codepoint != 0x130) return 1; /* the one whose lower case is two characters */
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
}

/* A character that utf8proc knows to break alike: marks that are new to it are marks. */
static int32_t breaks_like(int32_t codepoint) {
    if (utf8proc_category(codepoint) != UTF8PROC_CATEGORY_CN) return codepoint;
    const struct qn_class_range *newer = newer_character(codepoint);
    return newer != NULL && (newer->class & QN_CHAR_MARK) != 0 ? 0x300 : codepoint;
}

size_t qn_unicode_grapheme_end(const char *text, size_t at, size_t size) {
    size_t length;
    int32_t state = 0, last = breaks_like(qn_utf8_read(text + at, &length));
    for (at += length; at < size; at += length) {
        const int32_t next = breaks_like(qn_utf8_read(text + at, &length));
        if (utf8proc_grapheme_break_stateful(last, next, &state)) break;
        last = next;
    }
    return at;
}
