/* SPDX-License-Identifier: Apache-2.0
 *
 * The quantized packed forms (pack.h) as vectors: unpacking a block, its scales and mins, and the
 * exact integer dot of a run of groups. Written once for both vector widths; `form` and the other
 * const arguments are compile-time constants at every use, so each use is straight-line code.
 * Include lanes_avx2.h or lanes_avx512.h before.
 */
#ifndef QN_KERNELS_TILES_MATMUL_FORMS_H
#define QN_KERNELS_TILES_MATMUL_FORMS_H

#include <assert.h>

#include "kernels/inventory.h"
#include "kernels/pack.h"
#include "kernels/tiles/panel_size.h"

enum { QN_VEC = QN_R * 4 }; /* bytes of a vector: one group of R rows */

/* What the arithmetic of a form depends on. Forms with mins are unsigned; the others are shifted
 * by half their range to be so. */
struct qn_form_traits {
    int bits;  /* of a quant: 2 to 6 or 8 */
    int sub;   /* k that share a scale: 32 or 16 */
    bool mins; /* the weight scale comes with a min */
    int shift; /* log2 of the bias that made the quants unsigned, or -1 */
};

/* 8-bit quants are stored signed; VPDPBUSD takes them unsigned, NEON and the sign trick as they
 * are. */
#define QN_SHIFT_8       (QN_HAVE_DPBUSD ? 7 : -1)
#define QN_TRAITS_2_MIN  ((struct qn_form_traits){2, 16, true, -1})
#define QN_TRAITS_3      ((struct qn_form_traits){3, 16, false, 2})
#define QN_TRAITS_4      ((struct qn_form_traits){4, 32, false, 3})
#define QN_TRAITS_4_MIN  ((struct qn_form_traits){4, 32, true, -1})
#define QN_TRAITS_5      ((struct qn_form_traits){5, 32, false, 4})
#define QN_TRAITS_5_MIN  ((struct qn_form_traits){5, 32, true, -1})
#define QN_TRAITS_6      ((struct qn_form_traits){6, 16, false, 5})
#define QN_TRAITS_8      ((struct qn_form_traits){8, 32, false, QN_SHIFT_8})
#define QN_TRAITS_8_HALF ((struct qn_form_traits){8, 16, false, QN_SHIFT_8})

/* k of a panel: as few and as even panels as may be, in whole units. */
QN_INLINE int even_panels(int k, const int unit_k) {
    const int most = QN_PANEL_K / unit_k * unit_k, n = (k + most - 1) / most;
    return ((k + n - 1) / n + unit_k - 1) / unit_k * unit_k;
}

/* ---- quants ----------------------------------------------------------------------------- */

/* Signed bytes as the dots take them. */
QN_INLINE lanes_i lift_bytes(lanes_i w) {
    return QN_HAVE_DPBUSD ? i_xor(w, i_set1_8(128)) : w;
}

/* Group g of block b of a unit: [R][4] bytes, unsigned except for signed 8 bits. */
QN_INLINE lanes_i unpack_group(const enum qn_pack form, const uint8_t *unit, int b, const int g) {
    const uint8_t *const high = unit + qn_pack_unit_k(form) / 2 * QN_R;
    if (form == QN_PACK_Q8_0) return lift_bytes(i_load(unit + (b * 8 + g) * QN_VEC));
    if (form == QN_PACK_Q2_K || form == QN_PACK_Q3_K) {
        const lanes_i pairs = i_load(unit + (b * 2 + g / 4) * QN_VEC);
        const lanes_i low = i_and(i_shift16(pairs, g % 4 * 2), i_set1_8(3));
        if (form == QN_PACK_Q2_K) return low;
        return i_insert(low, i_shift16(i_load(unit + 64 * QN_R + b * QN_VEC), g - 2), i_set1_8(4));
    }
    const lanes_i nibbles = i_load(unit + (b * 4 + g % 4) * QN_VEC);
    const lanes_i low = g < 4 ? i_and(nibbles, i_set1_8(15)) : i_high_nibbles(nibbles);
    if (form == QN_PACK_Q5_0 || form == QN_PACK_Q5_1 || form == QN_PACK_Q5_K)
        return i_insert(low, i_shift16(i_load(high + b * QN_VEC), g - 4), i_set1_8(16));
    if (form == QN_PACK_Q6_K) {
        const lanes_i pairs = i_load(high + (b * 2 + g / 4) * QN_VEC);
        return i_insert(low, i_shift16(pairs, g % 4 * 2 - 4), i_set1_8(48));
    }
    if (form == QN_PACK_IQ4_NL || form == QN_PACK_IQ4_XS)
        return lift_bytes(i_lookup(qn_pack_iq4_values, low));
    return low;
}

