/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized matmuls by SMMLA, which multiplies two rows of activations by two of weights, 8 k at a
 * time. QN_PAIR_ROWS rows of activations are interleaved in the scratch; weights stay packed as
 * they are for SDOT, and their words are interleaved when they are unpacked: for few rows in
 * registers, for more to a panel that stays in the first level cache. A single row gains nothing
 * and is left to SDOT.
 */
#include "kernels/neon/pair_tile.h"

enum {
    PAIR_ROWS_MIN = 4,        /* fewer take as many instructions as with SDOT (bench/NOTES.md) */
    DIRECT_ROWS = 2 * PAIRS_M /* up to so many share a block that is unpacked in registers */
};

/* Rows [m, m + rows) of activations by all outputs. */
struct pair_job {
    const struct qn_matmul *matmul;
    int m, rows;
    int n_blocks;                /* of 32 k, whole units */
    const struct qn_act_pair *x; /* [(rows + 1) / 2][n_blocks] */
    int8_t *panel;               /* QN_PANEL_K of one tile of weights */
    float32x4_t *sums;           /* [(rows + 1) / 2][PAIRS_N], between two panels */
};

/* ---- few rows ---- */

/* The factors of each block of a unit, [blocks][pair_factor_count][R] (pair_tile.h). */
QN_INLINE void unit_factors(const enum qn_pack form, const struct qn_form_traits t,
                            const uint8_t *unit, float *factors) {
    const int count = pair_factor_count(t);
    if (!has_halves(t)) {
        unit_scales(form, unit, factors, factors + QN_R, (size_t)count * QN_R);
        return;
    }
    for (int b = 0; b < QN_UNIT_BLOCKS; b++, factors += count * QN_R) {
        f_store(factors, f_from_i(half_scale(form, unit, 2 * b)));
        f_store(factors + QN_R, f_from_i(half_scale(form, unit, 2 * b + 1)));
        f_store(factors + (count / 3 * 2) * QN_R, unit_d(form, unit));
        if (!t.mins) continue;
        f_store(factors + 2 * QN_R, f_from_i(half_min(unit, 2 * b)));
        f_store(factors + 3 * QN_R, f_from_i(half_min(unit, 2 * b + 1)));
        f_store(factors + 5 * QN_R, unit_dmin(unit));
    }
}

QN_INLINE void direct_unit(const enum qn_pack form, const struct qn_form_traits t,
                           const uint8_t *unit, const struct qn_act_pair *x, size_t x_ld,
                           float32x4_t (*y)[PAIRS_N], const int mp) {
    _Alignas(64) float factors[QN_UNIT_BLOCKS * 6 * QN_R];
    float32x4_t sum[PAIRS_M][PAIRS_N], min_sum[PAIRS_M][PAIRS_N];
    QN_UNROLL for (int m = 0; m < mp; m++) QN_UNROLL for (int n = 0; n < PAIRS_N; n++) sum[m][n] =
        min_sum[m][n] = vdupq_n_f32(0);
    unit_factors(form, t, unit, factors);
    QN_UNROLL for (int b = 0; b < qn_pack_unit_k(form) / 32; b++, x++) {
        lanes_i w[8];
        unpack_block(form, unit, b, w);
        const struct pair_weights weights = {NULL, w, factors + b * pair_factor_count(t) * QN_R};
        if (!has_halves(t)) {
            pair_tile_add(t, weights, x, x_ld, y, mp);
            continue;
        }
        pair_halves_add(t, weights, x, x_ld, sum, mp);
        if (t.mins) pair_half_mins_add(weights, x, x_ld, min_sum, mp);
        if (b == QN_UNIT_BLOCKS - 1) pair_halves_end(t, weights, sum, min_sum, y, mp);
    }
}

