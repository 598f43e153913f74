/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of matmul and matvec. What is expected comes from the stored weights, dequantized by
 * qn_type_to_float, times the prepared activations, summed in double: it owes nothing to the
 * packed layouts, so packers, reference and fast kernels are all judged by it.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_check.h"
#include "kernels/pack.h"
#include "kernels/tiles/panel_size.h"

/* ---- problems ---- */

/* One product: stored weights [n][k], activations [m][k], and what comes of them. */
struct problem {
    enum qn_type type;
    enum qn_input input;
    uint64_t seed;
    int m, n, k;
    char *stored;             /* [n] rows */
    char *rows[QN_ACT_COUNT]; /* [m] rows in each form that some kernel takes, else NULL */
    double *activations;      /* [m][k], as stored in the rows */
    double *expected;         /* [m][n] */
    double *terms;            /* [m][n], sum of magnitudes of the terms that are added */
    double *products;         /* [m][n], sum of magnitudes of the products and mins of single k */
    float *bias;              /* [n] */
    float *first;             /* [m][n], what the first fast kernel gave; a NaN at first */
    float *old;               /* [m][n] */
};

static void *allocate(size_t n, size_t size) {
    void *const p = calloc(n, size);
    if (!p) abort();
    return p;
}

/* A NaN that no kernel makes: where it stands after a call, nothing was written. */
static const uint32_t untouched_bits = 0x7fa5a5a5;

static void fill_untouched(float *y, size_t n) {
    for (size_t i = 0; i < n; i++) memcpy(y + i, &untouched_bits, sizeof *y);
}

static bool is_untouched(const float *y, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(y + i, &untouched_bits, sizeof *y) != 0) return false;
    return true;
}

static enum qn_pack form_of(const struct problem *p) {
    return qn_type_infos[p->type].pack;
}

/* Weights whose products are summed exactly: the terms of a quantized sum are these. */
static int block_of(enum qn_pack form) {
    if (form == QN_PACK_I16 || form == QN_PACK_Q6_I16) return QN_I16_BLOCK;
    return qn_pack_is_float(form) ? 1 : 32;
}

/* Largest error of an element, from S = the sum of the magnitudes of its terms.
 * Float forms: k products and sums, each off by u of at most S: (k + 2) u S. With BF16
 *   instructions the activation is rounded to 8 bits first, 2^-8 of every term. With BF16 tiles
 *   it is the sum of two parts, off by 2^-17; adding the products of all parts is three more sums,
 *   and each may be flushed.
 * Quantized: integer dots, their conversion to float (below 2^24; of I16, rounded once) and a
 *   weight's scale are exact.
 *   A term is rounded once when multiplied with the activation's scale, and scale_sum was rounded
 *   once; each block adds one fused rounding, two with mins: (blocks (1 + mins) + 3) u S. Where
 *   units of 8 blocks are summed apart (Q2_K, Q3_K, Q6_K), a term is in 8 roundings of its unit and
 *   one, or two, of each unit, which is less.
 * Terms below the normal numbers may be flushed, each FLT_MIN at the most; an expectation rounded
 * to float and back does not enter, because it stays double. */
static double error_bound(const struct problem *p, enum qn_isa isa, double terms) {
    const enum qn_pack form = form_of(p);
    const int blocks = (p->k + block_of(form) - 1) / block_of(form);
    const int roundings = blocks * (qn_type_infos[p->type].min_at >= 0 ? 2 : 1) + 3;
    const bool bf16 = form == QN_PACK_BF16 && isa == QN_ISA_AVX512BF16;
    const bool tiles = isa == QN_ISA_AMXBF16 && (form == QN_PACK_BF16 || form == QN_PACK_F16);
    if (tiles)
        return terms * ((roundings + 3) * QN_U + 0x1p-17) + 4 * (roundings + 1) * (double)FLT_MIN;
    return terms * (roundings * QN_U + (bf16 ? 0x1p-8 : 0)) + (roundings + 1) * (double)FLT_MIN;
}

/* Where quantized weights and activations are rounded to bf16, 2^-8 each, products are the terms:
 * (2^-7 + 2^-16) of their magnitudes, and the sums of k of them. */
static double fast_bound(const struct problem *p, double products) {
    return products * (0x1p-7 + 0x1p-16 + (p->k + 5) * QN_U) + 4 * (p->k + 1) * (double)FLT_MIN;
}