QN_INLINE void unpack_block(const enum qn_pack form, const uint8_t *unit, int b, lanes_i w[8]) {
    QN_UNROLL for (int g = 0; g < 8; g++) w[g] = unpack_group(form, unit, b, g);
}

/* ---- scales ----------------------------------------------------------------------------- */

/* Q4_K and Q5_K: p is `low`, followed by `high`, d, dmin (pack.h). */
QN_INLINE void k_scales(const uint8_t *p, float *scale, float *neg_min, size_t stride) {
    _Alignas(64) uint8_t sc[8 * QN_R], mn[8 * QN_R];
    const lanes_i low4 = i_set1_8(15), bits45 = i_set1_8(48);
    const lanes_i high = i_load(p + 2 * QN_VEC);
    QN_UNROLL for (int h = 0; h < 2; h++) {
        const lanes_i low = i_load(p + h * QN_VEC);
        i_store(sc + h * QN_VEC, i_insert(i_and(low, low4), i_shift16(high, h * 4 - 4), bits45));
        i_store(mn + h * QN_VEC, i_insert(i_high_nibbles(low), i_shift16(high, h * 4 - 2), bits45));
    }
    const lanes_f d = f_load_half(p + 3 * QN_VEC);
    const lanes_f neg_dmin = f_neg(f_load_half(p + 3 * QN_VEC + 2 * QN_R));
    QN_UNROLL for (int b = 0; b < 8; b++) {
        f_store(scale + (size_t)b * stride, f_mul(d, f_load_u8(sc + b * QN_R)));
        f_store(neg_min + (size_t)b * stride, f_mul(neg_dmin, f_load_u8(mn + b * QN_R)));
    }
}

/* IQ4_XS: 8 signed scales at p, followed by d. */
QN_INLINE void byte_scales(const uint8_t *p, float *scale, size_t stride) {
    const lanes_f d = f_load_half(p + 8 * QN_R);
    QN_UNROLL for (int s = 0; s < 8; s++)
        f_store(scale + (size_t)s * stride, f_mul(d, f_load_s8(p + s * QN_R)));
}

/* Scales and negated mins of a unit of a form with a scale for each block: scale [unit_k / 32]
 * vectors, `stride` floats apart. Those of half blocks are in matmul_halves.h. */
QN_INLINE void unit_scales(const enum qn_pack form, const uint8_t *unit, float *scale,
                           float *neg_min, size_t stride) {
    if (form == QN_PACK_Q4_K) {
        k_scales(unit + 128 * QN_R, scale, neg_min, stride);
    } else if (form == QN_PACK_Q5_K) {
        k_scales(unit + 160 * QN_R, scale, neg_min, stride);
    } else if (form == QN_PACK_IQ4_XS) {
        byte_scales(unit + 128 * QN_R, scale, stride);
    } else {
        const bool mins = form == QN_PACK_Q4_1 || form == QN_PACK_Q5_1;
        const uint8_t *const d = unit + (qn_pack_unit_bytes(form) - (mins ? 8 : 4)) * QN_R;
        QN_UNROLL for (int b = 0; b < 2; b++) {
            f_store(scale + (size_t)b * stride, f_load_half(d + b * 2 * QN_R));
            if (mins) f_store(neg_min + (size_t)b * stride, f_load_half(d + (b + 2) * 2 * QN_R));
        }
    }
}

/* ---- integer dots ----------------------------------------------------------------------- */

QN_INLINE lanes_i broadcast_group(const int8_t *a) {
    int32_t group;
    __builtin_memcpy(&group, a, sizeof group);
    return i_set1(group);
}

#ifndef QN_HAVE_ELEMENTS
/* Read where they lie, by loads that broadcast. */
typedef const int8_t *act_groups;
typedef const float *act_factors;

QN_INLINE act_groups groups_load(const int8_t *p) {
    return p;
}
#if QN_HAVE_DOT
QN_INLINE lanes_i i_dot_group(lanes_i acc, lanes_i w, act_groups x, int g) {
    return i_dot(acc, w, broadcast_group(x + 4 * g));
}
#endif
QN_INLINE act_factors factors_load(const float *p) {
    return p;
}
QN_INLINE lanes_f factors_scale(lanes_i dot, act_factors act) {
    return f_fma(f_from_bits(dot), f_set1(act[0]), f_set1(act[1]));
}
QN_INLINE lanes_f factors_add_min(lanes_f neg_min, act_factors act, lanes_f y) {
    return f_fma(f_set1(act[2]), neg_min, y);
}
#endif

