/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of the KV cache and of attention. Elements of the cache are found by formulas of this
 * file, written from the layout in kernels.h.
 */
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_check.h"
#include "kernels/half.h"

/* ---- reading the cache ---- */

static double half_at(const char *halves, size_t i) {
    uint16_t half;
    memcpy(&half, halves + 2 * i, sizeof half);
    return (double)qn_half_to_float(half);
}

static double float_at(const char *floats, size_t i) {
    float x;
    memcpy(&x, floats + 4 * i, sizeof x);
    return (double)x;
}

static int int16_at(const char *integers, size_t i) {
    int16_t x;
    memcpy(&x, integers + 2 * i, sizeof x);
    return x;
}

static double v_scale(const char *block, int padded, int slot) {
    return float_at(block + 64 * padded * 2, (size_t)slot);
}

static double k_at(enum qn_kv kv, const char *block, int d, int slot, int i) {
    const char *const tile = block + (size_t)(slot / 16) * (qn_kv_k_block_size(kv, d) / 4);
    const size_t at = (size_t)(i * 16 + slot % 16), scale = (size_t)(i / 32 * 16 + slot % 16);
    if (kv == QN_KV_F16) return half_at(tile, at);
    if (kv == QN_KV_F32) return float_at(tile, at);
    if (kv == QN_KV_I16)
        return int16_at(tile, (size_t)((i / 2 * 16 + slot % 16) * 2 + i % 2)) *
               float_at(tile + d * 16 * 2, (size_t)(slot % 16));
    return ((const int8_t *)tile)[at] * half_at(tile + d * 16, scale);
}

static double v_at(enum qn_kv kv, const char *block, int d, int slot, int i) {
    const int padded = (d + 15) / 16 * 16;
    const size_t at = (size_t)(slot * padded + i), scale = (size_t)(slot * (d / 32) + i / 32);
    if (kv == QN_KV_F16) return half_at(block, at);
    if (kv == QN_KV_F32) return float_at(block, at);
    if (kv == QN_KV_I16)
        return int16_at(block, (size_t)((slot / 2 * padded + i) * 2 + slot % 2)) *
               v_scale(block, padded, slot);
    return ((const int8_t *)block)[at] * half_at(block + 64 * padded, scale);
}

/* ---- kv_store ---- */

/* The largest step of the integers that a row of K, a query or a row of V becomes (round_kv.h), in
 * which numbers count as 2^80 at the most: of K the norm is below 46300, less what 8 bits may hide
 * of it, and integers below 128 * 255. */
static double i16_step(const float *x, int d, bool is_k) {
    double amax = 0, squares = 0;
    for (int i = 0; i < d; i++) {
        const double magnitude = fabs((double)x[i]) < 0x1p80 ? fabs((double)x[i]) : 0x1p80;
        if (magnitude > amax) amax = magnitude;
        squares += magnitude * magnitude;
    }
    if (!is_k) return amax / 8191;
    return fmax((sqrt(squares) + 16 * amax / 255) / 46300, amax / (128 * 255));
}

/* How far a cached value may lie from x, in a block of 32 with largest magnitude amax. Half: half
 * a unit of 11 bits, or of the smallest subnormal. Q8_0: half a step of amax / 127, plus 127 times
 * the same error of the scale; two more roundings of u. I16, where amax is the row's step: half of
 * one, and the roundings of a number and of its factor, up to 2^15 steps by 2 u; a row below 2^-80
 * is none. */
static double store_error(enum qn_kv kv, double x, double amax) {
    if (kv == QN_KV_F32) return 0;
    if (kv == QN_KV_I16) return amax * (0.5 + 0x1p16 * QN_U) + 3 * QN_U * fabs(x) + 0x1p-80;
    if (kv == QN_KV_F16) return fmax(fabs(x) * 0x1p-11, 0x1p-25);
    return amax / 254 + 127 * fmax(amax / 127 * 0x1p-11, 0x1p-25) + 3 * QN_U * amax;
}

static double largest(const float *x, int from) {
    double amax = 0;
    for (int i = from; i < from + 32; i++)
        if (fabs((double)x[i]) > amax) amax = fabs((double)x[i]);
    return amax;
}

/* What is cached must be what was given, as far as the type can hold it: 65504 and, for Q8_0, 127
 * times that, are the largest magnitudes. */
