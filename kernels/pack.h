/* SPDX-License-Identifier: Apache-2.0
 *
 * Weight packing: rows of a stored matrix [N][K] become tiles of R rows, each one contiguous,
 * 64-byte aligned stream that a kernel reads forward, with no shuffles and no horizontal sums.
 * R comes from the kernel table (16 for AVX-512, 8 for AVX2 and NEON). N is padded to R with zero
 * rows (scale 0), K to the form's unit.
 *
 * A tile is a run of units, rising in k; its size is rounded up to 64 bytes. A unit of k elements
 * of R rows takes `bytes` times R, in the order given (all numbers little-endian):
 *
 *   form    k    bytes  contents of a unit
 *   F32     16    64    float [16 k][R]
 *   F16     16    32    f16 [16 k][R]
 *   BF16    16    32    bf16 [8 k/2][R][2]
 *   Q8_0    64    68    bytes [16 groups][R][4], d f16 [2][R]
 *   Q4_0    64    36    nibbles [2 blocks], d f16 [2][R]
 *   Q4_1    64    40    nibbles [2 blocks], d f16 [2][R], m f16 [2][R]
 *   Q5_0    64    44    nibbles [2 blocks], bits [2 blocks], d
 *   Q5_1    64    48    nibbles [2 blocks], bits [2 blocks], d, m
 *   IQ4_NL  64    36    nibbles [2 blocks], d
 *   Q2_K   256    84    pairs [8 blocks], sm u8 [16][R], d f16 [R], dmin f16 [R]
 *   Q3_K   256   116    pairs [8 blocks], bits [8 blocks], sc i8 [16][R], d, 2 R spare
 *   Q4_K   256   144    nibbles [8 blocks], low [8][R], high [4][R], d f16 [R], dmin f16 [R]
 *   Q5_K   256   176    nibbles [8 blocks], bits [8 blocks], low, high, d, dmin
 *   Q6_K   256   212    nibbles [8 blocks], pairs [8 blocks], sc i8 [16][R], d f16 [R], 2 R spare
 *   IQ4_XS 256   140    nibbles [8 blocks], sc i8 [8][R], d, 2 R spare
 *   I16     64   132    i16 [32 k/2][R][2], d float [R]
 *   Q8_I16  64   68     i8 [32 k/2][R][2], d f16 [2][R]
 *   Q6_I16 256   212    low u16 [32 k/8][R][2], high u16 [16 k/16][R][2], sc i8 [16][R], d f16 [R],
 *                       2 R spare
 *
 * A group is 4 consecutive k, a block 32 k (8 groups), so a vector of R int32 lanes holds one
 * group of R rows:
 *   bytes    signed quants
 *   nibbles  of a block: [4 j][R][4 i], low nibble = low 4 bits of k = 4j + i, high nibble = those
 *            of k = 4(j + 4) + i
 *   bits     of a block: [R][4 i], bit g = the highest bit of the quant at k = 4g + i
 *   pairs    of a block: [2 h][R][4 i], bits 2g and 2g + 1 = two bits of the quant at
 *            k = 16h + 4g + i: the lowest two, but for Q6_K the highest
 *   low, high of Q6_I16: nibble p of low [g][row][i] = low 4 bits of k = 8g + 2p + i; bits 2p and
 *            2p + 1 of high [h][row][i] = the highest two of k = 16h + 2p + i
 *   low      byte = (sc & 15) | (mn & 15) << 4 of block [8]
 *   sm       byte = sc | mn << 4
 *   high     byte [p]: (sc >> 4) | (mn >> 4) << 2 of block p, the same << 4 of block p + 4
 *
 * The weight that a quant q stands for:
 *   I16, Q8_0, Q8_I16 d q              Q4_1, Q5_1 d q + m
 *   Q4_0 d (q - 8)                     Q5_0 d (q - 16)
 *   IQ4_NL d qn_pack_iq4_values[q]     IQ4_XS d sc qn_pack_iq4_values[q]
 *   Q2_K, Q4_K, Q5_K d sc q - dmin mn  Q3_K d sc (q - 4)     Q6_K, Q6_I16 d sc (q - 32)
 * (sc and mn one per 16 k in Q2_K, Q3_K, Q6_K and Q6_I16, one per 32 in the others). Products of d
 * or dmin with sc or mn are exact in float.
 */
#ifndef QN_KERNELS_PACK_H
#define QN_KERNELS_PACK_H

#include "kernels/types.h"

/* The 16 values of IQ4_NL and IQ4_XS. */
extern const int8_t qn_pack_iq4_values[16];

/* Raised with every change of what is packed, or of what quantize.h makes of floats before, so that
 * packed weights which were kept in a file are not read by a build that would make others. */
enum { QN_PACK_VERSION = 3 };

/* Elements of k in a unit of the form, and the unit's bytes for one of its R rows. */
static inline int qn_pack_unit_k(enum qn_pack form) {
    if (form <= QN_PACK_BF16) return 16;
    if (form == QN_PACK_I16 || form == QN_PACK_Q8_I16) return 64;
    return form <= QN_PACK_IQ4_NL ? 64 : 256;
}

static inline int qn_pack_unit_bytes(enum qn_pack form) {
    switch (form) {
    case QN_PACK_F32:
        return 64;
    case QN_PACK_F16:
        return 32;
    case QN_PACK_BF16:
        return 32;
    case QN_PACK_Q8_0:
        return 68;
    case QN_PACK_Q4_0:
        return 36;
    case QN_PACK_Q4_1:
        return 40;
    case QN_PACK_Q5_0:
        return 44;
    case QN_PACK_Q5_1:
        return 48;
    case QN_PACK_IQ4_NL:
        return 36;
    case QN_PACK_Q2_K:
        return 84;
    case QN_PACK_Q3_K:
        return 116;
    case QN_PACK_Q4_K:
        return 144;
    case QN_PACK_Q5_K:
        return 176;
    case QN_PACK_Q6_K:
    case QN_PACK_Q6_I16:
        return 212;
    case QN_PACK_IQ4_XS:
        return 140;
    case QN_PACK_I16:
        return 132;
    case QN_PACK_Q8_I16:
        return 68;
    default:
        return 0;
    }
}

/* Bytes of one packed tile of R rows of K elements of a form; a multiple of 64. */
static inline size_t qn_pack_form_tile_size(enum qn_pack form, int tile_rows, int k) {
    const int unit_k = qn_pack_unit_k(form);
    const size_t units = ((size_t)k + (size_t)unit_k - 1) / (size_t)unit_k;
    const size_t size = units * (size_t)qn_pack_unit_bytes(form) * (size_t)tile_rows;
    return (size + 63) & ~(size_t)63;
}

/* The same for the form of a stored type. */
size_t qn_pack_tile_size(enum qn_type type, int tile_rows, int k);

/* Packs rows [n0, n1) of src (row-major, src_row_size bytes from row to row) of a matrix with
 * n rows; n0 is a multiple of tile_rows, n1 too, or n itself. Tile i, counted from n0, goes to
 * dst + i * qn_pack_tile_size(). Rows up to the end of the last tile are written as zeros. */
void qn_pack_rows(enum qn_type type, int tile_rows, int k, const void *src, size_t src_row_size,
                  int n, int n0, int n1, void *dst);

#endif
