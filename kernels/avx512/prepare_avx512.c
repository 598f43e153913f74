/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation rows for AVX-512.
 */
#include <assert.h>
#include <immintrin.h>
#include <string.h>

#include "kernels/act_block.h"
#include "kernels/inventory.h"

/* ---- eight blocks at a time: one number of each is a lane ---- */

enum { BLOCKS = 8, UNIT = BLOCKS * 32 };

/* Of v [4] -> in each quarter of a vector, the largest of that quarter of v[0], ..., v[3]. */
static inline __m512 max_quarters(const __m512 v[4]) {
    const __m512 a = _mm512_max_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
    const __m512 b = _mm512_max_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
    return _mm512_max_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}

/* The largest magnitude of each block of x [16 vectors]: blocks 0 to 3, 0 to 3, 4 to 7, 4 to 7. */
static inline __m512 block_amax(const __m512 x[2 * BLOCKS]) {
    __m512 v[BLOCKS];
    for (int b = 0; b < BLOCKS; b++)
        v[b] = _mm512_max_ps(_mm512_abs_ps(x[2 * b]), _mm512_abs_ps(x[2 * b + 1]));
    const __m512i low = _mm512_castps_si512(max_quarters(v));
    const __m512i high = _mm512_castps_si512(max_quarters(v + 4));
    const __m512 two = _mm512_max_ps(_mm512_castsi512_ps(_mm512_shuffle_i32x4(low, high, 0x44)),
                                     _mm512_castsi512_ps(_mm512_shuffle_i32x4(low, high, 0xee)));
    const __m512i both = _mm512_castps_si512(two);
    return _mm512_max_ps(two, _mm512_castsi512_ps(_mm512_shuffle_i32x4(both, both, 0xb1)));
}

/* The sums of 16 bytes each of q [4 vectors]: of the first halves of the blocks, then of the last.
 */
static inline __m512i half_sums(const __m512i q[4]) {
    __m512i s[4];
    for (int i = 0; i < 4; i++) {
        const __m512i pairs = _mm512_maddubs_epi16(_mm512_set1_epi8(1), q[i]);
        s[i] = _mm512_madd_epi16(pairs, _mm512_set1_epi16(1));
    }
    const __m512i a =
        _mm512_add_epi32(_mm512_unpacklo_epi32(s[0], s[1]), _mm512_unpackhi_epi32(s[0], s[1]));
    const __m512i b =
        _mm512_add_epi32(_mm512_unpacklo_epi32(s[2], s[3]), _mm512_unpackhi_epi32(s[2], s[3]));
    /* Quarter h + 2 p of lane i is half h of block 2 i + p. */
    const __m512i sums = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15), sums);
}

/* Two blocks, v [4 vectors], times the factors of blocks b and b + 1 -> bytes. */
static inline __m512i quantize_pair(const __m512 v[4], __m512 factors, int b) {
    __m512i q[4];
    for (int i = 0; i < 4; i++) {
        const int block = b + i / 2, lane = block < 4 ? block : block + 4;
        const __m512 factor = _mm512_permutexvar_ps(_mm512_set1_epi32(lane), factors);
        q[i] = _mm512_cvtps_epi32(_mm512_mul_ps(v[i], factor));
    }
    /* The packs work in quarters; a permutation of dwords puts them in order. */
    const __m512i packed =
        _mm512_packs_epi16(_mm512_packs_epi32(q[0], q[1]), _mm512_packs_epi32(q[2], q[3]));
    return _mm512_permutexvar_epi32(
        _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), packed);
}

/* Eight structs of four numbers: first holds those of the first kind in lanes 0 to 7 and of the
 * second in 8 to 15, last those of the third and fourth. */
static inline void store_fours(__m512i first, __m512i last, void *out) {
    const __m512i four =
        _mm512_setr_epi32(0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27);
    const __m512i next = _mm512_add_epi32(four, _mm512_set1_epi32(4));
    _mm512_storeu_si512(out, _mm512_permutex2var_epi32(first, four, last));
    _mm512_storeu_si512((char *)out + 64, _mm512_permutex2var_epi32(first, next, last));
}

/* As qn_act_block_set, of all blocks. amax: as from block_amax(), 0 for blocks of zeros; sums: as
 * from half_sums(). */
static inline void set_blocks(__m512 amax, __m512i sums, struct qn_act_block *blocks,
                              struct qn_act_halves *halves) {
    const __m512 all = _mm512_div_ps(amax, _mm512_set1_ps(127));
    const __m512 scale =
        _mm512_castsi512_ps(_mm512_andnot_si512(_mm512_set1_epi32(3), _mm512_castps_si512(all)));
    const __m512i by_block = _mm512_setr_epi32(0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11);
    const __m512 s = _mm512_permutexvar_ps(by_block, scale);
    const __m512i swapped = _mm512_shuffle_i32x4(sums, sums, 0x4e);
    const __m512i both = _mm512_add_epi32(sums, swapped);
    const __m512i zero_bits = _mm512_set1_epi32(QN_ACT_ZERO_BITS);
    const __m512 zero = _mm512_mul_ps(s, _mm512_set1_ps(-(float)QN_ACT_ZERO));
    const __m512 scale_sum = _mm512_mul_ps(s, _mm512_cvtepi32_ps(both));
    const __m512i start = _mm512_sub_epi32(zero_bits, _mm512_slli_epi32(both, 7));
    store_fours(_mm512_castps_si512(_mm512_mask_blend_ps(0xff00, s, zero)),
                _mm512_mask_blend_epi32(0xff00, _mm512_castps_si512(scale_sum), start), blocks);

    const __m512i negated = _mm512_sub_epi32(_mm512_setzero_si512(), sums);
    const __m512i neg_pairs = _mm512_mask_blend_epi16(
        0xaaaaaaaa, negated, _mm512_slli_epi32(_mm512_shuffle_i32x4(negated, negated, 0x4e), 16));
    store_fours(_mm512_sub_epi32(zero_bits, _mm512_slli_epi32(sums, 7)),
                _mm512_maskz_mov_epi32(0xff, neg_pairs), halves);
}
_Static_assert(sizeof(struct qn_act_block) == 16 && sizeof(struct qn_act_halves) == 16,
               "written by lanes");

/* Blocks b to b + 7 of a row. */
static inline void quantize_unit(const float *x, struct qn_act_row row, int b) {
    __m512 v[2 * BLOCKS];
    for (int i = 0; i < 2 * BLOCKS; i++) v[i] = _mm512_loadu_ps(x + 16 * i);
    const __m512 largest = block_amax(v);
    const __mmask16 counts =
        _mm512_cmp_ps_mask(largest, _mm512_set1_ps(QN_ACT_AMAX_MIN), _CMP_NLT_UQ);
    const __m512 amax = _mm512_maskz_mov_ps(counts, largest);
    const __m512 factors = _mm512_maskz_div_ps(counts, _mm512_set1_ps(127), largest);
    __m512i q[4];
    for (int i = 0; i < 4; i++) {
        q[i] = quantize_pair(v + 4 * i, factors, 2 * i);
        _mm512_store_si512(row.q + b * 32 + 64 * i, q[i]);
    }
    set_blocks(amax, half_sums(q), row.blocks + b, row.halves + b);
}

#define QN_PREPARE_NAME(function) function##__avx512
#define QN_PREPARE_I16            1
#include "kernels/tmpl/prepare.inc"