/* The activations as the kernels see them, but for those that split floats. */
static void load_activations(struct problem *p) {
    const enum qn_act act = qn_pack_act(form_of(p), 1u << QN_ISA_REF);
    for (int m = 0; m < p->m; m++) {
        const char *const row = p->rows[act] + (size_t)m * qn_act_row_size(act, p->k);
        double *const x = p->activations + (size_t)m * (size_t)p->k;
        for (int k = 0; k < p->k; k++) {
            if (act == QN_ACT_I16) {
                const double q = ((const int16_t *)(const void *)row)[k];
                x[k] = (double)qn_i16_scales(row, p->k)[k / QN_I16_BLOCK] * q;
                continue;
            }
            const struct qn_act_at at = qn_act_at(row, p->k, k / 32);
            x[k] = act == QN_ACT_F32 ? (double)((const float *)row)[k]
                                     : (double)at.block->scale * at.q[k % 32];
        }
    }
}

/* Adds weights [k] times x [k] to the sum, block by block, and magnitudes of the blocks' sums. */
static void add_terms(const float *weights, const double *x, int k, int block, double *sum,
                      double *terms, double *products) {
    for (int i = 0; i < k; i += block) {
        double dot = 0;
        for (int j = i; j < i + block; j++) {
            dot += (double)weights[j] * x[j];
            *products += fabs((double)weights[j] * x[j]);
        }
        *sum += dot;
        *terms += fabs(dot);
    }
}

/* Row n of the weights in two parts that are exact in float: products, and mins. */
static void expect_row(struct problem *p, int n, float *products, float *mins, char *part) {
    const size_t size = qn_type_row_size(p->type, (size_t)p->k);
    const char *const row = p->stored + (size_t)n * size;
    const int block = block_of(form_of(p));
    const bool has_min = qn_type_infos[p->type].min_at >= 0;
    memcpy(part, row, size);
    qn_stored_clear(p->type, QN_PART_MIN, part, (size_t)p->k);
    qn_type_to_float(p->type, part, products, (size_t)p->k);
    if (has_min) {
        memcpy(part, row, size);
        qn_stored_clear(p->type, QN_PART_SCALE, part, (size_t)p->k);
        qn_type_to_float(p->type, part, mins, (size_t)p->k);
    }
    for (int m = 0; m < p->m; m++) {
        const size_t at = (size_t)m * (size_t)p->n + (size_t)n;
        const double *const x = p->activations + (size_t)m * (size_t)p->k;
        add_terms(products, x, p->k, block, p->expected + at, p->terms + at, p->products + at);
        if (has_min)
            add_terms(mins, x, p->k, block, p->expected + at, p->terms + at, p->products + at);
    }
}

/* Rows of bf16 from what int8 keeps of the activations, so that one expectation serves all. */
static void round_activations(struct problem *p, const struct qn_kernels *ref, float *x) {
    const size_t row_size = qn_act_row_size(QN_ACT_BF16, p->k);
    for (int m = 0; m < p->m; m++) {
        for (int k = 0; k < p->k; k++)
            x[k] = (float)p->activations[(size_t)m * (size_t)p->k + (size_t)k];
        ref->prepare[QN_ACT_BF16](x, p->k, p->rows[QN_ACT_BF16] + (size_t)m * row_size);
    }
}

