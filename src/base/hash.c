/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <string.h>

static const uint64_t prime1 = 0x9E3779B185EBCA87, prime2 = 0xC2B2AE3D27D4EB4F,
                      prime3 = 0x165667B19E3779F9, prime4 = 0x85EBCA77C2B2AE63,
                      prime5 = 0x27D4EB2F165667C5;

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read as they lie");

static uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static uint64_t load(const unsigned char *p, size_t size) {
    uint64_t word = 0;
    memcpy(&word, p, size);
    return word;
}

static uint64_t mix_lane(uint64_t lane, uint64_t word) {
    return rotate(lane + word * prime2, 31) * prime1;
}

static uint64_t merge_lane(uint64_t hash, uint64_t lane) {
    return (hash ^ mix_lane(0, lane)) * prime1 + prime4;
}

/* Whole stripes of 32 bytes through four lanes; moves *p behind them. */
static uint64_t mix_stripes(const unsigned char **p, size_t n_stripes, uint64_t seed) {
    uint64_t a = seed + prime1 + prime2, b = seed + prime2, c = seed, d = seed - prime1;
    for (size_t i = 0; i < n_stripes; i++, *p += 32) {
        a = mix_lane(a, load(*p, 8));
        b = mix_lane(b, load(*p + 8, 8));
        c = mix_lane(c, load(*p + 16, 8));
        d = mix_lane(d, load(*p + 24, 8));
    }
    uint64_t hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    hash = merge_lane(hash, a);
    hash = merge_lane(hash, b);
    hash = merge_lane(hash, c);
    return merge_lane(hash, d);
}

uint64_t qn_hash(const void *data, size_t size, uint64_t seed) {
    const unsigned char *p = data;
    uint64_t hash = size >= 32 ? mix_stripes(&p, size / 32, seed) : seed + prime5;
    size_t left = size % 32;
    hash += size;
    for (; left >= 8; left -= 8, p += 8)
        hash = rotate(hash ^ mix_lane(0, load(p, 8)), 27) * prime1 + prime4;
    if (left >= 4) {
        hash = rotate(hash ^ load(p, 4) * prime1, 23) * prime2 + prime3;
        p += 4;
        left -= 4;
    }
    for (; left; left--, p++) hash = rotate(hash ^ *p * prime5, 11) * prime1;
    hash = (hash ^ hash >> 33) * prime2;
    hash = (hash ^ hash >> 29) * prime3;
    return hash ^ hash >> 32;
}
