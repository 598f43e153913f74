/* SPDX-License-Identifier: Apache-2.0
 *
 * Special tokens by narrowing a range of their sorted list byte by byte.
 */
#include "text/special.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b, void *tokens) {
    const struct qn_text *left = (const struct qn_text *)tokens + *(const int32_t *)a;
    const struct qn_text *right = (const struct qn_text *)tokens + *(const int32_t *)b;
    const size_t size = left->size < right->size ? left->size : right->size;
    const int order = memcmp(left->data, right->data, size);
    if (order != 0) return order;
    return left->size < right->size ? -1 : left->size > right->size;
}

enum qn_status qn_special_init(struct qn_special *special, const struct qn_text *tokens,
                               const uint8_t *kinds, size_t n_tokens, int32_t unknown,
                               struct qn_error *err) {
    *special = (struct qn_special){.tokens = tokens, .kinds = kinds};
    special->ids = malloc((n_tokens + 1) * sizeof *special->ids);
    if (special->ids == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for special tokens");
    for (size_t id = 0; id < n_tokens; id++) {
        const bool matched = kinds[id] == QN_TOKEN_CONTROL || kinds[id] == QN_TOKEN_USER_DEFINED ||
                             (kinds[id] == QN_TOKEN_UNKNOWN && (int32_t)id == unknown);
        if (!matched || tokens[id].size == 0) continue;
        if (tokens[id].size > QN_SPECIAL_MAX) {
            return qn_fail(err, QN_BAD_FILE, "special token %zu has %zu bytes, expected at most %d",
                           id, tokens[id].size, QN_SPECIAL_MAX);
        }
        special->ids[special->n++] = (int32_t)id;
    }
    /* The cast drops const only because qsort_r's context is not const; compare reads. */
    qsort_r(special->ids, special->n, sizeof *special->ids, compare, (void *)(uintptr_t)tokens);
    size_t i = 0;
    for (size_t byte = 0; byte < 256; byte++) {
        special->first[byte] = i;
        while (i < special->n && (unsigned char)tokens[special->ids[i]].data[0] == byte) i++;
    }
    special->first[256] = i;
    return QN_OK;
}

void qn_special_free(struct qn_special *special) {
    free(special->ids);
    special->ids = NULL;
}

/* The first of ids[low .. high) whose byte at `depth` is at least `byte`; all have that byte. */
static size_t lower_bound(const struct qn_special *special, size_t low, size_t high, size_t depth,
                          unsigned byte) {
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if ((unsigned char)special->tokens[special->ids[middle]].data[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The longest token at text[0 .. size), or -1. Of equal ones, the last, as the map of tokens. */
static int32_t longest(const struct qn_special *special, const char *text, size_t size,
                       bool control) {
    const unsigned first = (unsigned char)text[0];
    size_t low = special->first[first], high = special->first[first + 1];
    int32_t found = -1;
    for (size_t depth = 1; low < high; depth++) {
        /* ids[low .. high) are the tokens that start with text[0 .. depth). */
        for (; low < high && special->tokens[special->ids[low]].size == depth; low++) {
            const int32_t id = special->ids[low];
            if (control || special->kinds[id] == QN_TOKEN_USER_DEFINED) found = id;
        }
        if (depth == size) break;
        const unsigned byte = (unsigned char)text[depth];
        low = lower_bound(special, low, high, depth, byte);
        high = lower_bound(special, low, high, depth, byte + 1);
    }
    return found;
}

size_t qn_special_find(const struct qn_special *special, const char *text, size_t at, size_t end,
                       bool control, int32_t *id) {
    if (special->n == 0) return end;
    for (; at < end; at++) {
        const unsigned byte = (unsigned char)text[at];
        if (special->first[byte] == special->first[byte + 1]) continue;
        *id = longest(special, text + at, end - at, control);
        if (*id >= 0) return at;
    }
    return end;
}
