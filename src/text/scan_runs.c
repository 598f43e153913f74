/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules that cut runs of some characters out of a text; what lies between the runs stays in one
 * piece each.
 */
#include "text/pretokenize.h"

static bool is_member(const struct qn_cut *cut, const char *text, size_t at, size_t *length,
                      unsigned *class) {
    *class = qn_unicode_class_at(text + at, length);
    if (*class & cut->members) return true;
    if (cut->n_ranges == 0) return false;
    size_t ignored;
    return qn_unicode_in(cut->ranges, cut->n_ranges, qn_utf8_read(text + at, &ignored));
}

/* Where a run that starts at text[at] ends; `at` when none starts there. */
static size_t run_end(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    size_t length, p = at;
    unsigned class;
    bool member = is_member(cut, text, p, &length, &class);
    if (cut->leading_space && (class & QN_CHAR_SPACE) != 0 && p + length < end) {
        size_t next_length;
        unsigned next_class;
        if (is_member(cut, text, p + length, &next_length, &next_class)) {
            p += length;
            length = next_length;
            member = true;
        }
    }
    for (size_t n = 0; member && (cut->max_run == 0 || n < cut->max_run);) {
        p += length;
        n++;
        member = p < end && is_member(cut, text, p, &length, &class);
    }
    return p;
}

size_t qn_cut_runs(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    const size_t stop = run_end(cut, text, at, end);
    if (stop > at) return stop;
    size_t length;
    unsigned class;
    do { /* up to the next run; whether one starts takes two characters to see */
        (void)is_member(cut, text, at, &length, &class);
        at += length;
    } while (at < end && !(is_member(cut, text, at, &length, &class) ||
                           (cut->leading_space && (class & QN_CHAR_SPACE) != 0 &&
                            run_end(cut, text, at, end) > at)));
    return at;
}

/* Where white space that starts at text[at] and is followed by a line break or by nothing ends;
 * `at` when there is no such. *run_end: where the white space ends. */
static size_t trailing_end(const char *text, size_t at, size_t end, size_t *run_end) {
    size_t length, newline = at, p = at;
    for (; p < end && (qn_unicode_class_at(text + p, &length) & QN_CHAR_SPACE) != 0; p += length) {
        if (text[p] == '\n') newline = p;
    }
    *run_end = p;
    return p == end ? end : newline;
}

/* \s+$, where $ is the end of any line. */
size_t qn_cut_trailing_space(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    (void)cut;
    size_t p, length;
    const size_t stop = trailing_end(text, at, end, &p);
    if (stop > at) return stop;
    while (p < end) {
        size_t run_end;
        (void)qn_unicode_class_at(text + p, &length);
        if (trailing_end(text, p, end, &run_end) > p) return p;
        p = run_end > p ? run_end : p + length;
    }
    return end;
}

/* Falcon looks for numbers after bytes have become characters of the byte alphabet. There the
 * bytes B2 B3 B9 BC BD BE are superscripts and fractions, so characters are cut in two. */
static bool is_number_byte(char c) {
    const unsigned char byte = (unsigned char)c;
    return (byte >= '0' && byte <= '9') || byte == 0xB2 || byte == 0xB3 || byte == 0xB9 ||
           (byte >= 0xBC && byte <= 0xBE);
}

size_t qn_cut_byte_numbers(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    (void)cut;
    const bool number = is_number_byte(text[at]);
    while (at < end && is_number_byte(text[at]) == number) at++;
    return at;
}

static bool three_digits(const char *text, size_t at, size_t end) {
    if (end - at < 3) return false;
    for (size_t i = at; i < at + 3; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
    }
    return true;
}

/* [0-9][0-9][0-9], likewise on bytes. */
size_t qn_cut_three_digits(const struct qn_cut *cut, const char *text, size_t at, size_t end) {
    (void)cut;
    if (three_digits(text, at, end)) return at + 3;
    do {
        at++;
    } while (at < end && !three_digits(text, at, end));
    return at;
}
