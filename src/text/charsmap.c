/* SPDX-License-Identifier: Apache-2.0 */
#include "text/charsmap.h"

#include <string.h>

enum { UNIT = 4 };

struct charsmap {
    const unsigned char *units; /* [n_units] uint32, little-endian, perhaps not aligned */
    size_t n_units;
    const char *texts; /* [n_texts] */
    size_t n_texts;
};

static uint32_t read_u32(const unsigned char *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static struct charsmap parts(struct qn_text map) {
    const unsigned char *data = (const unsigned char *)map.data;
    const size_t trie = read_u32(data);
    return (struct charsmap){data + UNIT, trie / UNIT, map.data + UNIT + trie,
                             map.size - UNIT - trie};
}

enum qn_status qn_charsmap_check(struct qn_text map, struct qn_error *err) {
    const bool sized = map.size > UNIT;
    const size_t trie = sized ? read_u32((const unsigned char *)map.data) : 0;
    if (!sized || trie == 0 || trie % UNIT != 0 || trie >= map.size - UNIT ||
        map.data[map.size - 1] != '\0' ||
        qn_utf8_valid_prefix(map.data + UNIT + trie, map.size - UNIT - trie) !=
            map.size - UNIT - trie) {
        return qn_fail(err, QN_BAD_FILE,
                       "the precompiled character map is not a trie and texts ended by zeros");
    }
    return QN_OK;
}

/* The replacement of the shortest prefix of text[0, size) that has one; its data is NULL where
 * none has. Units: bits 0-7 label, 8 has a leaf, 9 and 10-30 offset of the children; of a leaf
 * bits 0-30 value. */
static struct qn_text find(const struct charsmap *map, const char *text, size_t size) {
    static const struct qn_text none = {NULL, 0};
    size_t at = 0;
    uint32_t unit = read_u32(map->units);
    at ^= (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
    for (size_t i = 0; i < size; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == 0) return none;
        at ^= c;
        if (at >= map->n_units) return none;
        unit = read_u32(map->units + UNIT * at);
        if ((unit & (1u << 31 | 0xFF)) != c) return none;
        at ^= (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
        if ((unit >> 8 & 1) == 0) continue;
        if (at >= map->n_units) return none;
        const size_t value = read_u32(map->units + UNIT * at) & 0x7FFFFFFF;
        if (value >= map->n_texts || ((unsigned char)map->texts[value] & 0xC0) == 0x80) return none;
        /* The texts end with a zero. */
        return (struct qn_text){map->texts + value, strlen(map->texts + value)};
    }
    return none;
}

/* Longer grapheme clusters are taken character by character. */
enum { CLUSTER_MAX = 5 };

enum qn_status qn_charsmap_apply(struct qn_text map, const char *text, size_t size,
                                 struct qn_bytes *out, struct qn_error *err) {
    const struct charsmap m = parts(map);
    for (size_t at = 0; at < size;) {
        const size_t end = qn_unicode_grapheme_end(text, at, size);
        struct qn_text found = {NULL, 0};
        if (end - at <= CLUSTER_MAX) found = find(&m, text + at, end - at);
        if (found.data != NULL) {
            QN_TRY(qn_bytes_append(out, found.data, found.size, err));
            at = end;
            continue;
        }
        for (size_t length; at < end; at += length) {
            length = qn_utf8_length((unsigned char)text[at]);
            found = find(&m, text + at, length);
            if (found.data == NULL) found = (struct qn_text){text + at, length};
            QN_TRY(qn_bytes_append(out, found.data, found.size, err));
        }
    }
    return QN_OK;
}