static void compare_cached(struct check *c, enum qn_kv kv, int d, int slot, const float *x,
                           const char *block, bool is_k) {
    const double limit = kv == QN_KV_F16    ? 65504.0
                         : kv == QN_KV_Q8_0 ? 127 * 65504.0
                         : kv == QN_KV_I16  ? 0x1p80
                                            : INFINITY;
    const double step = kv == QN_KV_I16 ? i16_step(x, d, is_k) : 0;
    struct qn_worst worst = {0};
    for (int i = 0; i < d; i++) {
        const double amax = kv == QN_KV_Q8_0 ? largest(x, i / 32 * 32) : step;
        const double found = is_k ? k_at(kv, block, d, slot, i) : v_at(kv, block, d, slot, i);
        if (amax > limit) continue; /* only the bytes are specified */
        const double wanted = fmin(fmax((double)x[i], -limit), limit);
        qn_compare_one(&worst, (size_t)i, found, wanted, store_error(kv, wanted, amax));
    }
    check_bound(c, &worst);
}

/* Values around the limits of half precision among ordinary ones. */
static void fill_kv(enum qn_input input, struct qn_random *r, float *x, int d) {
    static const float limits[] = {65504.0f, 65519.0f, 65520.0f, 1e9f,
                                   -7e4f,    6e-8f,    2.9e-8f,  -1e-7f};
    qn_input_fill(input, r, x, (size_t)d);
    if (input == QN_INPUT_EXTREME)
        for (int i = 0; i < d; i++) x[i] = limits[qn_random_below(r, 8)];
}

static void fill_bytes(struct qn_random *r, char *dst, size_t size) {
    for (size_t i = 0; i < size; i++) dst[i] = (char)qn_random_bits(r);
}

static void clear_v_padding(enum qn_kv kv, int d, char *block) {
    const bool pairs = kv == QN_KV_I16;
    const size_t size = kv == QN_KV_F16 ? 2 : 4, padded = (size_t)((d + 15) / 16 * 16);
    for (size_t s = 0; s < QN_KV_BLOCK / (pairs ? 2 : 1) && kv != QN_KV_Q8_0; s++)
        memset(block + (s * padded + (size_t)d) * size, 0, (padded - (size_t)d) * size);
}

static const int kv_sizes[] = {1, 4, 8, 20, 24, 32, 40, 64, 80, 96, 100, 128, 160, 256};
enum { KV_SIZES = sizeof kv_sizes / sizeof *kv_sizes, D_MAX = 256 };

static bool has_size(enum qn_kv kv, int d) {
    return (kv != QN_KV_Q8_0 || d % 32 == 0) && (kv != QN_KV_I16 || d % 2 == 0);
}

/* Rows that a broken model might bring: whatever is cached of them must be finite. */
static void check_no_numbers(struct check *c, const struct check_kernel *kernel, int d) {
    static struct qn_guarded k_buffer, v_buffer;
    const float no_numbers[] = {NAN, -NAN, INFINITY, -INFINITY};
    const enum qn_kv kv = (enum qn_kv)kernel->variant;
    if (kv == QN_KV_F32 || !has_size(kv, d)) return;
    struct qn_random r = qn_random_open((uint64_t)d);
    float x[D_MAX];
    qn_input_fill(QN_INPUT_RANDOM, &r, x, (size_t)d);
    for (int i = 0; i < d; i += 1 + qn_random_below(&r, 8))
        x[i] = no_numbers[qn_random_below(&r, 4)];
    char *const k_block = qn_guarded_place(&k_buffer, qn_kv_k_block_size(kv, d), QN_SIDE_END);
    char *const v_block = qn_guarded_place(&v_buffer, qn_kv_v_block_size(kv, d), QN_SIDE_END);
    const int slot = qn_random_below(&r, QN_KV_BLOCK);
    check_begin(c, kernel, QN_INPUT_EXTREME, (uint64_t)d, "d=%d slot=%d, no numbers", d, slot);
    kernel->run.kv_store(x, x, d, slot, k_block, v_block);
    bool finite = true;
    for (int i = 0; i < d; i++)
        finite = finite && isfinite(k_at(kv, k_block, d, slot, i)) &&
                 isfinite(v_at(kv, v_block, d, slot, i));
    check_true(c, finite, "cached something that is not finite");
    check_end(c);
}

