/* SPDX-License-Identifier: Apache-2.0
 *
 * Random numbers: xoshiro256++ of D. Blackman and S. Vigna, "Scrambled Linear Pseudorandom
 * Number Generators", ACM TOMS 47 (2021), its state filled by SplitMix64 (G. Steele, D. Lea,
 * C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014), which maps no seed
 * to the forbidden state of zeros. The same seed gives the same numbers on every machine.
 */
#ifndef QN_RUN_RANDOM_H
#define QN_RUN_RANDOM_H

#include <stdint.h>

struct qn_random {
    uint64_t state[4]; /* not all zero */
};

static inline uint64_t qn_random_rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

static inline void qn_random_seed(struct qn_random *random, uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        seed += 0x9e3779b97f4a7c15u; /* 2^64 / golden ratio, odd: steps through all values */
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        random->state[i] = z ^ z >> 31;
    }
}

/* Uniform over all 64-bit values. */
static inline uint64_t qn_random_next(struct qn_random *random) {
    uint64_t *const s = random->state;
    const uint64_t result = qn_random_rotate(s[0] + s[3], 23) + s[0];
    const uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = qn_random_rotate(s[3], 45);
    return result;
}

/* Uniform in [0, 1): the upper 53 bits, all that a double holds. */
static inline double qn_random_unit(struct qn_random *random) {
    return (double)(qn_random_next(random) >> 11) * 0x1p-53;
}

#endif
