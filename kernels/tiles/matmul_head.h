/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of rows of 16-bit integers (I16) with quantized heads, which have forms of their own for
 * it (Q8_I16, Q6_I16): weights become 16-bit numbers in registers, pairs of k side by side, of
 * which one instruction multiplies and adds two. Written once for both vector widths without VNNI,
 * over lanes_avx2.h or lanes_avx512.h, which is included before, and
 *   QN_HEAD_NAME(f)   f__<isa>, the name of a kernel
 */
#include <string.h>

#include "kernels/tiles/matmul_forms.h"

enum { HEAD_M = 6 /* rows of a register tile at the most */ };

/* What a register tile fetches into L2 meanwhile: from `at` on so many lines for each block of
 * activations. */
struct head_ahead {
    const uint8_t *at;
    int lines;
};

/* A run: the pairs of k that are unpacked by the same numbers; of Q8_I16, which needs none, as many
 * as a round of the loop adds. */
QN_INLINE int head_run_pairs(const enum qn_pack form) {
    return form == QN_PACK_Q6_I16 ? 8 : 4;
}

/* Where its bytes are, or its low nibbles; of Q6_I16 the other two bits, the scales, and 32 times
 * these, all as [R][2] 16-bit numbers. */
struct head_run {
    const uint8_t *low;
    lanes_i high, scale, bias;
};

/* Run r of a unit. */
QN_INLINE struct head_run head_run(const enum qn_pack form, const uint8_t *unit, int r) {
    if (form == QN_PACK_Q8_I16) return (struct head_run){.low = unit + r * 4 * (QN_VEC / 2)};
    const lanes_i scale = i_load_s8(unit + (192 + r) * QN_R);
    const lanes_i both = i_or(i_and(scale, i_set1(0xffff)), i_shl32(scale, 16));
    return (struct head_run){.low = unit + r * 2 * QN_VEC,
                             .high = i_load(unit + 128 * QN_R + r * QN_VEC),
                             .scale = both,
                             .bias = i_shift16(both, -5)};
}

/* Pair p of k of a run. Of Q6_I16 with its scale, |sc (q - 32)| <= 4096, so that with I16's norms a
 * dot of 64 fits 32 bits: 8 * 4096 * 46204 < 2^31. */
QN_INLINE lanes_i head_pair(const enum qn_pack form, const struct head_run *run, const int p) {
    if (form == QN_PACK_Q8_I16) return i_load_words(run->low + p * (QN_VEC / 2));
    const lanes_i nibbles = i_load(run->low + p / 4 * QN_VEC);
    const lanes_i low = i_and(i_shift16(nibbles, p % 4 * 4), i_set1(0x000f000f));
    const lanes_i q = i_insert(low, i_shift16(run->high, p * 2 - 4), i_set1(0x00300030));
    return i_here(i_sub16(i_mul16(q, run->scale), run->bias));
}

/* The dots of n_runs runs, from run `first` of a unit on, with mr rows from x on. */
QN_INLINE void head_dots(const enum qn_pack form, const uint8_t *unit, int first, const int n_runs,
                         const int8_t *x, size_t x_ld, const int mr, lanes_i dot[HEAD_M]) {
    const int n_pairs = head_run_pairs(form);
    QN_UNROLL for (int i = 0; i < mr; i++) dot[i] = i_zero();
    for (int r = 0; r < n_runs; r++, x += 4 * n_pairs) {
        const struct head_run run = head_run(form, unit, first + r);
        QN_UNROLL for (int p = 0; p < n_pairs; p++) {
            const lanes_i w = head_pair(form, &run, p);
            QN_UNROLL for (int i = 0; i < mr; i++) {
                const lanes_i xi = i_here(broadcast_group(x + 4 * p + (size_t)i * x_ld));
                dot[i] = i_here(i_add_dot16(dot[i], w, xi));
            }
        }
    }
}

/* Adds block b of activations of a unit, 64 k, to y [mr]: one dot, or two of 32 k where weights
 * have a scale for each. by: the scales of activations. */
QN_INLINE void head_block(const enum qn_pack form, const uint8_t *unit, int b, const int8_t *x,
                          size_t x_ld, const char *by, const int mr, lanes_f y[HEAD_M]) {
    const int n_dots = form == QN_PACK_Q8_I16 ? 2 : 1, dot_pairs = QN_I16_BLOCK / 2 / n_dots;
    const int n_runs = dot_pairs / head_run_pairs(form);
    const uint8_t *const d = unit + (form == QN_PACK_Q8_I16 ? 64 : 208) * QN_R;
    QN_UNROLL for (int i = 0; i < n_dots; i++) {
        lanes_i dot[HEAD_M];
        head_dots(form, unit, (b * n_dots + i) * n_runs, n_runs, x + i * dot_pairs * 4, x_ld, mr,
                  dot);
        const lanes_f of_weights = f_load_half(d + i * 2 * QN_R);
        QN_UNROLL for (int m = 0; m < mr; m++) {
            float scale;
            memcpy(&scale, by + (size_t)m * x_ld, sizeof scale);
            y[m] = f_fma(f_from_i(dot[m]), f_mul(of_weights, f_set1(scale)), y[m]);
        }
    }
}