static void problem_open(struct problem *p, const struct qn_kernels *ref) {
    const size_t stored_size = qn_type_row_size(p->type, (size_t)p->k);
    const size_t outputs = (size_t)p->m * (size_t)p->n;
    struct qn_random r = qn_random_open(p->seed);
    p->stored = allocate((size_t)p->n, stored_size);
    for (int isa = 0; isa < QN_ISA_COUNT; isa++) {
        const enum qn_act act = qn_pack_act_many(form_of(p), qn_isa_mask((enum qn_isa)isa));
        if (p->rows[act]) continue;
        p->rows[act] = aligned_alloc(64, (size_t)p->m * qn_act_row_size(act, p->k));
        if (!p->rows[act]) abort();
    }
    p->activations = allocate((size_t)p->m * (size_t)p->k, sizeof *p->activations);
    p->expected = allocate(outputs, sizeof *p->expected);
    p->terms = allocate(outputs, sizeof *p->terms);
    p->products = allocate(outputs, sizeof *p->products);
    p->bias = allocate((size_t)p->n, sizeof *p->bias);
    p->old = allocate(outputs, sizeof *p->old);
    p->first = allocate(outputs, sizeof *p->first);
    fill_untouched(p->first, outputs);
    float *const x = allocate((size_t)p->k, 2 * sizeof *x);
    qn_input_fill(QN_INPUT_RANDOM, &r, p->bias, (size_t)p->n);
    qn_input_fill(QN_INPUT_RANDOM, &r, p->old, outputs);
    for (int n = 0; n < p->n; n++)
        qn_stored_fill(p->type, p->input, &r, p->stored + (size_t)n * stored_size, (size_t)p->k);
    for (int m = 0; m < p->m; m++) {
        qn_input_fill(p->input, &r, x, (size_t)p->k);
        for (int act = 0; act < QN_ACT_COUNT; act++)
            if (p->rows[act])
                ref->prepare[act](x, p->k, p->rows[act] + (size_t)m * qn_act_row_size(act, p->k));
    }
    load_activations(p);
    if (p->rows[QN_ACT_BF16] && !qn_pack_is_float(form_of(p))) round_activations(p, ref, x);
    char *const part = allocate(1, stored_size);
    for (int n = 0; n < p->n; n++) expect_row(p, n, x, x + p->k, part);
    free(part);
    free(x);
}

static void problem_close(struct problem *p) {
    free(p->stored);
    for (int act = 0; act < QN_ACT_COUNT; act++) free(p->rows[act]);
    free(p->activations);
    free(p->expected);
    free(p->terms);
    free(p->products);
    free(p->bias);
    free(p->old);
    free(p->first);
}

/* ---- running a kernel ---- */

/* Operands in guarded memory, for one height of tiles. */
struct operands {
    struct qn_guarded w, x, scratch, bias, y;
    int tile_rows; /* that w is packed for */
};

static void place_weights(struct operands *o, const struct problem *p, int tile_rows,
                          enum qn_side side) {
    const size_t tiles = (size_t)((p->n + tile_rows - 1) / tile_rows);
    char *const w =
        qn_guarded_place(&o->w, tiles * qn_pack_tile_size(p->type, tile_rows, p->k), side);
    memset(w, 0xff, o->w.size);
    qn_pack_rows(p->type, tile_rows, p->k, p->stored, qn_type_row_size(p->type, (size_t)p->k), p->n,
                 0, p->n, w);
    o->tile_rows = tile_rows;
}

/* Rows at a stride that is sometimes wider than a row; the last one ends at the guard. */
static struct qn_matmul place_operands(struct operands *o, const struct problem *p, enum qn_act act,
                                       enum qn_side side) {
    struct qn_random r = qn_random_open(p->seed);
    const size_t row_size = qn_act_row_size(act, p->k);
    const size_t x_ld = row_size + 64 * (size_t)qn_random_below(&r, 2);
    const size_t y_ld = (size_t)(p->n + qn_random_below(&r, 2) * 3);
    const size_t last = (size_t)p->m - 1;
    char *const x = qn_guarded_place(&o->x, last * x_ld + row_size, side);
    memset(x, 0xff, o->x.size);
    for (size_t m = 0; m <= last; m++) memcpy(x + m * x_ld, p->rows[act] + m * row_size, row_size);
    float *const bias = qn_guarded_place(&o->bias, (size_t)p->n * sizeof *bias, side);
    memcpy(bias, p->bias, o->bias.size);
    const size_t scratch = (qn_matmul_scratch_size(p->m, p->k) + 63) / 64 * 64;
    memset(qn_guarded_place(&o->scratch, scratch, side), 0xff, scratch);
    return (struct qn_matmul){
        .w = o->w.data,
        .x = x,
        .x_ld = x_ld,
        .y = qn_guarded_place(&o->y, (last * y_ld + (size_t)p->n) * sizeof(float), side),
        .y_ld = y_ld,
        .scratch = o->scratch.data,
        .m = p->m,
        .k = p->k,
        .n0 = 0,
        .n1 = p->n,
    };
}

static size_t y_count(const struct qn_matmul *a, const struct problem *p) {
    return ((size_t)a->m - 1) * a->y_ld + (size_t)p->n;
}

