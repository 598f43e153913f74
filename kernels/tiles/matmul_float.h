/* SPDX-License-Identifier: Apache-2.0
 *
 * The matvec and matmul kernels of the float forms for one instruction set, by float FMA in rising
 * k from zero. The including file includes the lanes, defines QN_KERNEL_NAME(operation, form), and
 * gets all of them.
 */
#include <limits.h>

#include "kernels/tiles/matmul_forms.h"
#include "kernels/tiles/panel_order.h"

/* Adds w[n] x of nt tiles, for one k, to y [nt]. */
QN_INLINE void float_add(const lanes_f *w, float x, lanes_f *y, const int nt) {
    const lanes_f all = f_set1(x);
    QN_UNROLL for (int n = 0; n < nt; n++) y[n] = f_fma(w[n], all, y[n]);
}

/* Weights of one tile at k i of a unit. */
QN_INLINE lanes_f float_unpack(const enum qn_pack form, const uint8_t *unit, int i) {
    if (form == QN_PACK_F32) return f_load((const float *)unit + i * QN_R);
    if (form == QN_PACK_F16) return f_load_half(unit + i * QN_R * 2);
    const lanes_i pair = i_load(unit + i / 2 * QN_R * 4);
    return f_from_bits(i % 2 == 0 ? i_shl32(pair, 16) : i_and(pair, i_set1((int)0xffff0000)));
}

/* Asks for the lines that lie ahead of two k of a unit, i even. */
QN_INLINE void float_prefetch(const uint8_t *unit, const int unit_size, const int i) {
    const int start = (i * unit_size / 16 + 63) / 64 * 64, end = (i + 2) * unit_size / 16;
    QN_UNROLL for (int line = start; line < end; line += 64) {
        __builtin_prefetch(unit + line + QN_FLOAT_AHEAD_L1, 0, 3);
        __builtin_prefetch(unit + line + QN_FLOAT_AHEAD_L2, 0, 2);
    }
}

/* The product of mr = a->m rows and nt tiles from output n on, streamed side by side: as many
 * chains of sums hide the FMA's latency. */
QN_INLINE void float_tiles(const enum qn_pack form, const struct qn_matmul *a, int n, const int mr,
                           const int nt, const bool ask) {
    const int unit_size = qn_pack_unit_bytes(form) * QN_R;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const uint8_t *unit = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
    const float *x[QN_FLOAT_M];
    lanes_f y[QN_FLOAT_M][4];
    QN_UNROLL for (int m = 0; m < mr; m++) {
        x[m] = (const float *)((const char *)a->x + (size_t)m * a->x_ld);
        QN_UNROLL for (int t = 0; t < nt; t++) y[m][t] = f_zero();
    }
    for (int k = 0; k < a->k; k += 16, unit += unit_size) {
        QN_UNROLL for (int i = 0; i < 16; i++) {
            if (ask && i % 2 == 0)
                QN_UNROLL for (int t = 0; t < nt; t++)
                    float_prefetch(unit + (size_t)t * tile_size, unit_size, i);
            lanes_f w[4];
            QN_UNROLL for (int t = 0; t < nt; t++) w[t] =
                float_unpack(form, unit + (size_t)t * tile_size, i);
            QN_UNROLL for (int m = 0; m < mr; m++) float_add(w, x[m][k + i], y[m], nt);
        }
    }
    finish_tiles(a, 0, n, y[0], 4, mr, nt);
}

/* Weights are asked for ahead unless the processor does it better; it does while a weight of so
 * many bytes is multiplied with as many rows at the most (bench/NOTES.md). */
QN_INLINE void float_tiles_ahead(const enum qn_pack form, const struct qn_matmul *a, int n,
                                 const int mr, const int nt) {
    if (mr <= qn_pack_unit_bytes(form) / 16 && a->amd)
        float_tiles(form, a, n, mr, nt, false);
    else
        float_tiles(form, a, n, mr, nt, true);
}

/* mr = a->m rows by the nt tiles from output n on, or by the fewer that are left. */
QN_INLINE void float_strip(const enum qn_pack form, const struct qn_matmul *a, int n, const int mr,
                           const int nt) {
    if (a->n1 - n > (nt - 1) * QN_R)
        float_tiles_ahead(form, a, n, mr, nt);
    else
        for (; n < a->n1; n += QN_R) float_tiles_ahead(form, a, n, mr, 1);
}

QN_INLINE void float_row(const enum qn_pack form, const struct qn_matmul *a) {
    for (int n = a->n0; n < a->n1; n += 4 * QN_R) float_strip(form, a, n, 1, 4);
}

#define QN_FLOAT_STRIP(mr)                                                                         \
    case mr:                                                                                       \
        float_strip(form, a, n, mr, 2);                                                            \
        break;
