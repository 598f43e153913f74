/* SPDX-License-Identifier: Apache-2.0
 *
 * Products with the integer tile unit as one run of steps: of a group of QN_GROUP_ROWS outputs and
 * one part of k (panel_order.h), 16 rows of activations pass by all tiles of weights, which come
 * from the second level cache, block after block. The tile unit is some steps ahead of the vector
 * unit, and the next 16 rows are fetched on the way.
 */
#ifndef QN_KERNELS_AMX_TILE_STEPS_H
#define QN_KERNELS_AMX_TILE_STEPS_H

#include "kernels/amx/int8_tiles.h"
#include "kernels/amx/tile_weights.h"
#include "kernels/tiles/panel_order.h"

enum {
    DOTS_SIZE = TILE_DOTS * 4,

    /* Steps that the tile unit is ahead, and those whose dots are kept. */
    AHEAD = 3,
    RING = 4,

    /* Blocks of one part of k, at most QN_PANEL_K / 32, rounded up so that rows are whole lines. */
    FACTORS = 32
};
_Static_assert(FACTORS >= QN_PANEL_K / 32 + 2, "they are gathered by fours");

/* The factors of 16 rows of activations over one part of k, gathered: [16][FACTORS] each. */
struct row_factors {
    float *scale;
    float *scale_sum;  /* of forms with a min for each block */
    int32_t *neg_sums; /* of forms with a min for each half: pairs of 16 bits */
};

/* 16 rows of activations by the weights of a group of outputs, over one part of k. */
struct tile_pass {
    const struct qn_matmul *matmul;
    int m, n;         /* row and output of the result's corner */
    int b0, n_blocks; /* of k */
    int n_tiles;      /* of weights */
    const uint8_t *w; /* [n_tiles][n_blocks] blocks (tile_weights.h) */
    float *sums;      /* [n_tiles][16][R]: so far, read unless `first` */
    bool first, last; /* of the parts of k; the last finishes into y */
    struct row_factors factors;
};

QN_INLINE struct qn_act_at row_at(const struct tile_pass *p, int m) {
    return qn_act_at((const char *)p->matmul->x + (size_t)m * p->matmul->x_ld, p->matmul->k, p->b0);
}

/* Member i of each of four structures of four words. */
QN_INLINE void gather_member(const void *from, const int i, void *to) {
    const __m512i member = _mm512_maskz_compress_epi32((__mmask16)(0x1111 << i), i_load(from));
    _mm_store_si128((__m128i *)to, _mm512_castsi512_si128(member));
}
_Static_assert(sizeof(struct qn_act_block) == 16 && offsetof(struct qn_act_block, scale) == 0 &&
                   offsetof(struct qn_act_block, scale_sum) == 8 &&
                   sizeof(struct qn_act_halves) == 16 &&
                   offsetof(struct qn_act_halves, neg_sums) == 8,
               "members 0 and 2");

/* The factors of the pass's rows. */
QN_INLINE void gather_rows(const struct qn_form_traits t, const struct tile_pass *p) {
    for (int m = 0; m < TILE_M; m++) {
        const struct qn_act_at x = row_at(p, p->m + m);
        const char *const halves = (const char *)qn_act_halves(x);
        for (int b = 0; b < p->n_blocks; b += 4) {
            const int at = m * FACTORS + b;
            gather_member(x.block + b, 0, p->factors.scale + at);
            if (!t.mins) continue;
            if (has_halves(t))
                gather_member(halves + b * 16, 2, p->factors.neg_sums + at);
            else
                gather_member(x.block + b, 2, p->factors.scale_sum + at);
        }
    }
}

/* ---- steps: one block of one tile of weights --------------------------------------------- */

/* Where the two units are. */
struct steps {
    char *dots;       /* [RING][parts][16][16] */
    size_t at;        /* bytes there, of the vector unit's step */
    const uint8_t *w; /* of the tile unit's step: weights and activations */
    const int8_t *q, *q_first, *q_end;
    size_t x_ld;
    int left;                        /* steps of the tile unit */
    const char *next_q, *next_block; /* of a row of activations to fetch, with the one behind it */
};

/* Fetches the part of two rows that two steps read, a little at a time: requests of many lines at
 * once would keep the tile unit's loads waiting. */
