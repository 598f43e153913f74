/* SPDX-License-Identifier: Apache-2.0
 *
 * Added tokens by narrowing a range of their sorted list byte by byte.
 */
#include "text/special.h"

#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

/* Equal texts stay in the order of their ids, so that the last can win. */
static int compare(const void *a, const void *b) {
    const struct qn_special_token *left = a, *right = b;
    const size_t size = left->text.size < right->text.size ? left->text.size : right->text.size;
    const int order = memcmp(left->text.data, right->text.data, size);
    if (order != 0) return order;
    if (left->text.size != right->text.size) return left->text.size < right->text.size ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* A text is repaired before it is searched, so no other token can stand in it; one of loose bytes
 * would only match within a character and leave halves of it to those who read whole ones. */
static bool is_valid(struct qn_text text) {
    return qn_utf8_valid_prefix(text.data, text.size) == text.size;
}

enum qn_status qn_special_init(struct qn_special *special, struct qn_special_token *tokens,
                               size_t n, struct qn_error *err) {
    *special = (struct qn_special){.tokens = tokens};
    for (size_t i = 0; i < n; i++) {
        if (tokens[i].text.size == 0) continue;
        if (tokens[i].text.size > QN_SPECIAL_MAX) {
            return qn_fail(err, QN_BAD_FILE, "special token %d has %zu bytes, expected at most %d",
                           (int)tokens[i].id, tokens[i].text.size, QN_SPECIAL_MAX);
        }
        if (!is_valid(tokens[i].text)) continue;
        tokens[special->n++] = tokens[i];
    }
    if (special->n > 0) qsort(tokens, special->n, sizeof *tokens, compare);
    size_t i = 0;
    for (size_t byte = 0; byte < 256; byte++) {
        special->first[byte] = i;
        while (i < special->n && (unsigned char)tokens[i].text.data[0] == byte) i++;
    }
    special->first[256] = i;
    return QN_OK;
}

void qn_special_free(struct qn_special *special) {
    free(special->tokens);
    special->tokens = NULL;
}

/* The first of tokens[low .. high) whose byte at `depth` is at least `byte`; all have that byte. */
static size_t lower_bound(const struct qn_special *special, size_t low, size_t high, size_t depth,
                          unsigned byte) {
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if ((unsigned char)special->tokens[middle].text.data[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct qn_special_token *qn_special_prefix_next(const struct qn_special *special,
                                                      struct qn_special_prefix *prefix,
                                                      const char *text, size_t size) {
    if (prefix->depth == 0) {
        const unsigned first = (unsigned char)text[0];
        *prefix = (struct qn_special_prefix){special->first[first], special->first[first + 1], 1};
    }
    size_t low = prefix->low, high = prefix->high, depth = prefix->depth;
    const struct qn_special_token *found = NULL;
    while (low < high && found == NULL) {
        /* tokens[low .. high) are those that start with text[0 .. depth). */
        for (; low < high && special->tokens[low].text.size == depth; low++) {
            found = &special->tokens[low];
        }
        if (depth == size) {
            low = high;
            break;
        }
        const unsigned byte = (unsigned char)text[depth];
        low = lower_bound(special, low, high, depth, byte);
        high = lower_bound(special, low, high, depth, byte + 1);
        depth++;
    }
    *prefix = (struct qn_special_prefix){low, high, depth};
    return found;
}

/* The longest token at text[0 .. size), or NULL. */
static const struct qn_special_token *longest(const struct qn_special *special, const char *text,
                                              size_t size) {
    struct qn_special_prefix prefix = {0};
    const struct qn_special_token *found = NULL, *next;
    while ((next = qn_special_prefix_next(special, &prefix, text, size)) != NULL) found = next;
    return found;
}

/* The start of the character before text[at]. */
static size_t before(const char *text, size_t at) {
    do at--;
    while (((unsigned char)text[at] & 0xC0) == 0x80);
    return at;
}

/* Whether text[begin, end) stands apart from letters, digits and the like. */
static bool stands_alone(const struct qn_special_walk *walk, size_t begin, size_t end) {
    size_t length;
    const bool left =
        begin > 0 &&
        qn_unicode_is_word(qn_utf8_read(walk->text + before(walk->text, begin), &length));
    const bool right =
        end < walk->size && qn_unicode_is_word(qn_utf8_read(walk->text + end, &length));
    return !left && !right;
}

/* The blanks that a token takes with it; those that the token before took are gone. */
static void widen(const struct qn_special_token *token, const struct qn_special_walk *walk,
                  size_t *begin, size_t *end) {
    size_t length;
    while (token->lstrip && *begin > walk->taken) {
        const size_t at = before(walk->text, *begin);
        if ((qn_unicode_class_at(walk->text + at, &length) & QN_CHAR_SPACE) == 0) break;
        *begin = at;
    }
    if (token->lstrip && *begin < walk->taken) *begin = walk->taken;
    while (token->rstrip && *end < walk->size) {
        if ((qn_unicode_class_at(walk->text + *end, &length) & QN_CHAR_SPACE) == 0) break;
        *end += length;
    }
}

const struct qn_special_token *qn_special_next(const struct qn_special *special,
                                               struct qn_special_walk *walk, size_t *begin,
                                               size_t *end) {
    *begin = walk->taken;
    while (special->n > 0 && walk->at < walk->size) {
        const unsigned byte = (unsigned char)walk->text[walk->at];
        const struct qn_special_token *token = NULL;
        if (special->first[byte] != special->first[byte + 1]) {
            token = longest(special, walk->text + walk->at, walk->size - walk->at);
        }
        size_t start = walk->at++;
        if (token == NULL) continue;
        size_t stop = start + token->text.size;
        walk->at = stop;
        if (token->control && !walk->control) continue;
        if (token->single_word && !stands_alone(walk, start, stop)) continue;
        widen(token, walk, &start, &stop);
        if (start >= stop) continue; /* a token before it took all of it */
        *end = start > *begin ? start : *begin;
        walk->taken = stop;
        return token;
    }
    *end = walk->size > *begin ? walk->size : *begin;
    return NULL;
}
