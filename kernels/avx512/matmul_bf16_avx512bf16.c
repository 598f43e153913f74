/* SPDX-License-Identifier: Apache-2.0
 *
 * BF16 matmul by VDPBF16PS; activations come rounded to bf16. Every sum takes its pairs of k in
 * rising order.
 */
#include "kernels/tiles/lanes_avx512.h"

#include "kernels/tiles/matmul_forms.h"

enum { TILE_M = 12 }; /* rows of a register tile by 2 tiles of weights: 24 sums */

/* Rows [m, m + mr) of activations by nt tiles of weights from output n on. `next`: meanwhile
 * fetches as many tiles behind them. */
QN_INLINE void bf16_tiles(const struct qn_matmul *a, int m, int n, const int mr, const int nt,
                          const bool next) {
    const int8_t *x = (const int8_t *)a->x + (size_t)m * a->x_ld;
    const size_t tile_size = qn_pack_form_tile_size(QN_PACK_BF16, QN_R, a->k);
    const uint8_t *w = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
    const bool ask = mr == 1 && !a->amd;
    lanes_f y[TILE_M][4];
    QN_UNROLL for (int i = 0; i < mr; i++) QN_UNROLL for (int t = 0; t < nt; t++) y[i][t] =
        f_zero();
    for (int pairs = (a->k + 15) / 16 * 8; pairs > 0; pairs--, w += QN_VEC, x += 4) {
        lanes_i wt[4];
        load_streams(w, tile_size, nt, ask, next, wt);
        QN_UNROLL for (int i = 0; i < mr; i++) {
            const lanes_i xi = broadcast_group(x + (size_t)i * a->x_ld);
            QN_UNROLL for (int t = 0; t < nt; t++) y[i][t] =
                _mm512_dpbf16_ps(y[i][t], (__m512bh)wt[t], (__m512bh)xi);
        }
    }
    finish_tiles(a, m, n, y[0], 4, mr, nt);
}

#define BF16_KERNEL(name, mr, nt, next)                                                            \
    static void bf16_##name(const struct qn_matmul *a, int m, int n) {                             \
        bf16_tiles(a, m, n, mr, nt, next);                                                         \
    }
#define BF16_KERNELS(mr) BF16_KERNEL(mr##x1, mr, 1, false) BF16_KERNEL(mr##x2, mr, 2, false)

BF16_KERNELS(1)
BF16_KERNEL(1x4, 1, 4, false)
BF16_KERNELS(2)
BF16_KERNELS(3)
BF16_KERNELS(4)
BF16_KERNELS(6)
BF16_KERNELS(8)
BF16_KERNELS(12)
BF16_KERNEL(8x2_next, 8, 2, true)
BF16_KERNEL(12x2_next, 12, 2, true)

/* Fewer rows than 8 leave no time to fetch the next weights in. */
static const struct qn_register_tile tiles[] = {
    {12, bf16_12x1, bf16_12x2, bf16_12x2_next}, {8, bf16_8x1, bf16_8x2, bf16_8x2_next},
    {6, bf16_6x1, bf16_6x2, bf16_6x2},          {4, bf16_4x1, bf16_4x2, bf16_4x2},
    {3, bf16_3x1, bf16_3x2, bf16_3x2},          {2, bf16_2x1, bf16_2x2, bf16_2x2},
    {1, bf16_1x1, bf16_1x2, bf16_1x2}};

void qn_matvec_bf16__avx512bf16(const struct qn_matmul *a) {
    check_matmul(a);
    int n = a->n0;
    for (; a->n1 - n > 3 * QN_R; n += 4 * QN_R) bf16_1x4(a, 0, n);
    for (; n < a->n1; n += QN_R) bf16_1x1(a, 0, n);
}

void qn_matmul_bf16__avx512bf16(const struct qn_matmul *a) {
    check_matmul(a);
    register_tiles(a, tiles);
}
