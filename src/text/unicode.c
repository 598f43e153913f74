/* SPDX-License-Identifier: Apache-2.0
 *
 * Character classes and NFC over utf8proc's tables.
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

static const struct class_range *newer_character(int32_t codepoint) {
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
        const struct class_range *newer = newer_character(codepoint);
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
    if (need <= bytes->capacity) return QN_OK;
    size_t capacity = bytes->capacity < 256 ? 256 : bytes->capacity;
    while (capacity < need) capacity = capacity > SIZE_MAX / 2 ? need : capacity * 2;
    char *data = realloc(bytes->data, capacity);
    if (data == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for %zu bytes of text", need);
    bytes->data = data;
    bytes->capacity = capacity;
    return QN_OK;
}

/* ---- NFC ---------------------------------------------------------------------------------- */

/* Below U+0300 nothing composes with what stands before it, and all is composed. */
enum { FIRST_COMPOSING = 0x300, FIRST_COMPOSING_LEAD = 0xCC };

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

static bool is_barrier(int32_t codepoint) {
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
static enum qn_status flush(struct points *points, struct qn_bytes *out, struct qn_error *err) {
    if (points->n == 0) return QN_OK;
    if (!order_marks(points)) return qn_fail(err, QN_NO_MEMORY, "no memory to normalize a text");
    const utf8proc_ssize_t n = utf8proc_normalize_utf32(points->data, (utf8proc_ssize_t)points->n,
                                                        UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    points->n = 0;
    if (n < 0) return qn_fail(err, QN_NO_MEMORY, "%s", utf8proc_errmsg(n));
    QN_TRY(qn_bytes_reserve(out, (size_t)n * QN_UTF8_MAX, err));
    for (utf8proc_ssize_t i = 0; i < n; i++) {
        out->size += qn_utf8_write(points->data[i], out->data + out->size);
    }
    return QN_OK;
}

/* Longest canonical decomposition of one character, in characters (Unicode: 4). */
enum { DECOMPOSED_MAX = 8 };

static enum qn_status append(const char *text, size_t size, struct qn_bytes *out,
                             struct qn_error *err) {
    QN_TRY(qn_bytes_reserve(out, size, err));
    memcpy(out->data + out->size, text, size);
    out->size += size;
    return QN_OK;
}

/* Bytes of the stretch of characters below FIRST_COMPOSING, without its last character, with
 * which what follows could compose. */
static size_t settled_prefix(const char *text, size_t size) {
    size_t n = 0;
    while (n < size && (unsigned char)text[n] < FIRST_COMPOSING_LEAD) n++;
    while (n > 0 && ((unsigned char)text[n - 1] & 0xC0) == 0x80) n--;
    return n > 0 ? n - 1 : 0;
}

static enum qn_status normalize(const char *text, size_t size, struct points *points,
                                struct qn_bytes *out, struct qn_error *err) {
    size_t length;
    for (size_t at = 0; at < size; at += length) {
        if ((unsigned char)text[at] < FIRST_COMPOSING_LEAD) {
            QN_TRY(flush(points, out, err));
            length = settled_prefix(text + at, size - at);
            if (length > 0) {
                QN_TRY(append(text + at, length, out, err));
                continue;
            }
        }
        const int32_t codepoint = qn_utf8_read(text + at, &length);
        if (codepoint >= FIRST_COMPOSING && is_barrier(codepoint)) {
            QN_TRY(flush(points, out, err));
            QN_TRY(append(text + at, length, out, err));
            continue;
        }
        if (!points_reserve(points, DECOMPOSED_MAX)) {
            return qn_fail(err, QN_NO_MEMORY, "no memory to normalize a text");
        }
        int boundary = 0;
        const utf8proc_ssize_t n =
            utf8proc_decompose_char(codepoint, points->data + points->n, DECOMPOSED_MAX,
                                    UTF8PROC_STABLE | UTF8PROC_COMPOSE, &boundary);
        if (n < 0 || n > DECOMPOSED_MAX) {
            return qn_fail(err, QN_BAD_ARGUMENT, "U+%04X cannot be normalized",
                           (unsigned)codepoint);
        }
        points->n += (size_t)n;
    }
    return flush(points, out, err);
}

enum qn_status qn_unicode_nfc(const char *text, size_t size, struct qn_bytes *out,
                              struct qn_error *err) {
    struct points points = {0};
    const enum qn_status status = normalize(text, size, &points, out, err);
    free(points.data);
    return status;
}
