/* SPDX-License-Identifier: Apache-2.0
 *
 * Element types of weights as files store them, and the packed forms that kernels read.
 * Everything below src/ and in src/ that names a type uses this enumeration.
 */
#ifndef QN_KERNELS_TYPES_H
#define QN_KERNELS_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Types of rows of K elements in blocks (see qn_type_info). Layouts are those of GGUF, but I16's.
 */
enum qn_type {
    QN_TYPE_F32,
    QN_TYPE_F16,
    QN_TYPE_BF16,
    QN_TYPE_Q8_0,
    QN_TYPE_Q4_0,
    QN_TYPE_Q4_1,
    QN_TYPE_Q5_0,
    QN_TYPE_Q5_1,
    QN_TYPE_Q2_K,
    QN_TYPE_Q3_K,
    QN_TYPE_Q4_K,
    QN_TYPE_Q5_K,
    QN_TYPE_Q6_K,
    QN_TYPE_IQ4_NL,
    QN_TYPE_IQ4_XS,
    QN_TYPE_STORED, /* what files hold ends here */
    /* What 16-bit floats become while they are loaded (qn_type_at_load): 64 integers of 16 bits
     * with one scale, float d, int16 q [64]; the weight is d q. */
    QN_TYPE_I16 = QN_TYPE_STORED,
    /* Heads of Q8_0 and of Q6_K, packed for inputs of I16: the same blocks (qn_type_stored). */
    QN_TYPE_Q8_I16,
    QN_TYPE_Q6_I16,
    QN_TYPE_COUNT
};

/* Packed forms: the tile layouts that matmul kernels stream (documented in pack.h). */
enum qn_pack {
    QN_PACK_F32,
    QN_PACK_F16,
    QN_PACK_BF16,
    QN_PACK_Q8_0,
    QN_PACK_Q4_0,
    QN_PACK_Q4_1,
    QN_PACK_Q5_0,
    QN_PACK_Q5_1,
    QN_PACK_IQ4_NL,
    QN_PACK_Q2_K,
    QN_PACK_Q3_K,
    QN_PACK_Q4_K,
    QN_PACK_Q5_K,
    QN_PACK_Q6_K,
    QN_PACK_IQ4_XS,
    QN_PACK_I16,
    QN_PACK_Q8_I16,
    QN_PACK_Q6_I16,
    QN_PACK_COUNT
};

/* How the input rows of a matmul are stored (see kernels.h). */
enum qn_act {
    QN_ACT_F32, /* float [K padded to 16] */
    QN_ACT_Q8,  /* int8 blocks of 32 with scale and sums, struct qn_act_block */
    /* Two rows of Q8, one behind the other, whose sum is x: x rounded, and what that left, rounded
     * likewise. A product with it is the sum of the products with the two. */
    QN_ACT_Q8X2,
    /* Sums of two bf16: for each 32 k (K padded to 32) high [32], low [32], then a line of zeros,
     * so that rows lie an odd number of lines apart and 16 of them in as many sets of a cache. high
     * is x rounded to the nearest bf16, low is x - high likewise; subnormal numbers count as zero.
     */
    QN_ACT_BF16X2,
    QN_ACT_BF16, /* bf16 [K padded to 32], rounded alike, then one or two lines of zeros likewise */
    QN_ACT_I16,  /* int16 blocks of 64 with a scale (kernels.h) */
    QN_ACT_COUNT
};

const char *qn_act_name(enum qn_act act); /* "f32", "q8", "q8x2", "bf16x2", "bf16", "i16" */

struct qn_type_info {
    const char *name;  /* "Q4_K" */
    int block;         /* elements in a block; K is a multiple of it */
    int block_size;    /* bytes of a block */
    enum qn_pack pack; /* form it is packed into */
    /* Bytes from a block's start to its half-precision scale, and to that of its mins; -1: none. */
    int scale_at, min_at;
};

extern const struct qn_type_info qn_type_infos[QN_TYPE_COUNT];

/* Bytes of one row of k elements; k must be a multiple of the type's block. */
size_t qn_type_row_size(enum qn_type type, size_t k);

/* src [k] elements of `type` -> dst [k] floats, exactly as the type defines. */
void qn_type_to_float(enum qn_type type, const void *src, float *dst, size_t k);

/* Forms of floats; the others are quantized. */
bool qn_pack_is_float(enum qn_pack pack);

/* What a matrix of the type is packed as for the kernels of these bundles (1 << enum qn_isa), where
 * a row's K allows it: I16 for 16-bit floats, as x86 multiplies two pairs of such integers in the
 * time of one pair of floats; else the type itself, as where instructions multiply bf16, and where
 * there are AMX's tiles. Of 64 normal weights I16 is off by 5e-5 of their size, halves by 1.5e-4.
 * Heads of Q8_0 and Q6_K are Q8_I16 and Q6_I16 on x86 without VNNI: two rows of Q8 (Q8X2) take
 * three instructions each for 32 products there, one of I16 four. */
enum qn_type qn_type_at_load(enum qn_type type, int k, bool is_head, uint32_t bundles);

/* The type whose blocks it is packed from: itself, but for a head's own. */
enum qn_type qn_type_stored(enum qn_type type);

/* The form of input rows that the kernels of these bundles multiply a packed form with: I16 for I16
 * and those of heads, Q8 for the other quantized ones, else F32, or BF16X2 where bf16 tiles
 * multiply halves, or BF16 where instructions do that multiply bf16 alone. */
enum qn_act qn_pack_act(enum qn_pack pack, uint32_t bundles);
/* The same of their matmuls, for more than one row: BF16 where these are other products than the
 * matvecs (QN_ISA_AMXFAST). */
enum qn_act qn_pack_act_many(enum qn_pack pack, uint32_t bundles);

#endif