static void check_gaps(struct check *c, const struct qn_matmul *a, int n) {
    for (int m = 0; m + 1 < a->m; m++)
        check_true(c, is_untouched(a->y + (size_t)m * a->y_ld + n, a->y_ld - (size_t)n),
                   "wrote between the rows of y");
}

static void check_memory(struct check *c, const struct operands *o) {
    check_true(c, qn_guarded_intact(&o->y), "wrote outside y");
    check_true(c, qn_guarded_intact(&o->scratch), "wrote outside its scratch");
}

static void check_values(struct check *c, const struct check_kernel *kernel,
                         const struct problem *p, const struct qn_matmul *a) {
    struct qn_worst worst = {0};
    for (int m = 0; m < p->m; m++)
        for (int n = 0; n < p->n; n++) {
            const size_t at = (size_t)m * (size_t)p->n + (size_t)n;
            const double found = (double)a->y[(size_t)m * a->y_ld + (size_t)n];
            const double bound = kernel->isa == QN_ISA_AMXFAST
                                     ? fast_bound(p, p->products[at])
                                     : error_bound(p, kernel->isa, p->terms[at]);
            qn_compare_one(&worst, at, found, p->expected[at], bound);
        }
    check_bound(c, &worst);
}

/* The order of a quantized sum is fixed (kernels.h), so all instruction sets but the reference,
 * which sums in double, give the same bits. */
static void check_same_as_first(struct check *c, enum qn_isa isa, const struct problem *p,
                                const struct qn_matmul *a) {
    const size_t n = (size_t)p->n;
    if (isa == QN_ISA_REF || isa == QN_ISA_AMXFAST || qn_pack_is_float(form_of(p))) return;
    const bool is_first = is_untouched(p->first, n);
    for (size_t m = 0; m < (size_t)p->m; m++) {
        if (is_first)
            memcpy(p->first + m * n, a->y + m * a->y_ld, n * sizeof(float));
        else
            check_same_bits(c, a->y + m * a->y_ld, p->first + m * n, n,
                            "against another instruction set");
    }
}

/* Again with a bias, and on top of old values: exactly two more float additions. */
static void check_epilogue(struct check *c, qn_matmul_fn *run, const struct problem *p,
                           struct qn_matmul a, const float *bias, const float *plain) {
    a.bias = bias;
    a.accumulate = p->seed & 1;
    a.amd = p->seed >> 1 & 1; /* changes no bits */
    float *const expected = allocate((size_t)p->n, sizeof *expected);
    for (int m = 0; m < p->m; m++)
        memcpy(a.y + (size_t)m * a.y_ld, p->old + (size_t)m * (size_t)p->n,
               (size_t)p->n * sizeof(float));
    run(&a);
    for (int m = 0; m < p->m; m++) {
        for (int n = 0; n < p->n; n++) {
            expected[n] = plain[(size_t)m * a.y_ld + (size_t)n] + bias[n];
            if (a.accumulate) expected[n] += p->old[(size_t)m * (size_t)p->n + (size_t)n];
        }
        check_same_bits(c, a.y + (size_t)m * a.y_ld, expected, (size_t)p->n,
                        a.accumulate ? "bias and old values" : "bias");
    }
    free(expected);
}

/* The upper rows first and alone, then the lower ones: the same bits as both at once. */
static void check_split(struct check *c, qn_matmul_fn *run, const struct problem *p,
                        struct qn_matmul a, int tile_rows, const float *plain) {
    const size_t count = y_count(&a, p);
    const int tiles = (p->n + tile_rows - 1) / tile_rows;
    if (tiles < 2) return;
    const int cut = (1 + (int)(p->seed % (uint64_t)(tiles - 1))) * tile_rows;
    fill_untouched(a.y, count);
    a.n0 = cut;
    run(&a);
    for (int m = 0; m < a.m; m++)
        check_true(c, is_untouched(a.y + (size_t)m * a.y_ld, (size_t)cut), "wrote rows below n0");
    a.n0 = 0;
    a.n1 = cut;
    run(&a);
    check_same_bits(c, a.y, plain, count, "in two ranges of n");
}