void check_kv_store(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct qn_guarded k_buffer, v_buffer, key, value;
    const enum qn_kv kv = (enum qn_kv)kernels[0]->variant;
    for (int i = 0; i < KV_SIZES * n; i++) check_no_numbers(c, kernels[i % n], kv_sizes[i / n]);
    for (int i = 0; i < KV_SIZES * QN_INPUT_COUNT; i += c->quick ? 3 : 1) {
        const int d = kv_sizes[i % KV_SIZES];
        const enum qn_input input = (enum qn_input)(i / KV_SIZES);
        if (!has_size(kv, d)) continue;
        struct qn_random r = qn_random_open((uint64_t)i + 1);
        const enum qn_side side = i & 1 ? QN_SIDE_END : QN_SIDE_START;
        const size_t k_size = qn_kv_k_block_size(kv, d), v_size = qn_kv_v_block_size(kv, d);
        const int slot = qn_random_below(&r, QN_KV_BLOCK);
        float *const k = qn_guarded_place(&key, (size_t)d * sizeof *k, side);
        float *const v = qn_guarded_place(&value, (size_t)d * sizeof *v, side);
        fill_kv(input, &r, k, d);
        fill_kv(input, &r, v, d);
        char *const blocks = malloc(2 * (k_size + v_size));
        char *const old_v = blocks + k_size, *const want = old_v + v_size;
        fill_bytes(&r, blocks, k_size + v_size);
        clear_v_padding(kv, d, old_v);
        memcpy(want, blocks, k_size + v_size);
        c->ref.kv_store[kv](k, v, d, slot, want, want + k_size);
        for (int j = 0; j < n; j++) {
            char *const k_block = qn_guarded_place(&k_buffer, k_size, side);
            char *const v_block = qn_guarded_place(&v_buffer, v_size, side);
            memcpy(k_block, blocks, k_size);
            memcpy(v_block, old_v, v_size);
            check_begin(c, kernels[j], input, (uint64_t)i + 1, "d=%d slot=%d", d, slot);
            kernels[j]->run.kv_store(NULL, NULL, d, slot, k_block, v_block);
            check_true(c,
                       memcmp(k_block, blocks, k_size) == 0 && memcmp(v_block, old_v, v_size) == 0,
                       "stored something where k and v are NULL");
            kernels[j]->run.kv_store(k, NULL, d, slot, k_block, NULL);
            kernels[j]->run.kv_store(NULL, v, d, slot, NULL, v_block);
            compare_cached(c, kv, d, slot, k, k_block, true);
            compare_cached(c, kv, d, slot, v, v_block, false);
            check_true(c, memcmp(k_block, want, k_size) == 0,
                       "the K block's bytes differ from ref's");
            check_true(c, memcmp(v_block, want + k_size, v_size) == 0,
                       "the V block's bytes differ from ref's");
            check_true(c, qn_guarded_intact(&k_buffer) && qn_guarded_intact(&v_buffer),
                       "wrote outside its blocks");
            check_end(c);
        }
        free(blocks);
    }
}

/* ---- attention ---- */

enum { T_MAX = 1700, BLOCKS_MAX = (T_MAX + QN_KV_BLOCK - 1) / QN_KV_BLOCK, M_MAX = 70 };

/* One sequence's cache and the queries that look at it. */
struct scene {
    enum qn_kv k_type, v_type;
    int t; /* positions stored */
    struct qn_attention a;
    int32_t blocks[BLOCKS_MAX], pos[M_MAX];
    struct qn_guarded k, v, q, out;
    double *expected, *bounds; /* [m][g][d] */
};

/* Blocks in any order; those before the first that a token sees must not be touched, so their
 * numbers lead nowhere. */
static void scatter_blocks(struct scene *s, struct qn_random *r, int first_visible) {
    const int n = (s->t + QN_KV_BLOCK - 1) / QN_KV_BLOCK;
    for (int b = 0; b < n; b++) s->blocks[b] = b;
    for (int b = n - 1; b > 0; b--) {
        const int other = qn_random_below(r, b + 1);
        const int32_t block = s->blocks[b];
        s->blocks[b] = s->blocks[other];
        s->blocks[other] = block;
    }
    for (int b = 0; b < first_visible / QN_KV_BLOCK; b++) s->blocks[b] = INT_MAX / 2;
}

