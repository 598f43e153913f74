/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls with the tile unit (AMX-INT8): 32 k of 16 rows of activations times 32 k of 16
 * rows of weights are one instruction. Its integer dots go through memory to the vector unit, which
 * scales and sums them in the order that kernels.h fixes, so the bits are those of every other
 * instruction set. There are two ways: panels, and steps, which read activations less often and
 * take every form.
 */
#include "kernels/amx/tile_panel.h"
#include "kernels/amx/tile_steps.h"

/* Or panels would be made for pairs of 16 bits. */
_Static_assert(QN_HAVE_DOT, "compiled as the VNNI kernels are");

/* Activations of more bytes do not stay in the second level cache, of 2 MiB where there is AMX,
 * beside what else is kept there. */
enum { FAR_BYTES = 3 << 19 };

QN_INLINE bool takes_steps(const struct qn_form_traits t, const struct qn_matmul *a) {
    return has_halves(t) || (size_t)a->m * a->x_ld > FAR_BYTES;
}

/* Rows from which on tiles are faster than VNNI, as measured on a Granite Rapids: what has to be
 * unpacked first weighs more with few. */
QN_INLINE int least_rows(const struct qn_form_traits t) {
    return tile_parts(t) == 2 ? 192 : TILE_M;
}

/* All rows, which fill tiles. */
QN_INLINE void tile_matmul(const enum qn_pack form, const struct qn_form_traits t,
                           const struct qn_matmul *a) {
    _tile_loadconfig(&int8_tiles);
    if (takes_steps(t, a))
        tile_steps(form, t, a);
    else
        tile_panels(form, t, a);
    _tile_release();
}

/* Rows that do not fill a tile go to the kernel that this one replaces. */
#define QN_TILE_MATMUL(name, form, traits)                                                         \
    qn_matmul_fn qn_matmul_##name##__avx512vnni;                                                   \
    void qn_matmul_##name##__amxint8(const struct qn_matmul *a) {                                  \
        const int m = a->m < least_rows(traits) ? 0 : a->m / TILE_M * TILE_M;                      \
        const struct qn_matmul whole = some_rows(a, 0, m), rest = some_rows(a, m, a->m);           \
        check_matmul(a);                                                                           \
        if (whole.m > 0) tile_matmul(form, traits, &whole);                                        \
        if (rest.m > 0) qn_matmul_##name##__avx512vnni(&rest);                                     \
    }

QN_TILE_MATMUL(q8_0, QN_PACK_Q8_0, QN_TRAITS_8)
QN_TILE_MATMUL(q4_0, QN_PACK_Q4_0, QN_TRAITS_4)
QN_TILE_MATMUL(q4_1, QN_PACK_Q4_1, QN_TRAITS_4_MIN)
QN_TILE_MATMUL(q5_0, QN_PACK_Q5_0, QN_TRAITS_5)
QN_TILE_MATMUL(q5_1, QN_PACK_Q5_1, QN_TRAITS_5_MIN)
QN_TILE_MATMUL(iq4_nl, QN_PACK_IQ4_NL, QN_TRAITS_8)
QN_TILE_MATMUL(q2_k, QN_PACK_Q2_K, QN_TRAITS_2_MIN)
QN_TILE_MATMUL(q3_k, QN_PACK_Q3_K, QN_TRAITS_3)
QN_TILE_MATMUL(q4_k, QN_PACK_Q4_K, QN_TRAITS_4_MIN)
QN_TILE_MATMUL(q5_k, QN_PACK_Q5_K, QN_TRAITS_5_MIN)
QN_TILE_MATMUL(q6_k, QN_PACK_Q6_K, QN_TRAITS_6)
QN_TILE_MATMUL(iq4_xs, QN_PACK_IQ4_XS, QN_TRAITS_8)