/* Rows [m, m + mr) of activations by the tile of weights from output n on. */
QN_INLINE void head_tile(const enum qn_pack form, const struct qn_matmul *a, int m, int n,
                         const int mr, struct head_ahead ahead) {
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const uint8_t *unit = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
    const int8_t *x = (const int8_t *)a->x + (size_t)m * a->x_ld;
    const char *by = (const char *)qn_i16_scales(x, a->k);
    const int unit_k = qn_pack_unit_k(form);
    lanes_f y[HEAD_M];
    QN_UNROLL for (int i = 0; i < mr; i++) y[i] = f_zero();
    for (int k = 0; k < a->k; k += unit_k, unit += qn_pack_unit_bytes(form) * QN_R)
        for (int b = 0; b < unit_k / QN_I16_BLOCK; b++) {
            for (int line = 0; line < ahead.lines; line++, ahead.at += 64)
                __builtin_prefetch(ahead.at, 0, 2);
            head_block(form, unit, b, x, a->x_ld, by, mr, y);
            x += QN_I16_BLOCK * 2;
            by += sizeof(float);
        }
    finish_tiles(a, m, n, y, 1, mr, 1);
}

typedef void head_tile_fn(const struct qn_matmul *a, int m, int n, struct head_ahead ahead);

/* All rows in even strips, by all outputs. The strips fetch the next tile in equal parts: all of it
 * by the first would be more than comes from memory in its time. */
QN_INLINE void head_pass(const enum qn_pack form, const struct qn_matmul *a,
                         head_tile_fn *const tiles[HEAD_M]) {
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const int n_strips = (a->m + HEAD_M - 1) / HEAD_M, blocks = qn_i16_blocks(a->k);
    const int n_blocks = n_strips * blocks;
    const int lines = ((int)(tile_size / 64) + n_blocks - 1) / n_blocks;
    for (int n = a->n0; n < a->n1; n += QN_R) {
        const uint8_t *const next = (const uint8_t *)a->w + (size_t)(n / QN_R + 1) * tile_size;
        for (int i = 0; i < n_strips; i++) {
            const int m = a->m * i / n_strips, end = a->m * (i + 1) / n_strips;
            const struct head_ahead ahead = {next + (size_t)i * (size_t)(blocks * lines) * 64,
                                             a->n1 - n > QN_R ? lines : 0};
            tiles[end - m - 1](a, m, n, ahead);
        }
    }
}

/* In passes of as many rows as stay in L2. */
QN_INLINE void head_matmul(const enum qn_pack form, const struct qn_matmul *a,
                           head_tile_fn *const tiles[HEAD_M]) {
    check_matmul(a);
    for (int m = 0; m < a->m; m += QN_BF16_M) {
        const struct qn_matmul pass = some_rows(a, m, QN_BF16_M);
        head_pass(form, &pass, tiles);
    }
}

#define HEAD_TILE(name, form, mr)                                                                  \
    static void head_##name##_##mr(const struct qn_matmul *a, int m, int n,                        \
                                   struct head_ahead ahead) {                                      \
        head_tile(form, a, m, n, mr, ahead);                                                       \
    }
#define HEAD_KERNELS(name, form)                                                                   \
    HEAD_TILE(name, form, 1)                                                                       \
    HEAD_TILE(name, form, 2)                                                                       \
    HEAD_TILE(name, form, 3)                                                                       \
    HEAD_TILE(name, form, 4)                                                                       \
    HEAD_TILE(name, form, 5)                                                                       \
    HEAD_TILE(name, form, 6)                                                                       \
    static head_tile_fn *const head_##name##_tiles[HEAD_M] = {head_##name##_1, head_##name##_2,    \
                                                              head_##name##_3, head_##name##_4,    \
                                                              head_##name##_5, head_##name##_6};   \
    void QN_HEAD_NAME(qn_matmul_##name)(const struct qn_matmul *a) {                               \
        head_matmul(form, a, head_##name##_tiles);                                                 \
    }                                                                                              \
    void QN_HEAD_NAME(qn_matvec_##name)(const struct qn_matmul *a) {                               \
        head_matmul(form, a, head_##name##_tiles);                                                 \
    }

HEAD_KERNELS(q8_i16, QN_PACK_Q8_I16)
HEAD_KERNELS(q6_i16, QN_PACK_Q6_I16)