/* One position's k and v, into the block. */
static void store(struct scene *s, const struct qn_kernels *ref, const float *k, const float *v,
                  int p, int block) {
    char *const k_block = s->k.data + (size_t)block * s->a.k_stride;
    char *const v_block = s->v.data + (size_t)block * s->a.v_stride;
    ref->kv_store[s->k_type](k, NULL, s->a.d, p % QN_KV_BLOCK, k_block, NULL);
    ref->kv_store[s->v_type](NULL, v, s->a.d, p % QN_KV_BLOCK, NULL, v_block);
}

/* Old contents of a block are finite, and large, so that one that is not masked shows. */
static void fill_stale(struct scene *s, const struct qn_kernels *ref, int n_blocks) {
    float stale[D_MAX];
    for (int i = 0; i < D_MAX; i++) stale[i] = i & 1 ? 6e4f : -6e4f;
    memset(s->k.data, 0, s->k.size);
    memset(s->v.data, 0, s->v.size);
    for (int p = 0; p < n_blocks * QN_KV_BLOCK; p++)
        store(s, ref, stale, stale, p, p / QN_KV_BLOCK);
}

static int first_visible(const struct qn_attention *a, int m) {
    return a->window && a->pos[m] >= a->window ? a->pos[m] - a->window + 1 : 0;
}

static void scene_open(struct scene *s, const struct qn_kernels *ref, enum qn_input input,
                       struct qn_random *r, enum qn_side side) {
    struct qn_attention *const a = &s->a;
    const int n_blocks = (s->t + QN_KV_BLOCK - 1) / QN_KV_BLOCK;
    const size_t row = (size_t)(a->g * a->d);
    int lowest = s->t;
    for (int m = 0; m < a->m; m++) /* the last m positions, or any, in no order */
        s->pos[m] = a->m <= s->t && r->state & 1 ? s->t - a->m + m : qn_random_below(r, s->t);
    a->pos = s->pos;
    a->blocks = s->blocks;
    for (int m = 0; m < a->m; m++)
        if (first_visible(a, m) < lowest) lowest = first_visible(a, m);
    scatter_blocks(s, r, 0);
    a->k_stride = qn_kv_k_block_size(s->k_type, a->d);
    a->v_stride = qn_kv_v_block_size(s->v_type, a->d);
    a->k = qn_guarded_place(&s->k, a->k_stride * (size_t)n_blocks, side);
    a->v = qn_guarded_place(&s->v, a->v_stride * (size_t)n_blocks, side);
    fill_stale(s, ref, n_blocks);
    for (int p = 0; p < s->t; p++) {
        float k[D_MAX], v[D_MAX];
        qn_input_fill(input, r, k, (size_t)a->d);
        qn_input_fill(input, r, v, (size_t)a->d);
        store(s, ref, k, v, p, s->blocks[p / QN_KV_BLOCK]);
    }
    for (int b = 0; b < lowest / QN_KV_BLOCK; b++) s->blocks[b] = INT_MAX / 2;
    a->q_ld = row + (size_t)qn_random_below(r, 2) * 5;
    a->out_ld = row + (size_t)qn_random_below(r, 2) * 3;
    float *const q = qn_guarded_place(&s->q, (((size_t)a->m - 1) * a->q_ld + row) * 4, side);
    for (int m = 0; m < a->m; m++) qn_input_fill(input, r, q + (size_t)m * a->q_ld, row);
    a->q = q;
    s->expected = calloc((size_t)a->m * row, sizeof *s->expected);
    s->bounds = calloc((size_t)a->m * row, sizeof *s->bounds);
    if (!s->expected || !s->bounds) abort();
}

static void scene_close(struct scene *s) {
    free(s->expected);
    free(s->bounds);
}

/* The score of a position, and how far off a float computation may be: d products and sums, off by
 * d u of the sum of magnitudes, a cached Q8_0 value rounded once, two roundings for the scale. The
 * soft cap never widens it, because tanh' <= 1, and adds 4 u: quotient and product u, tanh 2 u.
 * Where K is I16 the query becomes integers, too, off by half a step and a little. */
