/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of 16-bit integers, weights and activations in blocks of 64 with a scale each. The tiles
 * of weights are multiplied as they lie, two at a time, without a panel. Written once for both
 * vector widths, over lanes_avx2.h or lanes_avx512.h, which is included before, and
 *   QN_I16_NAME(f)   f__<isa>, the name of a kernel
 */
#include <string.h>

#include "kernels/tiles/matmul_forms.h"

enum {
    I16_PAIRS = QN_I16_BLOCK / 2,
    I16_UNIT = (I16_PAIRS + 1) * QN_VEC, /* the pairs, then the scales: a vector of floats */
    /* Rows of a register tile at the most: sums of integers and of floats in registers. */
    I16_M = 6,
    I16_STREAMS = 4,
    /* Pairs that a round of the loop adds. With VPMADDWD gcc copies every sum once a round, which
     * is a quarter of the instructions of a round of one (bench/NOTES.md). */
    I16_STEPS = QN_R == 8 && !QN_HAVE_DOT ? 4 : 1
};

/* Adds a pair of k to the integer dots of mr rows from x on, x_ld bytes apart, by nt tiles of
 * weights, w_ld bytes apart. ask: for what lies ahead; next: fetches as many tiles behind them
 * meanwhile. */
QN_INLINE void i16_step(const int8_t *x, size_t x_ld, const uint8_t *w, size_t w_ld, const int mr,
                        const int nt, const bool ask, const bool next,
                        lanes_i (*dot)[I16_STREAMS]) {
    lanes_i wt[I16_STREAMS];
    load_streams(w, w_ld, nt, ask, next, wt);
    QN_UNROLL for (int i = 0; i < mr; i++) {
        const lanes_i xi = i_here(broadcast_group(x + (size_t)i * x_ld));
        QN_UNROLL for (int t = 0; t < nt; t++) dot[i][t] =
            i_here(i_add_dot16(dot[i][t], wt[t], xi));
    }
}

/* The dots of a block. */
QN_INLINE void i16_block(const int8_t *x, size_t x_ld, const uint8_t *w, size_t w_ld, const int mr,
                         const int nt, const bool ask, const bool next,
                         lanes_i (*dot)[I16_STREAMS]) {
    QN_UNROLL for (int i = 0; i < mr; i++) QN_UNROLL for (int t = 0; t < nt; t++) dot[i][t] =
        i_zero();
    for (int pair = 0; pair < I16_PAIRS; pair += I16_STEPS)
        QN_UNROLL for (int step = 0; step < I16_STEPS; step++, w += QN_VEC, x += 4)
            i16_step(x, x_ld, w, w_ld, mr, nt, ask, next, dot);
}

/* Rows [m, m + mr) of activations by nt tiles of weights from output n on. */
QN_INLINE void i16_tiles(const struct qn_matmul *a, int m, int n, const int mr, const int nt,
                         const bool ask, const bool next) {
    const size_t tile_size = qn_pack_form_tile_size(QN_PACK_I16, QN_R, a->k);
    const int8_t *x = (const int8_t *)a->x + (size_t)m * a->x_ld;
    const uint8_t *w = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
    const char *scale = (const char *)qn_i16_scales(x, a->k);
    lanes_f y[I16_M][I16_STREAMS];
    QN_UNROLL for (int i = 0; i < mr; i++) QN_UNROLL for (int t = 0; t < nt; t++) y[i][t] =
        f_zero();
    for (int b = qn_i16_blocks(a->k); b > 0; b--) {
        lanes_i dot[I16_M][I16_STREAMS];
        i16_block(x, a->x_ld, w, tile_size, mr, nt, ask, next, dot);
        QN_UNROLL for (int t = 0; t < nt; t++) {
            const lanes_f d = f_load(
                (const float *)(const void *)(w + (size_t)t * tile_size + I16_PAIRS * QN_VEC));
            QN_UNROLL for (int i = 0; i < mr; i++) {
                float by;
                memcpy(&by, scale + (size_t)i * a->x_ld, sizeof by);
                y[i][t] = f_fma(f_from_i(dot[i][t]), f_mul(d, f_set1(by)), y[i][t]);
            }
        }
        x += QN_I16_BLOCK * 2;
        w += I16_UNIT;
        scale += sizeof(float);
    }
    finish_tiles(a, m, n, y[0], I16_STREAMS, mr, nt);
}

#define I16_KERNEL(name, mr, nt, ask, next)                                                        \
    static void i16_##name(const struct qn_matmul *a, int m, int n) {                              \
        i16_tiles(a, m, n, mr, nt, ask, next);                                                     \
    }
#define I16_KERNELS(mr)                                                                            \
    I16_KERNEL(mr##x1, mr, 1, false, false) I16_KERNEL(mr##x2, mr, 2, false, false)

I16_KERNEL(1x4, 1, 4, false, false)
I16_KERNEL(1x4_ask, 1, 4, true, false)
I16_KERNELS(1)
I16_KERNELS(2)
I16_KERNEL(2x2_ask, 2, 2, true, false)
I16_KERNELS(3)
I16_KERNEL(3x2_ask, 3, 2, true, false)
I16_KERNELS(4)
I16_KERNEL(4x2_ask, 4, 2, true, false)
I16_KERNELS(6)
I16_KERNEL(6x2_next, 6, 2, false, true)

/* The first rows of a pass ask ahead or, where they take long enough, fetch the next weights. */
static const struct qn_register_tile i16_register_tiles[] = {{6, i16_6x1, i16_6x2, i16_6x2_next},
                                                             {4, i16_4x1, i16_4x2, i16_4x2_ask},
                                                             {3, i16_3x1, i16_3x2, i16_3x2_ask},
                                                             {2, i16_2x1, i16_2x2, i16_2x2_ask},
                                                             {1, i16_1x1, i16_1x2, i16_1x2}};

void QN_I16_NAME(qn_matvec_i16)(const struct qn_matmul *a) {
    check_matmul(a);
    int n = a->n0;
    for (; a->n1 - n > 3 * QN_R; n += 4 * QN_R) (a->amd ? i16_1x4 : i16_1x4_ask)(a, 0, n);
    for (; n < a->n1; n += QN_R) i16_1x1(a, 0, n);
}

void QN_I16_NAME(qn_matmul_i16)(const struct qn_matmul *a) {
    check_matmul(a);
    register_tiles(a, i16_register_tiles);
}