QN_INLINE void float_some_rows(const enum qn_pack form, const struct qn_matmul *a, int n) {
    switch (a->m) {
        QN_FLOAT_STRIP(1)
        QN_FLOAT_STRIP(2)
        QN_FLOAT_STRIP(3)
        QN_FLOAT_STRIP(4)
        QN_FLOAT_STRIP(5)
        QN_FLOAT_STRIP(6)
#if QN_FLOAT_M == 12
        QN_FLOAT_STRIP(7)
        QN_FLOAT_STRIP(8)
        QN_FLOAT_STRIP(9)
        QN_FLOAT_STRIP(10)
        QN_FLOAT_STRIP(11)
        QN_FLOAT_STRIP(12)
#endif
    }
}

/* Rows of activations that pass by all weights before others do: what they have of K = 5632 is 528
 * KiB at R = 8, 1056 at 16. */
enum { FLOAT_PASS_M = 4 * QN_FLOAT_M };

/* Up to so many rows, strips take less time than a panel, which waits for memory while it is
 * converted and goes through the first level cache (bench/NOTES.md). They convert halves again for
 * each strip: beside the FMAs on AMD's processors, in their place on Intel's, where it costs most
 * at R = 8, with the fewest rows a strip. */
QN_INLINE int float_strips_at_most(bool amd) {
    if (!amd) return 2 * QN_FLOAT_M;
    return QN_R == 8 ? INT_MAX : FLOAT_PASS_M;
}

QN_INLINE void float_strips(const struct qn_matmul *a, qn_strip_fn *strip) {
    const int n_passes = (a->m + FLOAT_PASS_M - 1) / FLOAT_PASS_M;
    for (int i = 0; i < n_passes; i++) {
        const int m = a->m * i / n_passes;
        const struct qn_matmul part = some_rows(a, m, a->m * (i + 1) / n_passes - m);
        strips(&part, QN_FLOAT_M, 2 * QN_R, strip);
    }
}

/* One panel of nt <= 2 tiles of float [k][R], `stride` floats from tile to tile. */
struct qn_float_panel {
    const float *w;
    size_t stride;
    int k;          /* a multiple of 16 */
    const float *x; /* row 0 at the panel's first k, x_ld floats a row */
    size_t x_ld;
    float *sums; /* [mr][2 * R]: sums so far of these rows, read unless `first` */
    bool first, last;
    const struct qn_matmul *matmul;
    int m, n; /* row and output of the result's corner */
};
typedef void qn_float_panel_fn(const struct qn_float_panel *p);

QN_INLINE void float_panel_kernel(const struct qn_float_panel *p, const int mr, const int nt) {
    lanes_f y[QN_FLOAT_M][2];
    const float *x[QN_FLOAT_M];
    QN_UNROLL for (int m = 0; m < mr; m++) {
        x[m] = p->x + (size_t)m * p->x_ld;
        QN_UNROLL for (int n = 0; n < nt; n++) y[m][n] =
            p->first ? f_zero() : f_load(p->sums + (m * 2 + n) * QN_R);
    }
    const float *w = p->w;
    for (int k = 0; k < p->k; k += 2) {
        /* One k after the other: weights of both would leave too few registers for the sums. */
        QN_UNROLL for (int i = 0; i < 2; i++, w += QN_R) {
            lanes_f wk[2];
            QN_UNROLL for (int n = 0; n < nt; n++) wk[n] = f_load(w + (size_t)n * p->stride);
            QN_UNROLL for (int m = 0; m < mr; m++) float_add(wk, x[m][k + i], y[m], nt);
        }
    }
    if (p->last)
        finish_tiles(p->matmul, p->m, p->n, y[0], 2, mr, nt);
    else
        QN_UNROLL for (int m = 0; m < mr; m++) QN_UNROLL for (int n = 0; n < nt; n++)
            f_store(p->sums + (m * 2 + n) * QN_R, y[m][n]);
}

#define QN_FLOAT_KERNEL(mr)                                                                        \
    static void float_##mr##x1(const struct qn_float_panel *p) {                                   \
        float_panel_kernel(p, mr, 1);                                                              \
    }                                                                                              \
    static void float_##mr##x2(const struct qn_float_panel *p) {                                   \
        float_panel_kernel(p, mr, 2);                                                              \
    }
#define QN_FLOAT_ROW(nt)                                                                           \
    NULL, float_1x##nt, float_2x##nt, float_3x##nt, float_4x##nt, float_5x##nt, float_6x##nt

QN_FLOAT_KERNEL(1)
QN_FLOAT_KERNEL(2)
QN_FLOAT_KERNEL(3)
QN_FLOAT_KERNEL(4)
QN_FLOAT_KERNEL(5)
QN_FLOAT_KERNEL(6)
#if QN_FLOAT_M == 12
QN_FLOAT_KERNEL(7)
QN_FLOAT_KERNEL(8)
QN_FLOAT_KERNEL(9)
QN_FLOAT_KERNEL(10)
QN_FLOAT_KERNEL(11)
QN_FLOAT_KERNEL(12)
#define QN_FLOAT_HIGH_ROW(nt)                                                                      \
    , float_7x##nt, float_8x##nt, float_9x##nt, float_10x##nt, float_11x##nt, float_12x##nt
