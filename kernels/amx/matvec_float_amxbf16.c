/* SPDX-License-Identifier: Apache-2.0
 *
 * Matvecs of F16 and BF16 weights with the sums of the tile unit (gemm_bf16.h) by ordinary FMAs,
 * lanes being rows of weights: for one row of activations the unit itself is no faster, and halves
 * would have to go through memory on the way to it.
 */
#include "kernels/tiles/lanes_avx512.h"

#include "kernels/amx/split_f16.h"
#include "kernels/tiles/matmul_forms.h"

enum { BLOCK_K = 32, MAX_TILES = 4, FETCH_AHEAD = 2048 };

/* Both parts of the activations as floats, of each 32 k high [32], low [32]. */
static void widen_activations(const struct qn_matmul *a, float *out) {
    const int n = (a->k + BLOCK_K - 1) / BLOCK_K * 2 * BLOCK_K;
    for (int i = 0; i < n; i += 16) {
        const __m256i parts = _mm256_load_si256((const __m256i *)((const uint16_t *)a->x + i));
        f_store(out + i, f_from_bits(i_shl32(_mm512_cvtepu16_epi32(parts), 16)));
    }
}

/* Adds the next 32 k of nt tiles, tile_size bytes apart, and fetches what lies `ahead` bytes
 * behind. x: both parts of the activations. */
QN_INLINE void add_block(const enum qn_pack form, const char *w, size_t tile_size, const float *x,
                         lanes_f *y, const int nt, const int ahead) {
    const int products = form == QN_PACK_F16 ? 4 : 2;
    lanes_f chains[MAX_TILES][4][2]; /* of each pair of parts: even k, odd k */
    QN_UNROLL for (int t = 0; t < nt; t++) QN_UNROLL for (int i = 0; i < products; i++)
        chains[t][i][0] = chains[t][i][1] = f_zero();
    QN_UNROLL for (int k = 0; k < BLOCK_K; k += 2) QN_UNROLL for (int t = 0; t < nt; t++) {
        const char *const p = w + (size_t)t * tile_size + k * 2 * QN_R;
        if (ahead > 0) __builtin_prefetch(p + ahead);
        const struct split_pair s = form == QN_PACK_F16 ? split_f16_pair(p) : split_bf16_pair(p);
        QN_UNROLL for (int i = 0; i < 2; i++) {
            const lanes_f high = f_set1(x[k + i]), low = f_set1(x[BLOCK_K + k + i]);
            lanes_f(*const c)[2] = chains[t];
            c[0][i] = f_fma(low, s.high[i], c[0][i]);
            c[1][i] = f_fma(high, s.high[i], c[1][i]);
            if (products == 2) continue;
            c[2][i] = f_fma(high, s.low[i], c[2][i]);
            c[3][i] = f_fma(low, s.low[i], c[3][i]);
        }
    }
    QN_UNROLL for (int i = 0; i < products; i++) QN_UNROLL for (int t = 0; t < nt; t++) y[t] =
        f_add(y[t], f_add(chains[t][i][0], chains[t][i][1]));
}

/* Sums of nt tiles from w on. Half a block at the end is filled up with zeros. */
QN_INLINE void sum_tiles(const enum qn_pack form, const char *w, int k, const float *x, float *sums,
                         const int nt) {
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, k), block = BLOCK_K * 2 * QN_R;
    const int units = (k + 15) / 16;
    lanes_f y[MAX_TILES];
    QN_UNROLL for (int t = 0; t < nt; t++) y[t] = f_zero();
    for (int b = units / 2; b > 0; b--, w += block, x += 2 * BLOCK_K)
        add_block(form, w, tile_size, x, y, nt, FETCH_AHEAD);
    if (units % 2) {
        _Alignas(64) char last[MAX_TILES][BLOCK_K * 2 * QN_R] = {{0}};
        for (int t = 0; t < nt; t++)
            __builtin_memcpy(last[t], w + (size_t)t * tile_size, block / 2);
        add_block(form, last[0], sizeof last[0], x, y, nt, 0);
    }
    QN_UNROLL for (int t = 0; t < nt; t++) f_store(sums + t * QN_R, y[t]);
}

/* Sums of all tiles of a product, with subnormal numbers as zero: not inlined, so that no operation
 * moves out of where they are. */
typedef void sum_fn(const char *w, int k, const float *x, float *sums);
#define SUM_TILES(name, form, nt)                                                                  \
    __attribute__((noinline)) static void sum_##name##_x##nt(const char *w, int k, const float *x, \
                                                             float *sums) {                        \
        sum_tiles(form, w, k, x, sums, nt);                                                        \
    }
SUM_TILES(f16, QN_PACK_F16, 1)
SUM_TILES(f16, QN_PACK_F16, 2)
SUM_TILES(bf16, QN_PACK_BF16, 1)
SUM_TILES(bf16, QN_PACK_BF16, 4)

static void sum_flushed(sum_fn *sum, const char *w, int k, const float *x, float *sums) {
    enum { FLUSH = 0x8000, DENORMALS_ARE_ZERO = 0x40 };
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | FLUSH | DENORMALS_ARE_ZERO);
    __asm__ volatile("" : : : "memory");
    sum(w, k, x, sums);
    __asm__ volatile("" : : : "memory");
    _mm_setcsr(mode);
}

/* `many` sums many_tiles at a time. */
QN_INLINE void matvec(const enum qn_pack form, const struct qn_matmul *a, sum_fn *one, sum_fn *many,
                      const int many_tiles) {
    _Alignas(64) float sums[MAX_TILES * QN_R];
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    float *const x = a->scratch;
    widen_activations(a, x);
    for (int n = a->n0; n < a->n1;) {
        const bool whole = a->n1 - n > (many_tiles - 1) * QN_R;
        const int n_tiles = whole ? many_tiles : 1;
        const char *const w = (const char *)a->w + (size_t)(n / QN_R) * tile_size;
        sum_flushed(whole ? many : one, w, a->k, x, sums);
        for (int t = 0; t < n_tiles; t++, n += QN_R) finish_tile(a, 0, n, f_load(sums + t * QN_R));
    }
}

void qn_matvec_f16__amxbf16(const struct qn_matmul *a) {
    check_matmul(a);
    matvec(QN_PACK_F16, a, sum_f16_x1, sum_f16_x2, 2);
}

void qn_matvec_bf16__amxbf16(const struct qn_matmul *a) {
    check_matmul(a);
    matvec(QN_PACK_BF16, a, sum_bf16_x1, sum_bf16_x4, 4);
}
