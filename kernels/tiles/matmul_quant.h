/* SPDX-License-Identifier: Apache-2.0
 *
 * The matvec and matmul kernels of every quantized form for one instruction set: the including
 * file includes the lanes, defines QN_KERNEL_NAME(operation, form), and gets all of them.
 */
#include "kernels/tiles/matmul_direct.h"
#include "kernels/tiles/matmul_panel.h"

/* Register tiles of 1 to 6 rows of activations by 1 to QN_PANEL_TILES tiles of weights, one set for
 * each arithmetic; those of more rows than are used are empty. */
#define QN_PANEL_KERNEL(name, traits, mr, nt)                                                      \
    static void name##_##mr##x##nt(const struct qn_panel *p) {                                     \
        if (mr > register_rows(traits)) return;                                                    \
        if (has_halves(traits))                                                                    \
            halves_kernel(traits, p, mr, nt);                                                      \
        else                                                                                       \
            panel_kernel(traits, p, mr, nt);                                                       \
    }
#define QN_PANEL_KERNELS_NT(name, traits, nt)                                                      \
    QN_PANEL_KERNEL(name, traits, 1, nt)                                                           \
    QN_PANEL_KERNEL(name, traits, 2, nt)                                                           \
    QN_PANEL_KERNEL(name, traits, 3, nt)                                                           \
    QN_PANEL_KERNEL(name, traits, 4, nt)                                                           \
    QN_PANEL_KERNEL(name, traits, 5, nt)                                                           \
    QN_PANEL_KERNEL(name, traits, 6, nt)
#define QN_PANEL_ROW(name, nt)                                                                     \
    {                                                                                              \
        NULL, name##_1x##nt, name##_2x##nt, name##_3x##nt, name##_4x##nt, name##_5x##nt,           \
            name##_6x##nt                                                                          \
    }