#else
#define QN_FLOAT_HIGH_ROW(nt)
#endif

static qn_float_panel_fn *const float_kernels[2][QN_FLOAT_M + 1] = {
    {QN_FLOAT_ROW(1) QN_FLOAT_HIGH_ROW(1)}, {QN_FLOAT_ROW(2) QN_FLOAT_HIGH_ROW(2)}};

/* Points the panel at p->k of nt tiles, of which `tile` is the first at its first k: floats as they
 * lie, halves converted into `panel`. */
QN_INLINE void float_panel_weights(const enum qn_pack form, const uint8_t *tile, size_t tile_size,
                                   int nt, float *panel, struct qn_float_panel *p) {
    if (form == QN_PACK_F32) {
        p->w = (const float *)tile;
        p->stride = tile_size / sizeof(float);
        return;
    }
    p->w = panel;
    p->stride = QN_FLOAT_K * QN_R;
    for (int t = 0; t < nt; t++) {
        const uint8_t *const src = tile + (size_t)t * tile_size;
        float *const dst = panel + (size_t)t * p->stride;
        for (int k = 0; k < p->k; k += 2) {
            f_store(dst + k * QN_R, float_unpack(form, src, k));
            f_store(dst + (k + 1) * QN_R, float_unpack(form, src, k + 1));
        }
    }
}

/* The panel at one place, multiplied with all rows. next: the place that follows. */
QN_INLINE void float_panel_at(const enum qn_pack form, const struct qn_panel_grid *g,
                              const struct qn_panel_place *at, const struct qn_panel_place *next) {
    const struct qn_matmul *const a = g->matmul;
    float *const sums =
        (float *)((char *)a->scratch + QN_PANEL_BYTES) + (size_t)(at->n - at->group) * (size_t)a->m;
    struct qn_float_panel p = {.k = at->k,
                               .x_ld = a->x_ld / sizeof(float),
                               .first = at->k0 == 0,
                               .last = at->k0 + at->k == g->k,
                               .matmul = a,
                               .n = at->n};
    float_panel_weights(form, panel_weights(g, at), g->tile_size, at->n_tiles, a->scratch, &p);
    const size_t passes = (size_t)((a->m + QN_FLOAT_M - 1) / QN_FLOAT_M);
    for (p.m = 0; p.m < a->m; p.m += QN_FLOAT_M) {
        fetch_panel_part(g, next, (size_t)(p.m / QN_FLOAT_M), passes);
        p.x = (const float *)a->x + (size_t)p.m * p.x_ld + at->k0;
        p.sums = sums + (size_t)p.m * 2 * QN_R;
        float_kernels[at->n_tiles - 1][a->m - p.m < QN_FLOAT_M ? a->m - p.m : QN_FLOAT_M](&p);
    }
}

QN_INLINE void float_matmul(const enum qn_pack form, const struct qn_matmul *a) {
    const int step = rows_a_pass(a, QN_FLOAT_M);
    for (int m = 0; m < a->m; m += step) {
        const struct qn_matmul part = some_rows(a, m, step);
        const struct qn_panel_grid grid = {.matmul = &part,
                                           .k = (a->k + 15) / 16 * 16,
                                           .panel_k = QN_FLOAT_K,
                                           .most = 2,
                                           .together = 2,
                                           .unit_k = 16,
                                           .unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R,
                                           .tile_size = qn_pack_form_tile_size(form, QN_R, a->k)};
        struct qn_panel_place at = first_panel(&grid);
        while (at.n < a->n1) {
            const struct qn_panel_place next = panel_after(&grid, &at);
            float_panel_at(form, &grid, &at, &next);
            at = next;
        }
    }
}

#define QN_FLOAT_MATMUL(name, form)                                                                \
    static void float_strip_##name(const struct qn_matmul *a, int n) {                             \
        float_some_rows(form, a, n);                                                               \
    }                                                                                              \
    void QN_KERNEL_NAME(matvec, name)(const struct qn_matmul *a) {                                 \
        check_matmul(a);                                                                           \
        float_row(form, a);                                                                        \
    }                                                                                              \
    void QN_KERNEL_NAME(matmul, name)(const struct qn_matmul *a) {                                 \
        check_matmul(a);                                                                           \
        if (a->m == 1)                                                                             \
            float_row(form, a);                                                                    \
        else if (a->m <= float_strips_at_most(a->amd))                                             \
            float_strips(a, float_strip_##name);                                                   \
        else                                                                                       \
            float_matmul(form, a);                                                                 \
    }

QN_FLOAT_MATMUL(f32, QN_PACK_F32)
QN_FLOAT_MATMUL(f16, QN_PACK_F16)
QN_FLOAT_MATMUL(bf16, QN_PACK_BF16)