static double score(const struct scene *s, const float *q, int p, double *error) {
    const struct qn_attention *const a = &s->a;
    const char *const block = a->k + (size_t)a->blocks[p / QN_KV_BLOCK] * a->k_stride;
    double sum = 0, magnitudes = 0, of_k = 0;
    for (int i = 0; i < a->d; i++) {
        const double k = k_at(s->k_type, block, a->d, p % QN_KV_BLOCK, i);
        sum += (double)q[i] * k;
        magnitudes += fabs((double)q[i] * k);
        of_k += fabs(k);
    }
    const double scaled = sum * (double)a->scale, cap = (double)a->softcap;
    *error = (a->d + 4) * QN_U * magnitudes * (double)a->scale;
    if (s->k_type == QN_KV_I16) *error += 0.51 * i16_step(q, a->d, true) * of_k * (double)a->scale;
    if (cap == 0) return scaled;
    const double capped = cap * tanh(scaled / cap);
    *error += 4 * QN_U * fabs(capped);
    return capped;
}

/* One head's expectation and bounds. A weight exp(s - max) is off by the score's error, by u of
 * the difference, by 4 u of the exponential; and by as much again in each rescaling of the online
 * softmax, once a block and once a span, where the differences add up to the range of the scores at
 * the most. A sum over the visible positions adds u each, in the numerator and the denominator; the
 * error of both reaches the quotient as the weighted mean of |v| + |out|. Weights below the normal
 * numbers may vanish. */
static void expect_head(struct scene *s, int m, int g, double *scores) {
    const struct qn_attention *const a = &s->a;
    const float *const q = a->q + (size_t)m * a->q_ld + (size_t)(g * a->d);
    const size_t at = ((size_t)m * (size_t)a->g + (size_t)g) * (size_t)a->d;
    double *const out = s->expected + at, *const bounds = s->bounds + at;
    const int first = first_visible(a, m), last = a->pos[m], count = last - first + 1;
    double max = -INFINITY, min = INFINITY, weights = 0, error, *const errors = scores + T_MAX;
    for (int p = first; p <= last; p++) {
        scores[p] = score(s, q, p, &errors[p]);
        if (scores[p] > max) max = scores[p];
        if (scores[p] < min) min = scores[p];
    }
    for (int p = first; p <= last; p++) {
        const char *const block = a->v + (size_t)a->blocks[p / QN_KV_BLOCK] * a->v_stride;
        const double weight = exp(scores[p] - max);
        weights += weight;
        for (int i = 0; i < a->d; i++)
            out[i] += weight * v_at(s->v_type, block, a->d, p % QN_KV_BLOCK, i);
    }
    for (int i = 0; i < a->d; i++) out[i] /= weights;
    const int rescalings = count / QN_KV_BLOCK + 2 + count / QN_ATTENTION_SPAN + 2;
    const double shared = (count + 6 * rescalings + (max - min)) * QN_U;
    for (int p = first; p <= last; p++) {
        const char *const block = a->v + (size_t)a->blocks[p / QN_KV_BLOCK] * a->v_stride;
        error = exp(scores[p] - max) * (errors[p] + (max - scores[p] + 5) * QN_U + shared);
        for (int i = 0; i < a->d; i++)
            bounds[i] += (error / weights + FLT_MIN) *
                         (fabs(v_at(s->v_type, block, a->d, p % QN_KV_BLOCK, i)) + fabs(out[i]));
    }
    for (int i = 0; i < a->d; i++) bounds[i] += QN_U * fabs(out[i]);
}

/* Where V is I16, a row's weights in a block, times the scales of their positions, are rounded to
 * integers, of which the sum is below 262000 and the largest below 32760: half a step each, times
 * the integers of V; a product more is rounded. */
static void widen_for_weights(struct scene *s, int m, int g, const double *scores) {
    const struct qn_attention *const a = &s->a;
    const int first = first_visible(a, m), last = a->pos[m], padded = (a->d + 15) / 16 * 16;
    double *const bounds = s->bounds + ((size_t)m * (size_t)a->g + (size_t)g) * (size_t)a->d;
    double max = -INFINITY, weights = 0;
    for (int p = first; p <= last; p++) max = fmax(max, scores[p]);
    for (int p = first; p <= last; p++) weights += exp(scores[p] - max);
    for (int b = first / QN_KV_BLOCK; b <= last / QN_KV_BLOCK; b++) {
        const char *const block = a->v + (size_t)a->blocks[b] * a->v_stride;
        const int from = b * QN_KV_BLOCK < first ? first : b * QN_KV_BLOCK;
        const int end = b * QN_KV_BLOCK + 63 < last ? b * QN_KV_BLOCK + 64 : last + 1;
        double sum = 0, largest = 0;
        for (int p = from; p < end; p++) {
            const double w = exp(scores[p] - max) * v_scale(block, padded, p % QN_KV_BLOCK);
            sum += w;
            largest = fmax(largest, w);
        }
        const double step = fmax(sum / 262000, largest / 32760) / weights;
        for (int p = from; p < end; p++) {
            const double scale = v_scale(block, padded, p % QN_KV_BLOCK);
            if (scale == 0) continue; /* so are its numbers */
            const double error = 0.51 * step / scale + 4 * QN_U * exp(scores[p] - max) / weights;
            for (int i = 0; i < a->d; i++)
                bounds[i] += error * fabs(v_at(QN_KV_I16, block, a->d, p % QN_KV_BLOCK, i));
        }
    }
}