QN_INLINE void direct(const enum qn_pack form, const struct qn_form_traits t,
                      const struct pair_job *job, const int mp) {
    const struct qn_matmul *const a = job->matmul;
    const int unit_blocks = qn_pack_unit_k(form) / 32;
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const uint8_t *tile = (const uint8_t *)a->w + (size_t)(a->n0 / QN_R) * tile_size;
    for (int n = a->n0; n < a->n1; n += QN_R, tile += tile_size) {
        const uint8_t *unit = tile;
        float32x4_t y[PAIRS_M][PAIRS_N];
        QN_UNROLL for (int m = 0; m < mp; m++) QN_UNROLL for (int i = 0; i < PAIRS_N; i++) y[m][i] =
            vdupq_n_f32(0);
        for (int b = 0; b < job->n_blocks; b += unit_blocks, unit += unit_size) {
            prefetch_part(unit, unit_size, 0, 1, reading_of(form, 2, 1, false).l2, 2);
            direct_unit(form, t, unit, job->x + b, (size_t)job->n_blocks, y, mp);
        }
        for (int m = 0; m < mp; m++) pair_finish(a, job->m + 2 * m, job->rows - 2 * m, n, y[m]);
    }
}

/* ---- many rows ---- */

QN_INLINE void panel_store(const struct qn_form_traits t, const struct pair_weights w,
                           int8_t *panel) {
    QN_UNROLL for (int i = 0; i < 4 * PAIRS_N; i++)
        vst1q_s8(panel + 16 * i, pair_operand(w, i / PAIRS_N, i % PAIRS_N));
    float *const factors = (float *)(panel + 256);
    QN_UNROLL for (int i = 0; i < pair_factor_count(t); i++)
        QN_UNROLL for (int n = 0; n < PAIRS_N; n++)
            vst1q_f32(factors + (i * PAIRS_N + n) * 4, pair_factor(w, i, n));
}

/* Unpacks blocks of a tile from `unit` on. */
QN_INLINE void panel_unpack(const enum qn_pack form, const struct qn_form_traits t,
                            const uint8_t *unit, int n_blocks, int8_t *panel) {
    const int unit_blocks = qn_pack_unit_k(form) / 32;
    for (int b0 = 0; b0 < n_blocks; b0 += unit_blocks, unit += qn_pack_unit_bytes(form) * QN_R) {
        _Alignas(64) float factors[QN_UNIT_BLOCKS * 6 * QN_R];
        unit_factors(form, t, unit, factors);
        for (int b = 0; b < unit_blocks; b++, panel += pair_block_size(t)) {
            lanes_i w[8];
            unpack_block(form, unit, b, w);
            panel_store(t,
                        (struct pair_weights){NULL, w, factors + b * pair_factor_count(t) * QN_R},
                        panel);
        }
    }
}

/* A register tile over one panel. */
struct pair_panel {
    const int8_t *blocks;
    int n_blocks;
    const struct qn_act_pair *x; /* of the first pair at the panel's first block */
    size_t x_ld;                 /* blocks from pair to pair */
    float32x4_t *sums;           /* [mp][PAIRS_N]: so far, read unless `first` */
    bool first;                  /* of the panels over k */
};
typedef void pair_panel_fn(const struct pair_panel *p);

/* Adds a unit of a form with halves to y. */
QN_INLINE void panel_unit_halves(const struct qn_form_traits t, const int8_t *block,
                                 const struct qn_act_pair *x, size_t x_ld,
                                 float32x4_t (*y)[PAIRS_N], const int mp) {
    float32x4_t sum[PAIRS_M][PAIRS_N], min_sum[PAIRS_M][PAIRS_N];
    QN_UNROLL for (int m = 0; m < mp; m++) QN_UNROLL for (int n = 0; n < PAIRS_N; n++) sum[m][n] =
        min_sum[m][n] = vdupq_n_f32(0);
    const size_t size = pair_block_size(t);
    for (size_t b = 0; b < QN_UNIT_BLOCKS; b++)
        pair_halves_add(t, (struct pair_weights){.panel = block + b * size}, x + b, x_ld, sum, mp);
    for (size_t b = 0; t.mins && b < QN_UNIT_BLOCKS; b++)
        pair_half_mins_add((struct pair_weights){.panel = block + b * size}, x + b, x_ld, min_sum,
                           mp);
    pair_halves_end(t, (struct pair_weights){.panel = block}, sum, min_sum, y, mp);
}