QN_INLINE void fetch_rows(struct steps *s, bool odd) {
    __builtin_prefetch(s->next_q, 0, 3);
    __builtin_prefetch(s->next_q + s->x_ld, 0, 3);
    __builtin_prefetch(s->next_block + (odd ? s->x_ld : 0), 0, 3);
    s->next_q += 64;
    s->next_block += 2 * sizeof(struct qn_act_block);
}

/* The dots of the tile unit's step into tile registers, and from there to memory. */
QN_INLINE void start_dots(const struct steps *s, const int parts, const int odd) {
    _tile_loadd(ACTIVATIONS, s->q, s->x_ld);
    _tile_loadd(WEIGHTS_0, s->w, QN_VEC);
    if (parts == 2) _tile_loadd(WEIGHTS_1, s->w + TILE_Q, QN_VEC);
    if (odd) {
        _tile_zero(DOTS_2);
        _tile_dpbssd(DOTS_2, ACTIVATIONS, WEIGHTS_0);
        if (parts == 1) return;
        _tile_zero(DOTS_3);
        _tile_dpbssd(DOTS_3, ACTIVATIONS, WEIGHTS_1);
    } else {
        _tile_zero(DOTS_0);
        _tile_dpbssd(DOTS_0, ACTIVATIONS, WEIGHTS_0);
        if (parts == 1) return;
        _tile_zero(DOTS_1);
        _tile_dpbssd(DOTS_1, ACTIVATIONS, WEIGHTS_1);
    }
}
QN_INLINE void store_dots(char *dots, const int parts, const int odd) {
    if (odd) {
        _tile_stored(DOTS_2, dots, QN_VEC);
        if (parts == 2) _tile_stored(DOTS_3, dots + DOTS_SIZE, QN_VEC);
    } else {
        _tile_stored(DOTS_0, dots, QN_VEC);
        if (parts == 2) _tile_stored(DOTS_1, dots + DOTS_SIZE, QN_VEC);
    }
}

/* Tile after tile of weights, block after block. */
QN_INLINE void step_on(const struct qn_form_traits t, struct steps *s) {
    s->left--;
    s->w += tile_block_size(t);
    s->q = s->q + 32 == s->q_end ? s->q_first : s->q + 32;
}

QN_INLINE struct steps steps_start(const struct qn_form_traits t, const struct tile_pass *p,
                                   char *dots) {
    const struct qn_act_at x = row_at(p, p->m);
    struct steps s = {.dots = dots,
                      .w = p->w,
                      .q = x.q,
                      .q_first = x.q,
                      .q_end = x.q + p->n_blocks * 32,
                      .x_ld = p->matmul->x_ld,
                      .left = p->n_tiles * p->n_blocks};
    for (int i = 0; i < AHEAD && s.left > 0; i++) {
        start_dots(&s, tile_parts(t), i % 2);
        store_dots(dots + i * tile_parts(t) * DOTS_SIZE, tile_parts(t), i % 2);
        step_on(t, &s);
    }
    return s;
}

/* The dots of row m as floats: exact, |64 high + low| <= 2 * 16 * 127 * 4096 < 2^24. */
QN_INLINE lanes_f dots_of(const int parts, const char *dots, int m) {
    const lanes_f dot = f_from_i(i_load(dots + m * QN_VEC));
    if (parts == 1) return dot;
    return f_fma(dot, f_set1(64), f_from_i(i_load(dots + DOTS_SIZE + m * QN_VEC)));
}

/* Adds one block's dots to y, or to a unit's sums. w, f: the block's. */
QN_INLINE void add_dots(const struct qn_form_traits t, const char *dots, const uint8_t *w,
                        const struct row_factors *f, lanes_f y[TILE_M]) {
    const float *const scale = (const float *)(w + tile_parts(t) * TILE_Q);
    QN_UNROLL for (int m = 0; m < TILE_M; m++) {
        const lanes_f dot = dots_of(tile_parts(t), dots, m),
                      x_scale = f_set1(f->scale[m * FACTORS]);
        if (has_halves(t)) {
            y[m] = f_fma(dot, x_scale, y[m]);
            continue;
        }
        /* The same number as fma(QN_ACT_ZERO + dot, scale, zero): the product rounded once. */
        y[m] = f_fma(f_mul(dot, x_scale), f_load(scale), y[m]);
        if (t.mins) y[m] = f_fma(f_set1(f->scale_sum[m * FACTORS]), f_load(scale + QN_R), y[m]);
    }
}