static void compare_out(struct check *c, const struct scene *s, const float *out) {
    const size_t row = (size_t)(s->a.g * s->a.d);
    struct qn_worst worst = {0};
    for (size_t i = 0; i < (size_t)s->a.m * row; i++)
        qn_compare_one(&worst, i, (double)out[i / row * s->a.out_ld + i % row], s->expected[i],
                       s->bounds[i]);
    check_bound(c, &worst);
}

/* Every row alone must give the bits that it has in company. */
static void check_alone(struct check *c, const struct check_kernel *kernel, const struct scene *s,
                        const float *out) {
    float alone[D_MAX];
    for (int m = 0; m < s->a.m; m++)
        for (int g = 0; g < s->a.g; g++) {
            struct qn_attention one = s->a;
            one.q += (size_t)m * one.q_ld + (size_t)(g * one.d);
            one.pos += m;
            one.out = alone;
            one.m = one.g = 1;
            kernel->run.attention(&one);
            check_same_bits(c, alone, out + (size_t)m * one.out_ld + (size_t)(g * one.d),
                            (size_t)one.d, "a head alone");
        }
}

/* Spans computed apart, `step` of them a call, and merged must give the bits of all at once. */
static void check_apart(struct check *c, const struct check_kernel *kernel, const struct scene *s,
                        int step, const float *out) {
    static struct qn_guarded parts, merged;
    struct qn_attention a = s->a;
    struct qn_kernels table;
    const int n_rows = a.m * a.g;
    const size_t span_size = (size_t)n_rows * qn_attention_part_size(a.d);
    int first = INT_MAX, end = 0;
    for (int m = 0; m < a.m; m++) {
        const int from = first_visible(&a, m) / QN_ATTENTION_SPAN;
        first = from < first ? from : first;
        end = a.pos[m] / QN_ATTENTION_SPAN >= end ? a.pos[m] / QN_ATTENTION_SPAN + 1 : end;
    }
    char *const records = qn_guarded_place(&parts, (size_t)(end - first) * span_size, QN_SIDE_END);
    a.out = NULL;
    for (int span = first; span < end; span += step) {
        a.parts = (float *)(void *)(records + (size_t)(span - first) * span_size);
        a.first_span = span;
        a.end_span = span + step < end ? span + step : end;
        kernel->run.attention(&a);
    }
    check_true(c, qn_guarded_intact(&parts), "wrote outside its records");
    const size_t size = (size_t)(n_rows * a.d) * sizeof(float);
    float *const found = qn_guarded_place(&merged, size, QN_SIDE_END);
    qn_kernels_select(qn_isa_mask(kernel->isa), &table);
    table.attention_merge[0]((const float *)(const void *)records, end - first, n_rows, a.d, found);
    for (int r = 0; r < n_rows; r++)
        check_same_bits(c, found + r * a.d,
                        out + (size_t)(r / a.g) * a.out_ld + (size_t)(r % a.g * a.d), (size_t)a.d,
                        "spans apart");
}

static void check_scene(struct check *c, const struct check_kernel *const *kernels, int n,
                        struct scene *s, enum qn_input input, uint64_t seed) {
    struct qn_random r = qn_random_open(seed);
    const enum qn_side side = seed & 2 ? QN_SIDE_END : QN_SIDE_START;
    double scores[2 * T_MAX];
    scene_open(s, &c->ref, input, &r, side);
    for (int m = 0; m < s->a.m; m++)
        for (int g = 0; g < s->a.g; g++) {
            expect_head(s, m, g, scores);
            if (s->v_type == QN_KV_I16) widen_for_weights(s, m, g, scores);
        }
    const size_t count = ((size_t)s->a.m - 1) * s->a.out_ld + (size_t)(s->a.g * s->a.d);
    for (int j = 0; j < n; j++) {
        check_begin(c, kernels[j], input, seed, "T=%d d=%d G=%d M=%d window=%d cap=%g", s->t,
                    s->a.d, s->a.g, s->a.m, s->a.window, (double)s->a.softcap);
        s->a.out = qn_guarded_place(&s->out, count * sizeof(float), side);
        memset(s->a.out, 0x5a, count * sizeof(float));
        kernels[j]->run.attention(&s->a);
        compare_out(c, s, s->a.out);
        check_true(c, qn_guarded_intact(&s->out), "wrote outside its output");
        check_alone(c, kernels[j], s, s->a.out);
        for (int step = 1; step <= 4; step++) check_apart(c, kernels[j], s, step, s->a.out);
        check_end(c);
    }
    scene_close(s);
}