/* The same block of row m, x_ld bytes a row, and the block n further on. */
QN_INLINE struct qn_act_at act_of_row(struct qn_act_at x, size_t x_ld, int m) {
    return (struct qn_act_at){x.q + (size_t)m * x_ld,
                              (const void *)((const char *)x.block + (size_t)m * x_ld),
                              x.to_halves};
}
QN_INLINE struct qn_act_at act_further(struct qn_act_at x, int n) {
    return (struct qn_act_at){x.q + n * 32, x.block + n, x.to_halves};
}

/* What sums of products are multiplied with on their way into a dot, so that the start of an
 * activation block, which corrects a bias of 128, corrects the form's own. */
QN_INLINE int dot_times(const struct qn_form_traits t) {
    return QN_HAVE_DOT || t.shift < 0 ? 1 : 1 << (7 - t.shift);
}

/* A scale for such a dot: exact, as is what rounds a dot times its activations' scale. */
QN_INLINE lanes_f dot_scale(const struct qn_form_traits t, lanes_f scale) {
    return dot_times(t) == 1 ? scale : f_mul(scale, f_set1(1.0f / (float)dot_times(t)));
}

/* Where the accumulator of a block, or of half h where these have scales of their own, starts, so
 * that the dot comes out as if signed, as the bits of a float around QN_ACT_ZERO. */
QN_INLINE int32_t dot_start(const struct qn_form_traits t, struct qn_act_at x, int h) {
    if (t.shift < 0) return QN_ACT_ZERO_BITS;
    const int32_t start = t.sub == 32 ? x.block->start : qn_act_halves(x)->start[h];
    if (t.shift == 7 || !QN_HAVE_DOT) return start;
    return ((start - QN_ACT_ZERO_BITS) >> (7 - t.shift)) + QN_ACT_ZERO_BITS;
}

/* Groups whose 16-bit sums of pairs of products can be added before they might overflow:
 * 2 * 15 * 127 * 8, 2 * 31 * 127 * 4 and 2 * 63 * 127 * 2 are below 32768. Of 2 and 3 bits 4 groups
 * are a sub-block. */
QN_INLINE int groups_a_flush(const int bits) {
    return bits == 4 ? 8 : bits == 6 ? 2 : 4;
}

#if !QN_HAVE_DOT
/* Adds the products of group g of a block, or of half of one, to *acc, by way of *pairs, which adds
 * up as many groups as fit 16 bits. x: the group of activations. times: what pairs of 16-bit sums
 * are multiplied with; NULL: dot_times(). */
QN_INLINE void add_group(const struct qn_form_traits t, const int g, lanes_i w, lanes_i x,
                         const lanes_i *times, lanes_i *pairs, lanes_i *acc) {
    if (t.bits == 8) {
        *acc = i_dot_s8(*acc, w, x);
        return;
    }
    const int flush = groups_a_flush(t.bits);
    const lanes_i products = i_maddubs(w, x);
    *pairs = g % flush == 0 ? products : i_add16(*pairs, products);
    if (g % flush != flush - 1) return;
    *acc = times ? i_add_times(*acc, *pairs, *times) : i_add_pairs(*acc, *pairs, dot_times(t));
}
#endif

/* acc + the dot of n_groups groups of w with those at a. times: as in add_group(). */
QN_INLINE lanes_i dot_groups(const struct qn_form_traits t, lanes_i acc, const lanes_i *w,
                             const int8_t *a, const int n_groups, const lanes_i *times) {
#if QN_HAVE_DOT
    (void)t, (void)times;
    QN_UNROLL for (int g = 0; g < n_groups; g++) acc =
        i_dot_group(acc, w[g], groups_load(a + g / 4 * 16), g % 4);
#else
    lanes_i pairs = i_zero();
    QN_UNROLL for (int g = 0; g < n_groups; g++)
        add_group(t, g, w[g], broadcast_group(a + 4 * g), times, &pairs, &acc);
#endif
    return acc;
}

/* Adds the dot of a block to y, in the order that kernels.h fixes. dot: a started one. */
QN_INLINE lanes_f add_dot(const struct qn_form_traits t, lanes_i dot,
                          const struct qn_act_block *act, lanes_f scale, lanes_f neg_min,
                          lanes_f y) {
    const act_factors factors = factors_load(&act->scale);
    y = f_fma(factors_scale(dot, factors), scale, y);
    return t.mins ? factors_add_min(neg_min, factors, y) : y;
}
_Static_assert(offsetof(struct qn_act_block, zero) == 4 &&
                   offsetof(struct qn_act_block, scale_sum) == 8,
               "factors are the first floats of a block");