/* Adds n blocks, an even number. w, f: the first one's. */
QN_INLINE void add_blocks(const struct qn_form_traits t, struct steps *s, int n, const uint8_t *w,
                          struct row_factors f, lanes_f y[TILE_M]) {
    const int parts = tile_parts(t);
    const size_t size = (size_t)parts * DOTS_SIZE;
    for (; n > 0; n -= 2) {
        fetch_rows(s, n % 4 == 0);
        QN_UNROLL for (int i = 0; i < 2; i++) {
            const bool ahead = s->left > 0;
            if (ahead) start_dots(s, parts, (i + AHEAD) % 2);
            add_dots(t, s->dots + s->at, w, &f, y);
            if (ahead)
                store_dots(s->dots + (s->at + AHEAD * size) % (RING * size), parts,
                           (i + AHEAD) % 2);
            step_on(t, s);
            s->at = (s->at + size) % (RING * size);
            w += tile_block_size(t);
            f.scale++;
            f.scale_sum++;
        }
    }
}

/* ---- tiles and groups --------------------------------------------------------------------- */

/* Sums of 16 rows to where they wait, or with the last part of k to the result. */
QN_INLINE void finish_rows(const struct tile_pass *p, int n, float *sums, bool last,
                           const lanes_f y[TILE_M]) {
    QN_UNROLL for (int m = 0; m < TILE_M; m++) {
        if (last)
            finish_tile(p->matmul, p->m + m, p->n + n * QN_R, y[m]);
        else
            f_store(sums + m * QN_R, y[m]);
    }
}

/* Stores that wait for their lines would fill the store queue, which the tile unit needs. */
QN_INLINE void fetch_result(const struct tile_pass *p, int n) {
    QN_UNROLL for (int m = 0; m < TILE_M; m++)
        __builtin_prefetch(result_tile(p->matmul, p->m + m, p->n + n * QN_R), 1, 3);
}

QN_INLINE void load_rows(const float *sums, bool first, lanes_f y[TILE_M]) {
    QN_UNROLL for (int m = 0; m < TILE_M; m++) y[m] = first ? f_zero() : f_load(sums + m * QN_R);
}

/* The sums of a unit's mins, onto y. w, f: of the unit's first block; dmin: of its last one. */
QN_INLINE void add_mins(const struct qn_form_traits t, const uint8_t *w, struct row_factors f,
                        lanes_f dmin, lanes_f y[TILE_M]) {
    lanes_f sum[TILE_M];
    QN_UNROLL for (int m = 0; m < TILE_M; m++) sum[m] = f_zero();
    for (int b = 0; b < QN_UNIT_BLOCKS; b++, w += tile_block_size(t)) {
        const lanes_i mins = i_load(w + TILE_Q);
        QN_UNROLL for (int m = 0; m < TILE_M; m++) {
            const lanes_i dot = i_dot16(mins, i_set1(f.neg_sums[m * FACTORS + b]));
            sum[m] = f_fma(f_from_i(dot), f_set1(f.scale[m * FACTORS + b]), sum[m]);
        }
    }
    QN_UNROLL for (int m = 0; m < TILE_M; m++) y[m] = f_fma(sum[m], dmin, y[m]);
}

/* One tile of weights whose sums begin anew each unit. */
QN_INLINE void pass_units(const struct qn_form_traits t, const struct tile_pass *p, struct steps *s,
                          int n, const uint8_t *w, float *sums) {
    const size_t unit_size = QN_UNIT_BLOCKS * tile_block_size(t);
    struct row_factors f = p->factors;
    for (int b = 0; b < p->n_blocks; b += QN_UNIT_BLOCKS, w += unit_size) {
        lanes_f y[TILE_M], sum[TILE_M];
        QN_UNROLL for (int m = 0; m < TILE_M; m++) sum[m] = f_zero();
        add_blocks(t, s, QN_UNIT_BLOCKS, w, f, sum);
        const float *const d = (const float *)(w + unit_size) - (t.mins ? 2 : 1) * QN_R;
        load_rows(sums, p->first && b == 0, y);
        QN_UNROLL for (int m = 0; m < TILE_M; m++) y[m] = f_fma(sum[m], f_load(d), y[m]);
        if (t.mins) add_mins(t, w, f, f_load(d + QN_R), y);
        finish_rows(p, n, sums, p->last && b + QN_UNIT_BLOCKS == p->n_blocks, y);
        f.scale += QN_UNIT_BLOCKS;
        f.neg_sums += QN_UNIT_BLOCKS;
    }
}