static void check_one(struct check *c, const struct check_kernel *kernel, qn_matmul_fn *run,
                      const struct problem *p, struct operands *o) {
    const enum qn_side side = p->seed & 2 ? QN_SIDE_END : QN_SIDE_START;
    struct qn_kernels table;
    qn_kernels_select(qn_isa_mask(kernel->isa), &table);
    const bool many = strcmp(kernel->op, "matmul") == 0;
    const enum qn_act act = (many ? qn_pack_act_many : qn_pack_act)(form_of(p), table.bundles);
    check_begin(c, kernel, p->input, p->seed, "%s M=%d N=%d K=%d", qn_type_infos[p->type].name,
                p->m, p->n, p->k);
    if (o->tile_rows != table.tile_rows) place_weights(o, p, table.tile_rows, side);
    const struct qn_matmul a = place_operands(o, p, act, side);
    const size_t count = y_count(&a, p);
    fill_untouched(a.y, count);
    run(&a);
    check_values(c, kernel, p, &a);
    check_same_as_first(c, kernel->isa, p, &a);
    check_gaps(c, &a, p->n);
    float *const plain = memcpy(allocate(count, sizeof *plain), a.y, count * sizeof *plain);
    check_split(c, run, p, a, table.tile_rows, plain);
    check_epilogue(c, run, p, a, (const float *)o->bias.data, plain);
    check_memory(c, o);
    check_end(c);
    free(plain);
}

/* ---- shapes ---- */

/* Outputs: 1, around one and two tiles of 8 and of 16, and primes; inputs: blocks of every type,
 * widths of real models; tokens: around the strips that kernels take at once. */
static const int some_n[] = {1, 7, 8, 9, 15, 16, 17, 23, 31, 32, 33, 37, 64, 101};
static const int some_k[] = {1,  3,   15,  16,  17,  33,  97,  32,  64,
                             96, 160, 256, 512, 576, 768, 896, 1280};
static const int some_m[] = {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 17, 33, 37, 38, 41, 64};
enum {
    SOME_N = sizeof some_n / sizeof *some_n,
    SOME_K = sizeof some_k / sizeof *some_k,
    SOME_M = sizeof some_m / sizeof *some_m
};

static const struct { int n, k; } layers[] = {{1536, 576}, {576, 1536}, {896, 4864}, {192, 576}};

static qn_matmul_fn *run_of(const struct check_kernel *kernel, bool vector) {
    return vector ? kernel->run.matvec : kernel->run.matmul;
}

static void check_problem(struct check *c, const struct check_kernel *const *kernels, int count,
                          bool vector, struct problem p) {
    static struct operands operands;
    problem_open(&p, &c->ref);
    operands.tile_rows = 0;
    for (int i = 0; i < count; i++)
        check_one(c, kernels[i], run_of(kernels[i], vector), &p, &operands);
    problem_close(&p);
}

/* Random numbers on all pairs of n and k, each with some of the m in turn; every other kind of
 * input on a few. */
static void check_small(struct check *c, const struct check_kernel *const *kernels, int count,
                        bool vector, enum qn_type type) {
    const int step = c->quick ? 5 : 1; /* prime to both counts */
    const int repeats = vector ? 1 : 3;
    struct problem p = {.type = type, .input = QN_INPUT_RANDOM, .m = 1};
    for (int i = 0; i < SOME_N * SOME_K; i += step) {
        p.n = some_n[i % SOME_N];
        p.k = some_k[i / SOME_N];
        if (p.k % qn_type_infos[type].block != 0) continue;
        for (int j = 0; j < repeats; j++) {
            if (!vector) p.m = some_m[(i / step * repeats + j) % SOME_M];
            p.seed = (uint64_t)(i * repeats + j + 1);
            check_problem(c, kernels, count, vector, p);
        }
    }
    for (int input = QN_INPUT_RANDOM + 1; input < QN_INPUT_COUNT; input++)
        for (int i = 0; i < 3; i++) {
            p.input = (enum qn_input)input;
            p.n = (int[]){9, 33, 48}[i];
            p.k = (int[]){256, 1536, 768}[i];
            p.m = vector ? 1 : (int[]){13, 1, 6}[i];
            p.seed = (uint64_t)(1000 + input * 3 + i);
            check_problem(c, kernels, count, vector, p);
        }
}

/* Rows are also taken 96 at a time (tiles/panel_size.h); few or many are left for the second time.
 */
static void check_groups(struct check *c, const struct check_kernel *const *kernels, int count,
                         enum qn_type type) {
    struct problem p = {.type = type, .seed = 3000, .n = 9, .k = 768};
    p.m = 96 + (int[]){1, 3, 5, 13}[type % 4];
    check_problem(c, kernels, count, false, p);
}

