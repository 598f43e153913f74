/* SPDX-License-Identifier: Apache-2.0
 *
 * The two lookups of a tokenizer: text -> token, and pair of tokens -> merge. Open addressing,
 * filled at most half, hashed with a secret chosen when the tokenizer is made, so that no file can
 * be written to make them slow.
 */
#ifndef QN_TEXT_MAPS_H
#define QN_TEXT_MAPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/tokenizer.h"

uint64_t qn_map_secret(void);

struct qn_token_slot {
    uint32_t hash;
    int32_t id; /* -1: free */
};
struct qn_token_map {
    struct qn_token_slot *slots; /* [mask + 1] */
    size_t mask;
    uint64_t secret;
    const struct qn_text *tokens; /* [n_tokens], the caller's */
};
/* Of tokens with equal text the last wins, as in Hugging Face's and llama.cpp's maps. */
enum qn_status qn_token_map_init(struct qn_token_map *map, const struct qn_text *tokens, size_t n,
                                 uint64_t secret, struct qn_error *err);
void qn_token_map_free(struct qn_token_map *map);
int32_t qn_token_map_find(const struct qn_token_map *map, const char *text, size_t size);

struct qn_merge {
    uint32_t left, right; /* ids; left == UINT32_MAX: free */
    uint32_t rank;        /* lower goes first */
    int32_t id;           /* of the merged token */
};
struct qn_pair_map {
    struct qn_merge *slots; /* [mask + 1] */
    size_t mask, n;
    uint64_t secret;
};
enum qn_status qn_pair_map_init(struct qn_pair_map *map, size_t n_expected, uint64_t secret,
                                struct qn_error *err);
void qn_pair_map_free(struct qn_pair_map *map);
/* Of equal pairs the first wins. Grows. Error: QN_NO_MEMORY. */
enum qn_status qn_pair_map_add(struct qn_pair_map *map, const struct qn_merge *merge,
                               struct qn_error *err);

static inline uint64_t qn_map_mix(uint64_t x) {
    x ^= x >> 32;
    x *= 0x9E3779B97F4A7C15u; /* odd, bits of the golden ratio */
    x ^= x >> 29;
    return x;
}

/* The merge of two adjacent tokens, or NULL. */
static inline const struct qn_merge *qn_pair_map_find(const struct qn_pair_map *map, int32_t left,
                                                      int32_t right) {
    const uint32_t l = (uint32_t)left, r = (uint32_t)right;
    size_t i = qn_map_mix(((uint64_t)l << 32 | r) * map->secret) & map->mask;
    while (map->slots[i].left != UINT32_MAX) {
        if (map->slots[i].left == l && map->slots[i].right == r) return &map->slots[i];
        i = (i + 1) & map->mask;
    }
    return NULL;
}

#endif
