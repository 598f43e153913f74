/* SPDX-License-Identifier: Apache-2.0
 *
 * Hash maps of a tokenizer.
 */
#include "text/maps.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/checked.h"

uint64_t qn_map_secret(void) {
    uint64_t secret = 0;
    /* Without entropy the maps still work; only the defence against made-up files is gone. */
    if (getrandom(&secret, sizeof secret, GRND_NONBLOCK) != sizeof secret) {
        secret = 0xD1B54A32D192ED03u;
    }
    return secret | 1;
}

/* The smallest power of two of at least 2 * n slots. */
static bool table_size(size_t n, size_t *size) {
    size_t twice;
    if (!qn_checked_mul(n, 2, &twice) || twice > SIZE_MAX / 4) return false;
    *size = 16;
    while (*size < twice) *size *= 2;
    return true;
}

static uint64_t text_hash(uint64_t secret, const char *text, size_t size) {
    uint64_t h = secret ^ size;
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t block;
        memcpy(&block, text + i, 8);
        h = qn_map_mix((h ^ block) * secret);
    }
    uint64_t tail = 0;
    memcpy(&tail, text + i, size - i);
    return qn_map_mix((h ^ tail) * secret);
}

enum qn_status qn_token_map_init(struct qn_token_map *map, const struct qn_text *tokens, size_t n,
                                 uint64_t secret, struct qn_error *err) {
    size_t size, bytes;
    *map = (struct qn_token_map){.secret = secret, .tokens = tokens};
    if (!table_size(n, &size) || !qn_checked_mul(size, sizeof *map->slots, &bytes) ||
        (map->slots = malloc(bytes)) == NULL) {
        return qn_fail(err, QN_NO_MEMORY, "no memory for a map of %zu tokens", n);
    }
    map->mask = size - 1;
    for (size_t i = 0; i < size; i++) map->slots[i] = (struct qn_token_slot){0, -1};
    for (size_t id = 0; id < n; id++) {
        const uint64_t hash = text_hash(secret, tokens[id].data, tokens[id].size);
        size_t i = hash & map->mask;
        while (map->slots[i].id >= 0) {
            const struct qn_text *other = &tokens[map->slots[i].id];
            if (map->slots[i].hash == (uint32_t)(hash >> 32) && other->size == tokens[id].size &&
                memcmp(other->data, tokens[id].data, other->size) == 0) {
                break;
            }
            i = (i + 1) & map->mask;
        }
        map->slots[i] = (struct qn_token_slot){(uint32_t)(hash >> 32), (int32_t)id};
    }
    return QN_OK;
}

void qn_token_map_free(struct qn_token_map *map) {
    free(map->slots);
    map->slots = NULL;
}

int32_t qn_token_map_find(const struct qn_token_map *map, const char *text, size_t size) {
    const uint64_t hash = text_hash(map->secret, text, size);
    for (size_t i = hash & map->mask; map->slots[i].id >= 0; i = (i + 1) & map->mask) {
        if (map->slots[i].hash != (uint32_t)(hash >> 32)) continue;
        const struct qn_text *token = &map->tokens[map->slots[i].id];
        if (token->size == size && memcmp(token->data, text, size) == 0) return map->slots[i].id;
    }
    return -1;
}

enum qn_status qn_pair_map_init(struct qn_pair_map *map, size_t n_expected, uint64_t secret,
                                struct qn_error *err) {
    size_t size, bytes;
    *map = (struct qn_pair_map){.secret = secret};
    if (!table_size(n_expected, &size) || !qn_checked_mul(size, sizeof *map->slots, &bytes) ||
        (map->slots = malloc(bytes)) == NULL) {
        return qn_fail(err, QN_NO_MEMORY, "no memory for a map of %zu merges", n_expected);
    }
    map->mask = size - 1;
    memset(map->slots, 0xFF, bytes); /* left = UINT32_MAX: free */
    return QN_OK;
}

void qn_pair_map_free(struct qn_pair_map *map) {
    free(map->slots);
    map->slots = NULL;
}

static void pair_map_put(struct qn_pair_map *map, const struct qn_merge *merge) {
    size_t i = qn_map_mix(((uint64_t)merge->left << 32 | merge->right) * map->secret) & map->mask;
    while (map->slots[i].left != UINT32_MAX) {
        if (map->slots[i].left == merge->left && map->slots[i].right == merge->right) return;
        i = (i + 1) & map->mask;
    }
    map->slots[i] = *merge;
    map->n++;
}

enum qn_status qn_pair_map_add(struct qn_pair_map *map, const struct qn_merge *merge,
                               struct qn_error *err) {
    if (2 * (map->n + 1) > map->mask + 1) {
        struct qn_pair_map larger;
        QN_TRY(qn_pair_map_init(&larger, 2 * (map->n + 1), map->secret, err));
        for (size_t i = 0; i <= map->mask; i++) {
            if (map->slots[i].left != UINT32_MAX) pair_map_put(&larger, &map->slots[i]);
        }
        free(map->slots);
        *map = larger;
    }
    pair_map_put(map, merge);
    return QN_OK;
}