QN_INLINE void pass_rows(const struct qn_form_traits t, const struct tile_pass *p) {
    _Alignas(64) char dots[RING * 2 * DOTS_SIZE];
    TILE_FENCE();
    struct steps s = steps_start(t, p, dots);
    for (int n = 0; n < p->n_tiles; n++) {
        const uint8_t *const w = p->w + (size_t)(n * p->n_blocks) * tile_block_size(t);
        float *const sums = p->sums + n * TILE_M * QN_R;
        const struct qn_act_at next = row_at(p, p->m + TILE_M + n * TILE_M * QN_R / QN_GROUP_ROWS);
        if (p->last) fetch_result(p, n);
        s.next_q = (const char *)next.q;
        s.next_block = (const char *)next.block;
        if (has_halves(t)) {
            pass_units(t, p, &s, n, w, sums);
            continue;
        }
        lanes_f y[TILE_M];
        load_rows(sums, p->first, y);
        add_blocks(t, &s, p->n_blocks, w, p->factors, y);
        finish_rows(p, n, sums, p->last, y);
    }
}

/* The weights at one place, unpacked, with all rows. next: the place that follows. */
QN_INLINE void pass_group(const enum qn_pack form, const struct qn_form_traits t,
                          const struct qn_panel_grid *g, const struct qn_panel_place *at,
                          const struct qn_panel_place *next) {
    _Alignas(64) float scale[TILE_M * FACTORS], sum[TILE_M * FACTORS];
    const struct qn_matmul *const a = g->matmul;
    const size_t tile_size = (size_t)(at->k / 32) * tile_block_size(t);
    assert(tile_size <= (size_t)at->k * QN_R * QN_TILE_BYTES_K);
    float *const sums = (float *)a->scratch + (size_t)(at->n - at->group) * (size_t)a->m;
    uint8_t *const w = (uint8_t *)((float *)a->scratch + (size_t)a->m * QN_GROUP_ROWS);
    for (int i = 0; i < at->n_tiles; i++)
        tile_unpack(form, t, panel_weights(g, at) + (size_t)i * g->tile_size, at->k / 32,
                    w + (size_t)i * tile_size);
    struct tile_pass p = {.matmul = a,
                          .n = at->n,
                          .b0 = at->k0 / 32,
                          .n_blocks = at->k / 32,
                          .n_tiles = at->n_tiles,
                          .w = w,
                          .first = at->k0 == 0,
                          .last = at->k0 + at->k == g->k,
                          .factors = {scale, sum, (int32_t *)sum}};
    for (p.m = 0; p.m < a->m; p.m += TILE_M) {
        fetch_panel_part(g, next, (size_t)(p.m / TILE_M), (size_t)(a->m / TILE_M));
        p.sums = sums + (size_t)p.m * (size_t)at->n_tiles * QN_R;
        gather_rows(t, &p);
        pass_rows(t, &p);
    }
}

/* All rows, which fill tiles, by all outputs. */
QN_INLINE void tile_steps(const enum qn_pack form, const struct qn_form_traits t,
                          const struct qn_matmul *a) {
    const int step = rows_a_pass(a, TILE_M);
    for (int m = 0; m < a->m; m += step) {
        const struct qn_matmul part = some_rows(a, m, step);
        struct qn_panel_grid grid = panel_grid(form, &part);
        grid.most = QN_GROUP_ROWS / QN_R;
        grid.together = 1;
        struct qn_panel_place at = first_panel(&grid);
        while (at.n < a->n1) {
            const struct qn_panel_place next = panel_after(&grid, &at);
            pass_group(form, t, &grid, &at, &next);
            at = next;
        }
    }
}

#endif