/* How a stream of weights is asked for: so many bytes ahead into L2, whose many open requests cover
 * a read from memory, and from there into L1; 0: not asked for. */
struct qn_reading {
    size_t l1, l2;
};

/* Tiles that a single row reads side by side, each a stream. */
enum { QN_STREAMS_MAX = 4 };
QN_INLINE int streams_of(const enum qn_pack form, size_t tile_size) {
    if (QN_R == 8) return tile_size < 4096 ? 1 : 2;
    return qn_pack_unit_k(form) == 256 ? 2 : 4;
}

/* As measured (bench/NOTES.md) on a Zen 4 (R = 16, amd), a Granite Rapids (R = 16) and a
 * Zen 3 (R = 8, where requests hold up what the processor fetches by itself). Several rows have
 * time to read from L2 themselves, and L1's few requests are needed for that. On a Zen, units whose
 * scales are all read first, though they lie last (Q4_K, Q5_K, IQ4_XS; at R = 8 all K-quants), are
 * asked for nearly a unit ahead or more. */
QN_INLINE struct qn_reading reading_of(const enum qn_pack form, const int rows, const int streams,
                                       bool amd) {
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    if (rows > 1) return (struct qn_reading){0, 8192};
    if (QN_R == 16 && !amd) return (struct qn_reading){1536, 4096};
    if (qn_pack_unit_k(form) == 256 && QN_R == 8) return (struct qn_reading){unit_size + 256, 0};
    if (form == QN_PACK_Q2_K || form == QN_PACK_Q3_K || form == QN_PACK_Q6_K)
        return (struct qn_reading){1792, 7168};
    if (qn_pack_unit_k(form) == 256) return (struct qn_reading){unit_size - 256, 8192};
    if (QN_R == 16) return (struct qn_reading){1024, 4096};
    return streams == 1 ? (struct qn_reading){1024, 0} : (struct qn_reading){512, 1024};
}

/* Bytes from a unit to what to ask for, `ahead` bytes on in its stream, at most a tile. `left`:
 * bytes of the tile behind the unit; what lies farther is in the tile that the stream takes next,
 * `jump` bytes on. Behind its last tile (no next) there is nothing to ask for. */
QN_INLINE size_t ahead_in_stream(size_t ahead, size_t tile_size, size_t left, size_t jump,
                                 bool next) {
    const size_t at = ahead < tile_size ? ahead : tile_size;
    return left >= at ? at : next ? at + jump : 0;
}

/* Asks for what lies `ahead` bytes behind part i of n equal parts of a unit, so that requests come
 * as evenly as the work: a unit's all at once would keep loads waiting. level: 1 or 2. */
QN_INLINE void prefetch_part(const uint8_t *unit, const size_t size, int i, const int n,
                             size_t ahead, const int level) {
    const uint8_t *const part = unit + i * size / n + ahead;
    QN_UNROLL for (size_t line = 0; line < size / n; line += 64) {
        if (level == 1) /* clang wants the locality as a literal */
            __builtin_prefetch(part + line, 0, 3);
        else
            __builtin_prefetch(part + line, 0, 2);
    }
}

static inline void check_matmul(const struct qn_matmul *a) {
    assert(a->m >= 1 && a->k > 0 && a->n0 >= 0 && a->n0 % QN_R == 0 && a->n0 <= a->n1);
    assert((uintptr_t)a->w % 64 == 0 && (uintptr_t)a->x % 64 == 0 && a->x_ld % 64 == 0);
    (void)a;
}

/* The product of rows [m, m + most) at the most. */
QN_INLINE struct qn_matmul some_rows(const struct qn_matmul *a, int m, int most) {
    struct qn_matmul part = *a;
    part.x = (const char *)a->x + (size_t)m * a->x_ld;
    part.y = a->y + (size_t)m * a->y_ld;
    part.m = a->m - m < most ? a->m - m : most;
    return part;
}

/* All rows by all outputs, `step` of these at a time, in even strips of at most `rows`: weights
 * come from memory for the first strip and from the cache for the others. strip: all rows of a by
 * the step from output n on. */
typedef void qn_strip_fn(const struct qn_matmul *a, int n);
QN_INLINE void strips(const struct qn_matmul *a, const int rows, const int step,
                      qn_strip_fn *strip) {
    const int n_strips = (a->m + rows - 1) / rows;
    for (int n = a->n0; n < a->n1; n += step)
        for (int i = 0; i < n_strips; i++) {
            const int m = a->m * i / n_strips;
            const struct qn_matmul part = some_rows(a, m, a->m * (i + 1) / n_strips - m);
            strip(&part, n);
        }
}

