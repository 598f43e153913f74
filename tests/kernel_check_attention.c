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

static double k_at(enum qn_kv kv, const char *block, int d, int slot, int i) {
    const char *const tile = block + (size_t)(slot / 16) * (qn_kv_k_block_size(kv, d) / 4);
    const size_t at = (size_t)(i * 16 + slot % 16), scale = (size_t)(i / 32 * 16 + slot % 16);
    if (kv == QN_KV_F16) return half_at(tile, at);
    if (kv == QN_KV_F32) return float_at(tile, at);
    return ((const int8_t *)tile)[at] * half_at(tile + d * 16, scale);
}

static double v_at(enum qn_kv kv, const char *block, int d, int slot, int i) {
    const int padded = (d + 15) / 16 * 16;
    const size_t at = (size_t)(slot * padded + i), scale = (size_t)(slot * (d / 32) + i / 32);
    if (kv == QN_KV_F16) return half_at(block, at);
    if (kv == QN_KV_F32) return float_at(block, at);
    return ((const int8_t *)block)[at] * half_at(block + 64 * padded, scale);
}

/* ---- kv_store ---- */

/* How far a cached value may lie from x, in a block of 32 with largest magnitude amax. Half: half
 * a unit of 11 bits, or of the smallest subnormal. Q8_0: half a step of amax / 127, plus 127 times
 * the same error of the scale; two more roundings of u. */
static double store_error(enum qn_kv kv, double x, double amax) {
    if (kv == QN_KV_F32) return 0;
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
    const double limit = kv == QN_KV_F16 ? 65504.0 : kv == QN_KV_Q8_0 ? 127 * 65504.0 : INFINITY;
    struct qn_worst worst = {0};
    for (int i = 0; i < d; i++) {
        const double amax = kv == QN_KV_Q8_0 ? largest(x, i / 32 * 32) : 0;
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
    const size_t size = kv == QN_KV_F16 ? 2 : 4, padded = (size_t)((d + 15) / 16 * 16);
    for (size_t s = 0; s < QN_KV_BLOCK && kv != QN_KV_Q8_0; s++)
        memset(block + (s * padded + (size_t)d) * size, 0, (padded - (size_t)d) * size);
}

static const int kv_sizes[] = {1, 4, 8, 20, 24, 32, 40, 64, 80, 96, 100, 128, 160, 256};
enum { KV_SIZES = sizeof kv_sizes / sizeof *kv_sizes, D_MAX = 256 };

static bool has_size(enum qn_kv kv, int d) {
    return kv != QN_KV_Q8_0 || d % 32 == 0;
}

void check_kv_store(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct qn_guarded k_buffer, v_buffer, key, value;
    const enum qn_kv kv = (enum qn_kv)kernels[0]->variant;
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

enum { T_MAX = 330, BLOCKS_MAX = (T_MAX + QN_KV_BLOCK - 1) / QN_KV_BLOCK, M_MAX = 70 };

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
 * soft cap never widens it, because tanh' <= 1, and adds 4 u: quotient and product u, tanh 2 u. */
static double score(const struct scene *s, const float *q, int p, double *error) {
    const struct qn_attention *const a = &s->a;
    const char *const block = a->k + (size_t)a->blocks[p / QN_KV_BLOCK] * a->k_stride;
    double sum = 0, magnitudes = 0;
    for (int i = 0; i < a->d; i++) {
        const double term = (double)q[i] * k_at(s->k_type, block, a->d, p % QN_KV_BLOCK, i);
        sum += term;
        magnitudes += fabs(term);
    }
    const double scaled = sum * (double)a->scale, cap = (double)a->softcap;
    *error = (a->d + 4) * QN_U * magnitudes * (double)a->scale;
    if (cap == 0) return scaled;
    const double capped = cap * tanh(scaled / cap);
    *error += 4 * QN_U * fabs(capped);
    return capped;
}

/* One head's expectation and bounds. A weight exp(s - max) is off by the score's error, by u of
 * the difference, by 4 u of the exponential; and by as much again in each rescaling of the online
 * softmax, where the differences add up to the range of the scores at the most. A sum over the
 * visible positions adds u each, in the numerator and the denominator; the error of both reaches
 * the quotient as the weighted mean of |v| + |out|. Weights below the normal numbers may vanish. */
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
    const double shared = (count + 6 * (count / QN_KV_BLOCK + 2) + (max - min)) * QN_U;
    for (int p = first; p <= last; p++) {
        const char *const block = a->v + (size_t)a->blocks[p / QN_KV_BLOCK] * a->v_stride;
        error = exp(scores[p] - max) * (errors[p] + (max - scores[p] + 5) * QN_U + shared);
        for (int i = 0; i < a->d; i++)
            bounds[i] += (error / weights + FLT_MIN) *
                         (fabs(v_at(s->v_type, block, a->d, p % QN_KV_BLOCK, i)) + fabs(out[i]));
    }
    for (int i = 0; i < a->d; i++) bounds[i] += QN_U * fabs(out[i]);
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

static void check_scene(struct check *c, const struct check_kernel *const *kernels, int n,
                        struct scene *s, enum qn_input input, uint64_t seed) {
    struct qn_random r = qn_random_open(seed);
    const enum qn_side side = seed & 2 ? QN_SIDE_END : QN_SIDE_START;
    double scores[2 * T_MAX];
    scene_open(s, &c->ref, input, &r, side);
    for (int m = 0; m < s->a.m; m++)
        for (int g = 0; g < s->a.g; g++) expect_head(s, m, g, scores);
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
        check_end(c);
    }
    scene_close(s);
}

void check_attention(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct scene scene;
    static const int some_t[] = {1, 2, 15, 16, 17, 63, 64, 65, 127, 129, 200, 321};
    static const int some_d[] = {64, 32, 80, 128, 96, 24, 100, 256};
    static const int some_g[] = {1, 2, 3, 7, 4, 9};
    static const int some_m[] = {1, 2, 5, 16, 33, 8, 64};
    static const int windows[] = {0, 0, 1, 16, 100};
    static const float caps[] = {0, 0.5f, 0, 50.0f};
    enum { CASES = 180 };
    const enum qn_cache cache = (enum qn_cache)kernels[0]->variant;
    scene.k_type = qn_cache_k(cache);
    scene.v_type = qn_cache_v(cache);
    /* Of mixed types only some: each has all cases beside its own. */
    for (int i = 0; i < CASES; i += c->quick || scene.k_type != scene.v_type ? 7 : 1) {
        scene.t = some_t[i % 12];
        scene.a.d = some_d[(i / 12 + i) % 8];
        scene.a.g = some_g[(i / 5 + i) % 6];
        scene.a.m = some_m[(i / 11 + i) % 7];
        scene.a.window = windows[i % 5];
        scene.a.softcap = caps[(i / 3 + i / 12) % 4];
        scene.a.scale = (float)(1 / sqrt(scene.a.d));
        if (scene.a.g * scene.a.m > 100) scene.a.m = 100 / scene.a.g;
        if (!has_size(scene.k_type, scene.a.d) || !has_size(scene.v_type, scene.a.d))
            scene.a.d = 64;
        check_scene(c, kernels, n, &scene,
                    i < CASES / 2 ? QN_INPUT_RANDOM : (enum qn_input)(i % QN_INPUT_COUNT),
                    (uint64_t)i + 1);
    }
}