static void check_short_scenes(struct check *c, const struct check_kernel *const *kernels, int n,
                               struct scene *scene) {
    static const int some_t[] = {1, 2, 15, 16, 17, 63, 64, 65, 127, 129, 200, 321};
    static const int some_d[] = {64, 32, 80, 128, 96, 24, 100, 256};
    static const int some_g[] = {1, 2, 3, 7, 4, 9};
    static const int some_m[] = {1, 2, 5, 16, 33, 8, 64};
    static const int windows[] = {0, 0, 1, 16, 100};
    static const float caps[] = {0, 0.5f, 0, 50.0f};
    enum { CASES = 180 };
    /* Of mixed types only some: each has all cases beside its own. */
    for (int i = 0; i < CASES; i += c->quick || scene->k_type != scene->v_type ? 7 : 1) {
        scene->t = some_t[i % 12];
        scene->a.d = some_d[(i / 12 + i) % 8];
        scene->a.g = some_g[(i / 5 + i) % 6];
        scene->a.m = some_m[(i / 11 + i) % 7];
        scene->a.window = windows[i % 5];
        scene->a.softcap = caps[(i / 3 + i / 12) % 4];
        scene->a.scale = (float)(1 / sqrt(scene->a.d));
        if (scene->a.g * scene->a.m > 100) scene->a.m = 100 / scene->a.g;
        if (!has_size(scene->k_type, scene->a.d) || !has_size(scene->v_type, scene->a.d))
            scene->a.d = 64;
        check_scene(c, kernels, n, scene,
                    i < CASES / 2 ? QN_INPUT_RANDOM : (enum qn_input)(i % QN_INPUT_COUNT),
                    (uint64_t)i + 1);
    }
}

/* Of several spans, ends just before and behind one; rows that see few of them beside others that
 * see all, in one chunk and in two. */