#if QN_PANEL_TILES == 2
#define QN_PANEL_KERNELS(name, traits)                                                             \
    QN_PANEL_KERNELS_NT(name, traits, 1)                                                           \
    QN_PANEL_KERNELS_NT(name, traits, 2)                                                           \
    static qn_panel_fn *const name##_1[QN_PANEL_M + 1] = QN_PANEL_ROW(name, 1);                    \
    static qn_panel_fn *const name##_2[QN_PANEL_M + 1] = QN_PANEL_ROW(name, 2);                    \
    static qn_panel_fn *const *const name[2] = {name##_1, name##_2};
#else
#define QN_PANEL_KERNELS(name, traits)                                                             \
    QN_PANEL_KERNELS_NT(name, traits, 1)                                                           \
    static qn_panel_fn *const name##_1[QN_PANEL_M + 1] = QN_PANEL_ROW(name, 1);                    \
    static qn_panel_fn *const *const name[1] = {name##_1};
#endif

#if QN_HAVE_DOT
QN_PANEL_KERNELS(panel_32, QN_TRAITS_8)
QN_PANEL_KERNELS(panel_32_min, QN_TRAITS_4_MIN)
QN_PANEL_KERNELS(panel_2_min, QN_TRAITS_2_MIN)
QN_PANEL_KERNELS(panel_3, QN_TRAITS_3)
QN_PANEL_KERNELS(panel_6, QN_TRAITS_6)
#define QN_PANEL_2_MIN panel_2_min
#define QN_PANEL_3     panel_3
#define QN_PANEL_4     panel_32
#define QN_PANEL_4_MIN panel_32_min
#define QN_PANEL_5     panel_32
#define QN_PANEL_5_MIN panel_32_min
#define QN_PANEL_6     panel_6
#define QN_PANEL_8     panel_32
#else
QN_PANEL_KERNELS(panel_2_min, QN_TRAITS_2_MIN)
QN_PANEL_KERNELS(panel_3, QN_TRAITS_3)
QN_PANEL_KERNELS(panel_4, QN_TRAITS_4)
QN_PANEL_KERNELS(panel_4_min, QN_TRAITS_4_MIN)
QN_PANEL_KERNELS(panel_5, QN_TRAITS_5)
QN_PANEL_KERNELS(panel_5_min, QN_TRAITS_5_MIN)
QN_PANEL_KERNELS(panel_6, QN_TRAITS_6)
QN_PANEL_KERNELS(panel_8, QN_TRAITS_8)
#define QN_PANEL_2_MIN panel_2_min
#define QN_PANEL_3     panel_3
#define QN_PANEL_4     panel_4
#define QN_PANEL_4_MIN panel_4_min
#define QN_PANEL_5     panel_5
#define QN_PANEL_5_MIN panel_5_min
#define QN_PANEL_6     panel_6
#define QN_PANEL_8     panel_8
#endif

/* Strips of 2 to QN_DIRECT_ROWS rows, whose weights are unpacked in registers. They are bound by
 * arithmetic, which is faster by pairs of tiles, group by group. */
#if QN_STRIP_TILES == 2
#include "kernels/tiles/matmul_pairs.h"
#define QN_STRIP pair_strip
enum { QN_STRIP_N = QN_PAIR * QN_R };
#else
#define QN_STRIP direct_strip
enum { QN_STRIP_N = QN_R };
#endif

/* Rows of a strip: of Q2_K and Q3_K, whose arithmetic is most of the work even from memory, as many
 * as a pair of tiles has registers for. */
QN_INLINE int strip_rows(const struct qn_form_traits t) {
    return t.bits < 4 && QN_DIRECT_ROWS > 4 ? 4 : QN_DIRECT_ROWS;
}

#define QN_STRIP_CASE(form, traits, rows)                                                          \
    case rows:                                                                                     \
        if (rows <= strip_rows(traits)) QN_STRIP(form, traits, a, n, rows);                        \
        break;
#define QN_STRIP_CASES_4(form, traits)                                                             \
    QN_STRIP_CASE(form, traits, 2)                                                                 \
    QN_STRIP_CASE(form, traits, 3)                                                                 \
    QN_STRIP_CASE(form, traits, 4)
#if QN_DIRECT_ROWS == 8
#define QN_STRIP_CASES(form, traits)                                                               \
    QN_STRIP_CASES_4(form, traits)                                                                 \
    QN_STRIP_CASE(form, traits, 5)                                                                 \
    QN_STRIP_CASE(form, traits, 6)                                                                 \
    QN_STRIP_CASE(form, traits, 7)                                                                 \
    QN_STRIP_CASE(form, traits, 8)
#else
#define QN_STRIP_CASES QN_STRIP_CASES_4
#endif

/* Up to so many rows, strips take less time than a panel that is unpacked for all of them, most of
 * all where weights come from memory, which a panel waits for (bench/NOTES.md). AMD's processors
 * unpack beside the dots, Intel's with the same units; fifth bits take the most of it. */
QN_INLINE int strips_at_most(const struct qn_form_traits t, bool amd) {
    if (QN_R == 8) return QN_HAVE_DOT && !QN_HAVE_DPBUSD ? 4 : 8; /* NEON, not measured: 4 */
    if (has_halves(t)) return 12;
    if (!QN_HAVE_DPBUSD || t.bits == 5) return 16;
    return amd ? 48 : 32;
}

#define QN_MATMUL(name, form, traits, kernels)                                                     \
    static void strip_##name(const struct qn_matmul *a, int n) {                                   \
        switch (a->m) { QN_STRIP_CASES(form, traits) }                                             \
    }                                                                                              \
    void QN_KERNEL_NAME(matvec, name)(const struct qn_matmul *a) {                                 \
        check_matmul(a);                                                                           \
        direct_row(form, traits, a);                                                               \
    }                                                                                              \
    void QN_KERNEL_NAME(matmul, name)(const struct qn_matmul *a) {                                 \
        check_matmul(a);                                                                           \
        if (a->m > strips_at_most(traits, a->amd))                                                 \
            panel_matmul(form, traits, a, register_rows(traits), kernels);                         \
        else if (a->m > 1)                                                                         \
            strips(a, strip_rows(traits), QN_STRIP_N, strip_##name);                               \
        else                                                                                       \
            direct_row(form, traits, a);                                                           \
    }

QN_MATMUL(q8_0, QN_PACK_Q8_0, QN_TRAITS_8, QN_PANEL_8)
QN_MATMUL(q4_0, QN_PACK_Q4_0, QN_TRAITS_4, QN_PANEL_4)
QN_MATMUL(q4_1, QN_PACK_Q4_1, QN_TRAITS_4_MIN, QN_PANEL_4_MIN)
QN_MATMUL(q5_0, QN_PACK_Q5_0, QN_TRAITS_5, QN_PANEL_5)
QN_MATMUL(q5_1, QN_PACK_Q5_1, QN_TRAITS_5_MIN, QN_PANEL_5_MIN)
QN_MATMUL(iq4_nl, QN_PACK_IQ4_NL, QN_TRAITS_8, QN_PANEL_8)
QN_MATMUL(q2_k, QN_PACK_Q2_K, QN_TRAITS_2_MIN, QN_PANEL_2_MIN)
QN_MATMUL(q3_k, QN_PACK_Q3_K, QN_TRAITS_3, QN_PANEL_3)
QN_MATMUL(q4_k, QN_PACK_Q4_K, QN_TRAITS_4_MIN, QN_PANEL_4_MIN)
QN_MATMUL(q5_k, QN_PACK_Q5_K, QN_TRAITS_5_MIN, QN_PANEL_5_MIN)
QN_MATMUL(q6_k, QN_PACK_Q6_K, QN_TRAITS_6, QN_PANEL_6)
QN_MATMUL(iq4_xs, QN_PACK_IQ4_XS, QN_TRAITS_8, QN_PANEL_8)