static void check_form(struct check *c, const struct check_kernel *const *kernels, int count,
                       bool vector) {
    for (int type = 0; type < QN_TYPE_COUNT; type++) {
        const struct qn_type_info *const info = &qn_type_infos[type];
        if ((int)info->pack != kernels[0]->variant) continue;
        check_small(c, kernels, count, vector, (enum qn_type)type);
        if (!vector) check_groups(c, kernels, count, (enum qn_type)type);
        for (size_t i = 0; i < sizeof layers / sizeof *layers && !c->quick; i++)
            if (layers[i].k % info->block == 0)
                check_problem(c, kernels, count, vector,
                              (struct problem){.type = (enum qn_type)type,
                                               .seed = 2000 + i,
                                               .m = vector ? 1 : 1 + (int)i,
                                               .n = layers[i].n,
                                               .k = layers[i].k});
    }
}

void check_matmul(struct check *c, const struct check_kernel *const *kernels, int n) {
    check_form(c, kernels, n, false);
}

void check_matvec(struct check *c, const struct check_kernel *const *kernels, int n) {
    check_form(c, kernels, n, true);
}

/* ---- agreement of matmul and matvec ---- */

/* One matmul of all rows against one matvec a row, in the same table. */
static void check_rows_agree(struct check *c, const struct qn_kernels *t, const struct problem *p,
                             struct operands *o) {
    const enum qn_pack form = form_of(p);
    const enum qn_act act = qn_pack_act(form, t->bundles);
    if (!t->matmul[form] || !t->matvec[form]) return;      /* check_tables fails */
    if (act != qn_pack_act_many(form, t->bundles)) return; /* they need not agree */
    const struct check_kernel subject = {.isa = t->isa, .function = "matmul against matvec"};
    check_begin(c, &subject, p->input, p->seed, "%s M=%d N=%d K=%d", qn_type_infos[p->type].name,
                p->m, p->n, p->k);
    place_weights(o, p, t->tile_rows, QN_SIDE_END);
    struct qn_matmul a = place_operands(o, p, act, QN_SIDE_END);
    float *const row = allocate((size_t)p->n, sizeof *row);
    fill_untouched(a.y, y_count(&a, p));
    t->matmul[form](&a);
    struct qn_matmul one = a;
    one.y = row;
    one.m = 1;
    for (int m = 0; m < p->m; m++) {
        one.x = (const char *)a.x + (size_t)m * a.x_ld;
        t->matvec[form](&one);
        check_same_bits(c, a.y + (size_t)m * a.y_ld, row, (size_t)p->n, "a row alone");
    }
    free(row);
    check_end(c);
}

static void check_agreement_of(struct check *c, struct problem p) {
    static struct operands operands;
    problem_open(&p, &c->ref);
    for (int isa = 0; isa < QN_ISA_COUNT; isa++) {
        struct qn_kernels t;
        if (!(c->bundles >> isa & 1)) continue;
        qn_kernels_select(qn_isa_mask((enum qn_isa)isa) & check_machine_bundles(), &t);
        check_rows_agree(c, &t, &p, &operands);
    }
    problem_close(&p);
}

void check_agreement(struct check *c) {
    for (int type = 0; type < QN_TYPE_COUNT; type++) {
        const int block = qn_type_infos[type].block;
        for (int i = 0; i < SOME_M; i += c->quick ? 5 : 1) {
            const struct { int n, k; } shapes[] = {{37, 768}, {64, block}, {16, 1536}, {203, 512}};
            check_agreement_of(c, (struct problem){.type = (enum qn_type)type,
                                                   .seed = (uint64_t)(3000 + i),
                                                   .m = some_m[i],
                                                   .n = shapes[i % 4].n,
                                                   .k = shapes[i % 4].k});
        }
        /* More rows than pass at once, by more outputs than a group has (panel_size.h), of fewer
         * and of more bytes than the second level cache is taken to hold
         * (amx/matmul_quant_amxint8.c). */
        for (int k = 768; k <= 1536; k += 768)
            check_agreement_of(c, (struct problem){.type = (enum qn_type)type,
                                                   .seed = 3100,
                                                   .m = c->quick ? 50 : QN_PASS_M + 5,
                                                   .n = QN_GROUP_ROWS + 17,
                                                   .k = k});
    }
}