QN_INLINE void panel_kernel(const struct qn_form_traits t, const struct pair_panel *p,
                            const int mp) {
    float32x4_t y[PAIRS_M][PAIRS_N];
    QN_UNROLL for (int m = 0; m < mp; m++) QN_UNROLL for (int n = 0; n < PAIRS_N; n++) y[m][n] =
        p->first ? vdupq_n_f32(0) : p->sums[m * PAIRS_N + n];
    const struct qn_act_pair *x = p->x;
    const int8_t *block = p->blocks;
    if (has_halves(t))
        for (int b = p->n_blocks; b > 0;
             b -= QN_UNIT_BLOCKS, x += QN_UNIT_BLOCKS, block += QN_UNIT_BLOCKS * pair_block_size(t))
            panel_unit_halves(t, block, x, p->x_ld, y, mp);
    else
        for (int b = p->n_blocks; b > 0; b--, x++, block += pair_block_size(t))
            pair_tile_add(t, (struct pair_weights){.panel = block}, x, p->x_ld, y, mp);
    QN_UNROLL for (int m = 0; m < mp; m++) QN_UNROLL for (int n = 0; n < PAIRS_N; n++)
        p->sums[m * PAIRS_N + n] = y[m][n];
}

#define PANEL_KERNELS(name, traits)                                                                \
    static void name##_1(const struct pair_panel *p) {                                             \
        panel_kernel(traits, p, 1);                                                                \
    }                                                                                              \
    static void name##_2(const struct pair_panel *p) {                                             \
        panel_kernel(traits, p, 2);                                                                \
    }                                                                                              \
    static void name##_3(const struct pair_panel *p) {                                             \
        panel_kernel(traits, p, 3);                                                                \
    }                                                                                              \
    static pair_panel_fn *const name[PAIRS_M + 1] = {NULL, name##_1, name##_2, name##_3};

/* What a bias needs is in the pairs of activations: one register tile for all sizes of quants. */
PANEL_KERNELS(panel_32, QN_TRAITS_8)
PANEL_KERNELS(panel_32_min, QN_TRAITS_4_MIN)
PANEL_KERNELS(panel_16, QN_TRAITS_8_HALF)
PANEL_KERNELS(panel_16_min, QN_TRAITS_2_MIN)

QN_INLINE void panels(const enum qn_pack form, const struct qn_form_traits t,
                      const struct pair_job *job, pair_panel_fn *const *kernels) {
    const struct qn_matmul *const a = job->matmul;
    const int pairs = (job->rows + 1) / 2, unit_blocks = qn_pack_unit_k(form) / 32;
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * QN_R;
    const size_t tile_size = qn_pack_form_tile_size(form, QN_R, a->k);
    const int panel_blocks = even_panels(job->n_blocks * 32, qn_pack_unit_k(form)) / 32;
    struct pair_panel p = {.blocks = job->panel, .x_ld = (size_t)job->n_blocks};
    for (int n = a->n0; n < a->n1; n += QN_R) {
        const uint8_t *const tile = (const uint8_t *)a->w + (size_t)(n / QN_R) * tile_size;
        for (int b = 0; b < job->n_blocks; b += panel_blocks) {
            const int left = job->n_blocks - b;
            p.n_blocks = left < panel_blocks ? left : panel_blocks;
            p.first = b == 0;
            panel_unpack(form, t, tile + (size_t)(b / unit_blocks) * unit_size, p.n_blocks,
                         job->panel);
            for (int pair = 0; pair < pairs; pair += PAIRS_M) {
                p.x = job->x + (size_t)pair * p.x_ld + b;
                p.sums = job->sums + pair * PAIRS_N;
                kernels[pairs - pair < PAIRS_M ? pairs - pair : PAIRS_M](&p);
            }
        }
        for (int pair = 0; pair < pairs; pair++)
            pair_finish(a, job->m + 2 * pair, job->rows - 2 * pair, n, job->sums + pair * PAIRS_N);
    }
}

/* ---- all ---- */

/* In scratch: the panel, sums, and pairs of activations. */
enum {
    PANEL_BYTES = QN_PANEL_K / 32 * (256 + 6 * 64),
    SUMS_BYTES = QN_PAIR_ROWS * QN_R * 4,
};
_Static_assert(PANEL_BYTES + SUMS_BYTES <= QN_PANEL_BYTES, "pairs follow them");

/* Rows [m, m + rows). */
QN_INLINE void pair_rows(const enum qn_pack form, const struct qn_form_traits t,
                         const struct qn_matmul *a, int m, int rows,
                         pair_panel_fn *const *kernels) {
    const int unit_k = qn_pack_unit_k(form);
    char *const scratch = a->scratch;
    struct qn_act_pair *const x = (void *)(scratch + QN_PANEL_BYTES);
    const struct pair_job job = {.matmul = a,
                                 .m = m,
                                 .rows = rows,
                                 .n_blocks = (a->k + unit_k - 1) / unit_k * unit_k / 32,
                                 .x = x,
                                 .panel = (int8_t *)scratch,
                                 .sums = (float32x4_t *)(scratch + PANEL_BYTES)};
    act_pairs_load(t, a, m, rows, job.n_blocks, x);
    if (rows > DIRECT_ROWS)
        panels(form, t, &job, kernels);
    else if (rows > 4)
        direct(form, t, &job, 3);
    else
        direct(form, t, &job, 2);
}

/* Fewer than PAIR_ROWS_MIN rows from m on. */
static void left_rows(const struct qn_matmul *a, int m, qn_matmul_fn *dotprod) {
    const struct qn_matmul left = some_rows(a, m, a->m);
    dotprod(&left);
}

#define PAIR_MATMUL(name, form, traits, kernels)                                                   \
    qn_matmul_fn qn_matmul_##name##__dotprod;                                                      \
    void qn_matmul_##name##__i8mm(const struct qn_matmul *a) {                                     \
        check_matmul(a);                                                                           \
        for (int m = 0; m < a->m; m += QN_PAIR_ROWS) {                                             \
            const int rows = a->m - m < QN_PAIR_ROWS ? a->m - m : QN_PAIR_ROWS;                    \
            if (rows >= PAIR_ROWS_MIN)                                                             \
                pair_rows(form, traits, a, m, rows, kernels);                                      \
            else                                                                                   \
                left_rows(a, m, qn_matmul_##name##__dotprod);                                      \
        }                                                                                          \
    }

PAIR_MATMUL(q8_0, QN_PACK_Q8_0, QN_TRAITS_8, panel_32)
PAIR_MATMUL(q4_0, QN_PACK_Q4_0, QN_TRAITS_4, panel_32)
PAIR_MATMUL(q4_1, QN_PACK_Q4_1, QN_TRAITS_4_MIN, panel_32_min)
PAIR_MATMUL(q5_0, QN_PACK_Q5_0, QN_TRAITS_5, panel_32)
PAIR_MATMUL(q5_1, QN_PACK_Q5_1, QN_TRAITS_5_MIN, panel_32_min)
PAIR_MATMUL(iq4_nl, QN_PACK_IQ4_NL, QN_TRAITS_8, panel_32)
PAIR_MATMUL(q2_k, QN_PACK_Q2_K, QN_TRAITS_2_MIN, panel_16_min)
PAIR_MATMUL(q3_k, QN_PACK_Q3_K, QN_TRAITS_3, panel_16)
PAIR_MATMUL(q4_k, QN_PACK_Q4_K, QN_TRAITS_4_MIN, panel_32_min)
PAIR_MATMUL(q5_k, QN_PACK_Q5_K, QN_TRAITS_5_MIN, panel_32_min)
PAIR_MATMUL(q6_k, QN_PACK_Q6_K, QN_TRAITS_6, panel_16)
PAIR_MATMUL(iq4_xs, QN_PACK_IQ4_XS, QN_TRAITS_8, panel_32)
