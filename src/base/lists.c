/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists and ranges.
 */
#include "base/lists.h"

#include <string.h>

/* Reads digits at *text and moves past them; false when there are none, or their number is not in
 * range. */
static bool take_int(const char **text, int min, int max, int *out) {
    long long value = 0;
    const char *at = *text;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = 10 * value + (*at - '0');
        if (value > max) return false;
    }
    if (at == *text || value < min) return false;
    *text = at;
    *out = (int)value;
    return true;
}

static bool take_range(const char **text, int min, int max, struct qn_int_list *list) {
    int first, last, step = 1;
    char by = '+';
    if (!take_int(text, min, max, &first)) return false;
    last = first;
    if (**text == '-') {
        ++*text;
        if (!take_int(text, first, max, &last)) return false;
        if (**text == '+' || **text == '*') {
            by = *(*text)++;
            if (!take_int(text, 1, max, &step)) return false;
        }
    }
    if (by == '*' && (step == 1 || first == 0)) return false; /* would never end */
    for (long long value = first; value <= last; value = by == '*' ? value * step : value + step) {
        if (list->n == QN_INT_LIST_CAPACITY) return false;
        list->values[list->n++] = (int)value;
    }
    return true;
}

bool qn_int_list_add(const char *text, int min, int max, struct qn_int_list *list) {
    if (!list->given) list->n = 0;
    list->given = true;
    while (take_range(&text, min, max, list)) {
        if (*text == '\0') return true;
        if (*text++ != ',') return false;
    }
    return false;
}

bool qn_pair_list_add(const char *text, int min, int max, struct qn_pair_list *list) {
    struct qn_int_pair pair;
    if (list->n == QN_PAIR_LIST_CAPACITY || !take_int(&text, min, max, &pair.first) ||
        *text++ != ',' || !take_int(&text, min, max, &pair.second) || *text != '\0')
        return false;
    list->values[list->n++] = pair;
    return true;
}

bool qn_is_choice(const char *text, size_t size, const char *choices) {
    for (;;) {
        const size_t n = strcspn(choices, "|");
        if (size == n && memcmp(text, choices, n) == 0) return true;
        if (choices[n] == '\0') return false;
        choices += n + 1;
    }
}

bool qn_word_list_add(const char *text, const char *choices, struct qn_word_list *list) {
    if (!list->given) list->n = 0;
    list->given = true;
    for (;;) {
        const size_t n = strcspn(text, ",");
        if (list->n == QN_WORD_LIST_CAPACITY || n >= QN_WORD_SIZE ||
            !qn_is_choice(text, n, choices))
            return false;
        memcpy(list->values[list->n], text, n);
        list->values[list->n++][n] = '\0';
        if (text[n] == '\0') return true;
        text += n + 1;
    }
}