/* The vectors at w of nt streams, w_ld bytes apart, into wt[nt]. ask: for what lies ahead in each;
 * next: fetches as many streams behind them. */
QN_INLINE void load_streams(const uint8_t *w, size_t w_ld, const int nt, const bool ask,
                            const bool next, lanes_i *wt) {
    QN_UNROLL for (int t = 0; t < nt; t++) {
        const uint8_t *const stream = w + (size_t)t * w_ld;
        if (ask) __builtin_prefetch(stream + QN_FLOAT_AHEAD_L1, 0, 3);
        if (ask) __builtin_prefetch(stream + QN_FLOAT_AHEAD_L2, 0, 2);
        if (next) __builtin_prefetch(stream + (size_t)nt * w_ld, 0, 2);
        wt[t] = i_load(stream);
    }
}

/* A register tile of m rows by one tile of weights or by two; two_first: for the first rows of a
 * pass, for which weights come from memory. Each takes rows from m on by outputs from n on. */
typedef void qn_register_fn(const struct qn_matmul *a, int m, int n);
struct qn_register_tile {
    int m;
    qn_register_fn *one, *two, *two_first;
};

/* All rows by all outputs, in passes of as many rows as stay in L2, by the largest register tiles
 * there are: from the highest to one of a single row. */
QN_INLINE void register_tiles(const struct qn_matmul *a, const struct qn_register_tile *tiles) {
    for (int m0 = 0; m0 < a->m; m0 += QN_BF16_M) {
        const int rows = a->m - m0 < QN_BF16_M ? a->m - m0 : QN_BF16_M;
        for (int n = a->n0; n < a->n1; n += 2 * QN_R)
            for (int m = 0, t = 0; m < rows; m += tiles[t].m) {
                while (tiles[t].m > rows - m) t++;
                const bool first = m == 0 && a->n1 - n > 3 * QN_R;
                qn_register_fn *const kernel = first              ? tiles[t].two_first
                                               : a->n1 - n > QN_R ? tiles[t].two
                                                                  : tiles[t].one;
                kernel(a, m0 + m, n);
            }
    }
}

/* Outputs [n, n + R) of row m. */
QN_INLINE float *result_tile(const struct qn_matmul *a, int m, int n) {
    return a->y + (size_t)m * a->y_ld + n;
}

/* Bias, old y, and the store of one tile's sums of row m. */
QN_INLINE void finish_tile(const struct qn_matmul *a, int m, int n, lanes_f sum) {
    float *const y = result_tile(a, m, n);
    const int rows = a->n1 - n;
    if (__builtin_expect(rows >= QN_R, 1)) {
        if (a->bias) sum = f_add(sum, f_load(a->bias + n));
        if (a->accumulate) sum = f_add(sum, f_load(y));
        f_store(y, sum);
        return;
    }
    if (a->bias) sum = f_add(sum, f_load_rows(a->bias + n, rows));
    if (a->accumulate) sum = f_add(sum, f_load_rows(y, rows));
    f_store_rows(y, sum, rows);
}

/* The same of mr rows from m on by nt tiles from output n on; sum [mr][ld]. What a product asks for
 * is looked up once for all of them: a look for each is 30 cycles of a register tile's 1000. */
QN_INLINE void finish_tiles(const struct qn_matmul *a, int m, int n, lanes_f *sum, const int ld,
                            const int mr, const int nt) {
    if (__builtin_expect(a->n1 - n < nt * QN_R, 0)) {
        QN_UNROLL for (int i = 0; i < mr; i++) QN_UNROLL for (int t = 0; t < nt; t++)
            finish_tile(a, m + i, n + t * QN_R, sum[i * ld + t]);
        return;
    }
    if (a->bias) {
        QN_UNROLL for (int t = 0; t < nt; t++) {
            const lanes_f bias = f_load(a->bias + n + t * QN_R);
            QN_UNROLL for (int i = 0; i < mr; i++) sum[i * ld + t] = f_add(sum[i * ld + t], bias);
        }
    }
    if (a->accumulate)
        QN_UNROLL for (int i = 0; i < mr; i++) QN_UNROLL for (int t = 0; t < nt; t++)
            sum[i * ld + t] = f_add(sum[i * ld + t], f_load(result_tile(a, m + i, n + t * QN_R)));
    QN_UNROLL for (int i = 0; i < mr; i++) QN_UNROLL for (int t = 0; t < nt; t++)
        f_store(result_tile(a, m + i, n + t * QN_R), sum[i * ld + t]);
}

#endif
