/* SPDX-License-Identifier: Apache-2.0 */
#include "compare.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/half.h"
#include "kernels/quantize.h"

/* ---- numbers ---- */

struct qn_random qn_random_open(uint64_t seed) {
    return (struct qn_random){seed};
}

/* splitmix64: a Weyl sequence through a finalizer that mixes all bits. */
uint64_t qn_random_bits(struct qn_random *r) {
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int qn_random_below(struct qn_random *r, int n) {
    return (int)((qn_random_bits(r) >> 32) * (uint64_t)n >> 32);
}

float qn_random_float(struct qn_random *r) {
    return (float)((int64_t)(qn_random_bits(r) >> 40) - (1 << 23)) * 0x1p-23f;
}

const char *qn_input_name(enum qn_input input) {
    static const char *const names[QN_INPUT_COUNT] = {"random",  "tiny",   "huge", "equal",
                                                      "extreme", "sparse", "zero"};
    return names[input];
}

void qn_input_fill(enum qn_input input, struct qn_random *r, float *x, size_t n) {
    const float first = qn_random_float(r) + 1.5f;
    for (size_t i = 0; i < n; i++) {
        const float even = qn_random_float(r);
        switch (input) {
        case QN_INPUT_TINY:
            x[i] = even * 1e-30f;
            break;
        case QN_INPUT_HUGE:
            x[i] = even * 1e15f;
            break;
        case QN_INPUT_EQUAL:
            x[i] = first;
            break;
        case QN_INPUT_EXTREME:
            x[i] = i & 1 ? first : -first;
            break;
        case QN_INPUT_SPARSE:
            x[i] = i % 97 == 13 ? even : 0;
            break;
        case QN_INPUT_ZERO:
            x[i] = 0;
            break;
        /* a wide range of magnitudes, as activations of language models have */
        default:
            x[i] = even * (qn_random_bits(r) & 31 ? 1.0f : 30.0f);
            break;
        }
    }
}

static void put_half(uint8_t *at, float x) {
    const uint16_t half = qn_half_from_float(x);
    memcpy(at, &half, sizeof half);
}

/* Scales of either sign, also subnormal halves for TINY and the largest for HUGE. */
static float random_scale(enum qn_input input, struct qn_random *r) {
    const float x = qn_random_float(r);
    if (input == QN_INPUT_TINY) return x * 1e-5f;
    return input == QN_INPUT_HUGE ? x * 6e4f : x;
}

static void fill_floats(enum qn_type type, enum qn_input input, struct qn_random *r, char *dst,
                        size_t k) {
    float *const x = malloc(k * sizeof *x);
    if (!x) abort();
    qn_input_fill(input, r, x, k);
    for (size_t i = 0; i < k; i++) {
        const uint16_t half = qn_half_from_float(x[i]);
        const uint16_t bfloat = (uint16_t)(qn_float_bits(x[i]) >> 16);
        if (type == QN_TYPE_F32) memcpy(dst + i * 4, x + i, 4);
        if (type == QN_TYPE_F16) memcpy(dst + i * 2, &half, 2);
        if (type == QN_TYPE_BF16) memcpy(dst + i * 2, &bfloat, 2);
    }
    if (type == QN_TYPE_I16) qn_quantize_row(type, x, k, dst);
    free(x);
}

void qn_stored_fill(enum qn_type type, enum qn_input input, struct qn_random *r, void *dst,
                    size_t k) {
    if (qn_type_infos[type].scale_at < 0) {
        fill_floats(type, input, r, dst, k);
        return;
    }
    const struct qn_type_info *const info = &qn_type_infos[type];
    const size_t size = (size_t)info->block_size, blocks = k / (size_t)info->block;
    uint8_t *block = dst;
    const bool largest = input == QN_INPUT_EQUAL || input == QN_INPUT_EXTREME;
    for (size_t b = 0; b < blocks; b++, block += size) {
        /* all bits set is the largest unsigned weight, 0x80 the most negative int8 */
        const uint8_t fill = type == QN_TYPE_Q8_0 ? 0x80 : 0xff;
        for (size_t i = 0; i < size; i++) block[i] = largest ? fill : (uint8_t)qn_random_bits(r);
        put_half(block + info->scale_at, random_scale(input, r));
        if (info->min_at >= 0) put_half(block + info->min_at, random_scale(input, r));
    }
}

void qn_stored_clear(enum qn_type type, enum qn_part part, void *stored, size_t k) {
    const struct qn_type_info *const info = &qn_type_infos[type];
    const int place = part == QN_PART_SCALE ? info->scale_at : info->min_at;
    if (place < 0) return;
    const size_t size = (size_t)info->block_size, blocks = k / (size_t)info->block;
    for (size_t b = 0; b < blocks; b++) memset((char *)stored + b * size + place, 0, 2);
}

/* ---- guarded buffers ---- */

enum { PATTERN = 0xa5, PATTERN_BYTES = 512 };

static void reserve(struct qn_guarded *g, size_t size) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (g->map && g->capacity >= size + PATTERN_BYTES) return;
    qn_guarded_close(g);
    g->capacity = (size + PATTERN_BYTES + page - 1) / page * page;
    g->map = mmap(NULL, g->capacity + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g->map == MAP_FAILED || mprotect(g->map + page, g->capacity, PROT_READ | PROT_WRITE)) {
        perror("guarded buffer");
        abort();
    }
}

void *qn_guarded_place(struct qn_guarded *g, size_t size, enum qn_side side) {
    reserve(g, size);
    char *const begin = g->map + sysconf(_SC_PAGESIZE);
    char *const end = begin + g->capacity;
    g->size = size;
    g->data = side == QN_SIDE_END ? end - size : begin;
    memset(side == QN_SIDE_END ? g->data - PATTERN_BYTES : g->data + size, PATTERN, PATTERN_BYTES);
    return g->data;
}

bool qn_guarded_intact(const struct qn_guarded *g) {
    const char *const begin = g->map + sysconf(_SC_PAGESIZE);
    const char *const at = g->data == begin ? g->data + g->size : g->data - PATTERN_BYTES;
    for (size_t i = 0; i < PATTERN_BYTES; i++)
        if ((uint8_t)at[i] != PATTERN) return false;
    return true;
}

void qn_guarded_close(struct qn_guarded *g) {
    if (g->map) munmap(g->map, g->capacity + 2 * (size_t)sysconf(_SC_PAGESIZE));
    *g = (struct qn_guarded){0};
}

/* ---- comparison ---- */

void qn_compare_one(struct qn_worst *worst, size_t index, double found, double expected,
                    double bound) {
    const double distance = fabs(found - expected);
    double ratio = distance == 0 ? 0 : distance / bound;
    if (isnan(ratio)) ratio = INFINITY;
    if (ratio < worst->ratio || (ratio == 0 && worst->ratio == 0 && index > 0)) return;
    *worst = (struct qn_worst){index, found, expected, bound, ratio};
}