static void check_long_scenes(struct check *c, const struct check_kernel *const *kernels, int n,
                              struct scene *scene) {
    static const struct {
        int t, d, g, m, window;
        float cap;
    } cases[] = {
        {512, 64, 3, 1, 0, 0},     {513, 64, 3, 1, 0, 0},     {1024, 128, 7, 1, 0, 0},
        {1025, 20, 1, 2, 0, 50},   {1700, 64, 3, 4, 0, 0},    {1100, 24, 2, 20, 0, 0.5f},
        {1600, 100, 1, 5, 0, 0},   {1500, 40, 2, 9, 700, 0},  {1537, 96, 4, 3, 512, 0},
        {1200, 32, 3, 20, 100, 0}, {1300, 20, 2, 4, 1, 0},    {1536, 256, 2, 1, 0, 50},
        {1400, 4, 9, 7, 0, 0},     {1650, 32, 2, 6, 1030, 0}, {1153, 8, 5, 12, 513, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i += c->quick ? 3 : 1) {
        scene->t = cases[i].t;
        scene->a.d = cases[i].d;
        scene->a.g = cases[i].g;
        scene->a.m = cases[i].m;
        scene->a.window = cases[i].window;
        scene->a.softcap = cases[i].cap;
        scene->a.scale = (float)(1 / sqrt(scene->a.d));
        if (!has_size(scene->k_type, scene->a.d) || !has_size(scene->v_type, scene->a.d))
            scene->a.d = 32;
        check_scene(c, kernels, n, scene, (enum qn_input)(i % QN_INPUT_COUNT), 1000 + i);
    }
}

void check_attention(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct scene scene;
    const enum qn_cache cache = (enum qn_cache)kernels[0]->variant;
    scene.k_type = qn_cache_k(cache);
    scene.v_type = qn_cache_v(cache);
    check_short_scenes(c, kernels, n, &scene);
    check_long_scenes(c, kernels, n, &scene);
}

/* ---- attention_merge ---- */

enum { SPANS_MAX = 9, ROWS_MAX = 5 };

/* A record as attention leaves it: of no more than the positions of a span, or of none. */
static void fill_record(struct qn_random *r, int d, bool is_empty, float *record) {
    const int padded = (d + 15) / 16 * 16;
    memset(record, 0, qn_attention_part_size(d));
    record[padded] = is_empty ? -FLT_MAX : 30 * qn_random_float(r);
    if (is_empty) return;
    record[padded + 1] = 1 + (float)qn_random_below(r, QN_ATTENTION_SPAN);
    for (int i = 0; i < d; i++) record[i] = record[padded + 1] * qn_random_float(r);
}

/* One row's expectation and bounds. A factor is off by u of the difference of maxima, which add up
 * to their range at the most, and by 4 u of the exponential; a product and a sum add u each. What
 * vanishes below the normal numbers is small beside the span of the largest score, of weight 1. */
static void expect_merged(const float *records, int n_spans, int n_rows, int d, double *expected,
                          double *bounds) {
    const int padded = (d + 15) / 16 * 16;
    const size_t step = (size_t)n_rows * qn_attention_part_size(d) / sizeof(float);
    double max = -INFINITY, min = INFINITY, weight = 0;
    for (int s = 0; s < n_spans; s++) {
        const double here = (double)records[(size_t)s * step + (size_t)padded];
        max = fmax(max, here);
        if (here > -1e30) min = fmin(min, here);
    }
    for (int i = 0; i < d; i++) expected[i] = bounds[i] = 0;
    for (int s = 0; s < n_spans; s++) {
        const float *const record = records + (size_t)s * step;
        const double factor = exp((double)record[padded] - max);
        weight += factor * (double)record[padded + 1];
        for (int i = 0; i < d; i++) {
            expected[i] += factor * (double)record[i];
            bounds[i] += factor * fabs((double)record[i]);
        }
    }
    const double relative = (7 * n_spans + (max - min) + 4) * QN_U;
    for (int i = 0; i < d; i++) {
        expected[i] /= weight;
        bounds[i] = relative * (bounds[i] / weight + fabs(expected[i])) +
                    n_spans * QN_ATTENTION_SPAN * (double)FLT_MIN;
    }
}

void check_attention_merge(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct qn_guarded input, output;
    double expected[ROWS_MAX * D_MAX], bounds[ROWS_MAX * D_MAX];
    for (int i = 0; i < KV_SIZES * SPANS_MAX; i += c->quick ? 4 : 1) {
        struct qn_random r = qn_random_open((uint64_t)i + 1);
        const int d = kv_sizes[i % KV_SIZES], n_spans = i / KV_SIZES + 1;
        const int n_rows = 1 + qn_random_below(&r, ROWS_MAX), seen = qn_random_below(&r, n_spans);
        const size_t part = qn_attention_part_size(d) / sizeof(float);
        const size_t n_records = (size_t)(n_spans * n_rows);
        float *const records =
            qn_guarded_place(&input, n_records * part * sizeof(float), QN_SIDE_END);
        for (size_t k = 0; k < n_records; k++)
            fill_record(&r, d, (int)k / n_rows != seen && qn_random_below(&r, 4) == 0,
                        records + k * part);
        for (int row = 0; row < n_rows; row++)
            expect_merged(records + (size_t)row * part, n_spans, n_rows, d, expected + row * d,
                          bounds + row * d);
        for (int j = 0; j < n; j++) {
            struct qn_worst worst = {0};
            check_begin(c, kernels[j], QN_INPUT_RANDOM, (uint64_t)i + 1, "d=%d spans=%d rows=%d", d,
                        n_spans, n_rows);
            float *const out =
                qn_guarded_place(&output, (size_t)(n_rows * d) * sizeof(float), QN_SIDE_END);
            kernels[j]->run.attention_merge(records, n_spans, n_rows, d, out);
            for (int k = 0; k < n_rows * d; k++)
                qn_compare_one(&worst, (size_t)k, (double)out[k], expected[k], bounds[k]);
            check_bound(c, &worst);
            check_true(c, qn_guarded_intact(&output), "wrote outside its output");
            check_end(c);
        }
    }
}
