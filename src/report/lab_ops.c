/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations on rows and heads in the laboratory. Rows are shared among threads, and heads. What an
 * operation changes in place stays of the same size however often it runs: a rotation keeps
 * lengths, a softmax of a softmax lies in [0, 1], and sums grow by one term a call.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/round_kv.h"
#include "report/lab_internal.h"

enum { SEED_COPY = 10, SEED_FIXED = 20 };

static float *floats(char *base, size_t at) {
    return (float *)(void *)(base + at);
}

static size_t float_size(int a, int b) {
    return (size_t)a * (size_t)b * sizeof(float);
}

/* Rows or heads [*first, *end) of a thread. */
static void share(const struct qn_lab_job *job, int n, int thread, int *first, int *end) {
    *first = qn_share(n, thread, job->n_threads);
    *end = qn_share(n, thread + 1, job->n_threads);
}

static const struct qn_kernels *reference_table(struct qn_kernels *table) {
    qn_kernels_select(1u << QN_ISA_REF, table);
    return table;
}

/* ---- rows: in and out of [m][k] floats ---- */

/* The length of a row: activation and softmax go over n, the others over k. */
static int row_length(const struct qn_lab_job *job) {
    return job->shape.n > 0 ? job->shape.n : job->shape.k;
}

/* Parts of a copy: `n_in` inputs, then the output. */
static void plan_rows(struct qn_lab_job *job, int n_in, bool in_place) {
    const int length = row_length(job);
    const size_t size = float_size(job->shape.m, length);
    for (int i = 0; i < n_in + !in_place; i++) job->copy_at[i] = qn_lab_take(&job->copy_size, size);
    job->fixed_at[0] = qn_lab_take(&job->fixed_size, float_size(1, length));
    job->fixed_at[1] = qn_lab_take(&job->fixed_size, float_size(1, length));
    job->fixed_at[2] = qn_lab_take(&job->fixed_size, size); /* the reference's output */
    job->bytes = (double)size * n_in;
}

static void fill_rows(const struct qn_lab_job *job, char *copy) {
    const size_t n = (size_t)job->shape.m * (size_t)row_length(job);
    for (int i = 0; i < 3 && (i == 0 || job->copy_at[i] > 0); i++)
        qn_lab_floats(SEED_COPY + (uint64_t)i, floats(copy, job->copy_at[i]), n);
    for (int i = 0; i < 2; i++)
        qn_lab_floats(SEED_FIXED + (uint64_t)i, floats(job->fixed, job->fixed_at[i]),
                      (size_t)row_length(job));
}

/* One row by the functions of a table: inputs, output (or the row changed in place). */
typedef void row_fn(const struct qn_lab_job *job, const struct qn_kernels *table, float *in,
                    float *second, float *out);

static void run_row_range(const struct qn_lab_job *job, const struct qn_kernels *table, row_fn *fn,
                          char *copy, float *out, int first, int end) {
    const size_t length = (size_t)row_length(job);
    for (int m = first; m < end; m++)
        fn(job, table, floats(copy, job->copy_at[0]) + (size_t)m * length,
           floats(copy, job->copy_at[1]) + (size_t)m * length, out + (size_t)m * length);
}

/* Elements are made by less than 64 roundings of numbers up to the largest output, and by those of
 * a sum over the row, where there is one. */
static void compare_rows(const struct qn_lab_job *job, bool sums, const float *found,
                         const float *expected, struct qn_lab_result *result) {
    const size_t n = (size_t)job->shape.m * (size_t)row_length(job);
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        if (fabs((double)expected[i]) > largest) largest = fabs((double)expected[i]);
    struct qn_lab_compare compare = {.right = true};
    const double bound = ((sums ? row_length(job) : 0) + 64) * 0x1p-24 * largest;
    for (size_t i = 0; i < n; i++)
        qn_lab_compare_one(&compare, (double)found[i], (double)expected[i], bound);
    qn_lab_compare_end(&compare, result);
}

/* out_part: which part of a copy is the output. */
static void check_rows(const struct qn_lab_job *job, row_fn *fn, int out_part, bool sums,
                       struct qn_lab_result *result) {
    struct qn_kernels reference;
    float *const expected = floats(job->fixed, job->fixed_at[2]);
    float *const found = floats(job->copies, job->copy_at[out_part]);
    const size_t size = float_size(job->shape.m, row_length(job));
    const int m = job->shape.m;
    /* In place: the input is copied to the other's place, and the row function reads only that. */
    memcpy(expected, found, size);
    run_row_range(job, reference_table(&reference), fn, job->copies, expected, 0, m);
    run_row_range(job, &job->kernel->table, fn, job->copies, found, 0, m);
    compare_rows(job, sums, found, expected, result);
}

#define ROW_OP(op, n_in, in_place, out_part, sums)                                                 \
    static void plan_##op(struct qn_lab_job *job) {                                                \
        plan_rows(job, n_in, in_place);                                                            \
    }                                                                                              \
    static void run_##op(const struct qn_lab_job *job, char *copy, int thread) {                   \
        int first, end;                                                                            \
        share(job, job->shape.m, thread, &first, &end);                                            \
        run_row_range(job, &job->kernel->table, row_##op, copy,                                    \
                      floats(copy, job->copy_at[out_part]), first, end);                           \
    }                                                                                              \
    static enum qn_status check_##op(const struct qn_lab_job *job, struct qn_lab_result *result,   \
                                     struct qn_error *err) {                                       \
        (void)err;                                                                                 \
        check_rows(job, row_##op, out_part, sums, result);                                         \
        return QN_OK;                                                                              \
    }

static void row_norm(const struct qn_lab_job *job, const struct qn_kernels *table, float *in,
                     float *second, float *out) {
    (void)second;
    table->norm[job->kernel->slot](in, floats(job->fixed, job->fixed_at[0]),
                                   floats(job->fixed, job->fixed_at[1]), 1e-5f, job->shape.k, out);
}

static void row_softmax(const struct qn_lab_job *job, const struct qn_kernels *table, float *in,
                        float *second, float *out) {
    (void)in, (void)second;
    table->softmax[0](out, job->shape.n);
}

static void row_activation(const struct qn_lab_job *job, const struct qn_kernels *table, float *in,
                           float *second, float *out) {
    table->activation[job->kernel->slot](in, second, job->shape.n, out);
}

static void row_add(const struct qn_lab_job *job, const struct qn_kernels *table, float *in,
                    float *second, float *out) {
    (void)second;
    table->add[0](in, job->shape.k, out);
}

static void row_add_scaled(const struct qn_lab_job *job, const struct qn_kernels *table, float *in,
                           float *second, float *out) {
    (void)second;
    table->add_scaled[0](0.5f, in, job->shape.k, out);
}

static void row_softcap(const struct qn_lab_job *job, const struct qn_kernels *table, float *in,
                        float *second, float *out) {
    (void)in, (void)second;
    table->softcap[0](30, job->shape.n, out);
}

/* A row holds `heads` heads of d; fixed parts are the cosines and sines. */
static void row_rope(const struct qn_lab_job *job, const struct qn_kernels *table, float *in,
                     float *second, float *out) {
    (void)in, (void)second;
    const struct qn_lab_shape *const s = &job->shape;
    table->rope[job->kernel->slot](out, s->k / s->d, (size_t)s->d, s->d / 2,
                                   floats(job->fixed, job->fixed_at[0]),
                                   floats(job->fixed, job->fixed_at[1]));
}

ROW_OP(norm, 1, false, 1, true)
ROW_OP(softmax, 1, true, 0, true)
ROW_OP(activation, 2, false, 2, false)
ROW_OP(add, 2, true, 1, false)
ROW_OP(add_scaled, 2, true, 1, false)
ROW_OP(rope, 1, true, 0, false)
ROW_OP(softcap, 1, true, 0, false)

static void fill_rope(const struct qn_lab_job *job, char *copy) {
    fill_rows(job, copy);
    float *const cosines = floats(job->fixed, job->fixed_at[0]);
    float *const sines = floats(job->fixed, job->fixed_at[1]);
    for (int i = 0; i < job->shape.d / 2; i++) {
        cosines[i] = (float)cos(0.1 * i);
        sines[i] = (float)sin(0.1 * i);
    }
}

/* ---- bytes that every instruction set makes alike: prepare and kv_store ---- */

/* The part of bytes that differ, as error. */
static void compare_bytes(const char *found, const char *expected, size_t n,
                          struct qn_lab_result *result) {
    size_t different = 0;
    for (size_t i = 0; i < n; i++) different += found[i] != expected[i];
    result->error = (double)different / (double)n;
    result->right = different == 0;
}

static size_t act_size(const struct qn_lab_job *job) {
    return qn_act_row_size((enum qn_act)job->kernel->slot, job->shape.k);
}

static void plan_prepare(struct qn_lab_job *job) {
    const size_t m = (size_t)job->shape.m;
    job->copy_at[0] = qn_lab_take(&job->copy_size, float_size(job->shape.m, job->shape.k));
    job->copy_at[1] = qn_lab_take(&job->copy_size, m * act_size(job));
    job->fixed_at[0] = qn_lab_take(&job->fixed_size, m * act_size(job));
    job->bytes = (double)float_size(job->shape.m, job->shape.k);
}

static void fill_prepare(const struct qn_lab_job *job, char *copy) {
    qn_lab_floats(SEED_COPY, floats(copy, job->copy_at[0]),
                  (size_t)job->shape.m * (size_t)job->shape.k);
}

static void prepare_rows(const struct qn_lab_job *job, const struct qn_kernels *table, char *copy,
                         char *out, int first, int end) {
    for (int m = first; m < end; m++)
        table->prepare[job->kernel->slot](floats(copy, job->copy_at[0]) +
                                              (size_t)m * (size_t)job->shape.k,
                                          job->shape.k, out + (size_t)m * act_size(job));
}

static void run_prepare(const struct qn_lab_job *job, char *copy, int thread) {
    int first, end;
    share(job, job->shape.m, thread, &first, &end);
    prepare_rows(job, &job->kernel->table, copy, copy + job->copy_at[1], first, end);
}

static enum qn_status check_prepare(const struct qn_lab_job *job, struct qn_lab_result *result,
                                    struct qn_error *err) {
    (void)err;
    struct qn_kernels reference;
    char *const found = job->copies + job->copy_at[1], *const expected = job->fixed;
    prepare_rows(job, reference_table(&reference), job->copies, expected, 0, job->shape.m);
    prepare_rows(job, &job->kernel->table, job->copies, found, 0, job->shape.m);
    compare_bytes(found, expected, (size_t)job->shape.m * act_size(job), result);
    return QN_OK;
}

/* ---- the cache ---- */

/* Copy: k and v of a position, [heads][d]; then K blocks and V blocks, [heads][blocks]. */
enum { PART_KEYS, PART_VALUES, PART_K, PART_V };

static int n_blocks(const struct qn_lab_job *job) {
    const int positions = job->shape.t > 0 ? job->shape.t : job->shape.m;
    return (positions + QN_KV_BLOCK - 1) / QN_KV_BLOCK;
}

static size_t k_size(const struct qn_lab_job *job) {
    return qn_kv_k_block_size(qn_cache_k(job->cache), job->shape.d);
}

static size_t v_size(const struct qn_lab_job *job) {
    return qn_kv_v_block_size(qn_cache_v(job->cache), job->shape.d);
}

static void plan_cache(struct qn_lab_job *job) {
    job->cache = qn_lab_cache(job->kernel);
    const size_t blocks = (size_t)job->shape.heads * (size_t)n_blocks(job);
    job->copy_at[PART_KEYS] =
        qn_lab_take(&job->copy_size, float_size(job->shape.heads, job->shape.d));
    job->copy_at[PART_VALUES] =
        qn_lab_take(&job->copy_size, float_size(job->shape.heads, job->shape.d));
    job->copy_at[PART_K] = qn_lab_take(&job->copy_size, blocks * k_size(job));
    job->copy_at[PART_V] = qn_lab_take(&job->copy_size, blocks * v_size(job));
}

/* Stores positions [0, n) of heads [first, end): every position has the same keys and values but
 * for their order, so that a wrong slot shows. */
static void store(const struct qn_lab_job *job, const struct qn_kernels *table, char *copy, char *k,
                  char *v, int n, int first, int end) {
    const size_t d = (size_t)job->shape.d, blocks = (size_t)n_blocks(job);
    const size_t heads = (size_t)job->shape.heads;
    for (size_t h = (size_t)first; h < (size_t)end; h++)
        for (int p = 0; p < n; p++) {
            const size_t block = h * blocks + (size_t)p / QN_KV_BLOCK;
            const size_t row = (h + (size_t)p) % heads * d;
            table->kv_store[qn_cache_k(job->cache)](floats(copy, job->copy_at[PART_KEYS]) + row,
                                                    NULL, job->shape.d, p % QN_KV_BLOCK,
                                                    k + block * k_size(job), NULL);
            table->kv_store[qn_cache_v(job->cache)](
                NULL, floats(copy, job->copy_at[PART_VALUES]) + row, job->shape.d, p % QN_KV_BLOCK,
                NULL, v + block * v_size(job));
        }
}

static void fill_vectors(const struct qn_lab_job *job, char *copy) {
    const size_t n = (size_t)job->shape.heads * (size_t)job->shape.d;
    qn_lab_floats(SEED_COPY, floats(copy, job->copy_at[PART_KEYS]), n);
    qn_lab_floats(SEED_COPY + 1, floats(copy, job->copy_at[PART_VALUES]), n);
}

static void plan_kv_store(struct qn_lab_job *job) {
    plan_cache(job);
    const size_t blocks = (size_t)job->shape.heads * (size_t)n_blocks(job);
    job->fixed_at[0] = qn_lab_take(&job->fixed_size, blocks * k_size(job));
    job->fixed_at[1] = qn_lab_take(&job->fixed_size, blocks * v_size(job));
    job->bytes = (double)job->shape.m * job->shape.heads * 2 * (double)float_size(1, job->shape.d);
}

static void run_kv_store(const struct qn_lab_job *job, char *copy, int thread) {
    int first, end;
    share(job, job->shape.heads, thread, &first, &end);
    store(job, &job->kernel->table, copy, copy + job->copy_at[PART_K], copy + job->copy_at[PART_V],
          job->shape.m, first, end);
}

static enum qn_status check_kv_store(const struct qn_lab_job *job, struct qn_lab_result *result,
                                     struct qn_error *err) {
    (void)err;
    struct qn_kernels reference;
    char *const copy = job->copies, *const expected = job->fixed;
    store(job, reference_table(&reference), copy, expected, expected + job->fixed_at[1],
          job->shape.m, 0, job->shape.heads);
    store(job, &job->kernel->table, copy, copy + job->copy_at[PART_K], copy + job->copy_at[PART_V],
          job->shape.m, 0, job->shape.heads);
    compare_bytes(copy + job->copy_at[PART_K], expected, job->fixed_size, result);
    return QN_OK;
}

/* ---- attention ---- */

enum { PART_Q, PART_OUT, PART_EXPECTED, PART_POSITIONS, PART_TABLE };

static void plan_attention(struct qn_lab_job *job) {
    plan_cache(job);
    const struct qn_lab_shape *const s = &job->shape;
    const size_t q = float_size(s->m, s->heads * s->g * s->d);
    for (int i = PART_Q; i <= PART_EXPECTED; i++)
        job->fixed_at[i] = qn_lab_take(&job->fixed_size, q);
    job->fixed_at[PART_POSITIONS] = qn_lab_take(&job->fixed_size, (size_t)s->m * sizeof(int32_t));
    job->fixed_at[PART_TABLE] =
        qn_lab_take(&job->fixed_size, (size_t)n_blocks(job) * sizeof(int32_t));
    /* Token i of m stands at t - m + i and sees itself and what is before it. */
    const double seen = (double)s->m * s->t - 0.5 * s->m * (s->m - 1);
    job->ops = 4.0 * seen * s->d * s->g * s->heads;
    job->bytes = (double)s->heads * n_blocks(job) * (double)(k_size(job) + v_size(job)) + (double)q;
}

static void fill_attention(const struct qn_lab_job *job, char *copy) {
    const struct qn_lab_shape *const s = &job->shape;
    struct qn_kernels reference;
    fill_vectors(job, copy);
    store(job, reference_table(&reference), copy, copy + job->copy_at[PART_K],
          copy + job->copy_at[PART_V], s->t, 0, s->heads);
    qn_lab_floats(SEED_FIXED, floats(job->fixed, job->fixed_at[PART_Q]),
                  (size_t)s->m * (size_t)(s->heads * s->g * s->d));
    int32_t *const positions = (int32_t *)(void *)(job->fixed + job->fixed_at[PART_POSITIONS]);
    int32_t *const table = (int32_t *)(void *)(job->fixed + job->fixed_at[PART_TABLE]);
    for (int i = 0; i < s->m; i++) positions[i] = s->t - s->m + i;
    for (int i = 0; i < n_blocks(job); i++) table[i] = i;
}

static void attend(const struct qn_lab_job *job, const struct qn_kernels *kernels, const char *copy,
                   int out_part, int first, int end) {
    const struct qn_lab_shape *const s = &job->shape;
    const size_t row = (size_t)(s->heads * s->g * s->d), group = (size_t)(s->g * s->d);
    const size_t blocks = (size_t)n_blocks(job);
    for (size_t h = (size_t)first; h < (size_t)end; h++) {
        const struct qn_attention a = {
            .q = floats(job->fixed, job->fixed_at[PART_Q]) + h * group,
            .q_ld = row,
            .out = floats(job->fixed, job->fixed_at[out_part]) + h * group,
            .out_ld = row,
            .pos = (const int32_t *)(const void *)(job->fixed + job->fixed_at[PART_POSITIONS]),
            .blocks = (const int32_t *)(const void *)(job->fixed + job->fixed_at[PART_TABLE]),
            .k = copy + job->copy_at[PART_K] + h * blocks * k_size(job),
            .v = copy + job->copy_at[PART_V] + h * blocks * v_size(job),
            .k_stride = k_size(job),
            .v_stride = v_size(job),
            .scale = 1.0f / sqrtf((float)s->d),
            .m = s->m,
            .g = s->g,
            .d = s->d,
        };
        kernels->attention[job->kernel->slot](&a);
    }
}

static void run_attention(const struct qn_lab_job *job, char *copy, int thread) {
    int first, end;
    share(job, job->shape.heads, thread, &first, &end);
    attend(job, &job->kernel->table, copy, PART_OUT, first, end);
}

/* Outputs are averages of values in [-1, 1]. A score is off by D u |q| |k| scale < D u sqrt(D),
 * which scales a weight by as much, and weights are sums of T terms. One head tells. Of I16 queries
 * and weights are integers, too (round_kv.h): a query, scaled, has a norm below 1 and is off by
 * half of 1.1 / 46300 in each of D; a block's 64 weights by half of 1 / 32760 of their sum. */
static enum qn_status check_attention(const struct qn_lab_job *job, struct qn_lab_result *result,
                                      struct qn_error *err) {
    (void)err;
    const struct qn_lab_shape *const s = &job->shape;
    struct qn_kernels reference;
    attend(job, reference_table(&reference), job->copies, PART_EXPECTED, 0, 1);
    attend(job, &job->kernel->table, job->copies, PART_OUT, 0, 1);
    const float *const found = floats(job->fixed, job->fixed_at[PART_OUT]);
    const float *const expected = floats(job->fixed, job->fixed_at[PART_EXPECTED]);
    struct qn_lab_compare compare = {.right = true};
    const bool k_i16 = qn_cache_k(job->cache) == QN_KV_I16;
    const bool v_i16 = qn_cache_v(job->cache) == QN_KV_I16;
    const double bound = (2 * s->d * sqrt(s->d) + s->t + 64) * 0x1p-24 +
                         (k_i16 ? 1.1 / QN_KV_K_NORM * s->d : 0) +
                         (v_i16 ? QN_KV_BLOCK / 2 / (double)QN_KV_WEIGHT_MAX : 0);
    for (int m = 0; m < s->m; m++)
        for (int i = 0; i < s->g * s->d; i++) {
            const size_t at = (size_t)m * (size_t)(s->heads * s->g * s->d) + (size_t)i;
            qn_lab_compare_one(&compare, (double)found[at], (double)expected[at], bound);
        }
    qn_lab_compare_end(&compare, result);
    return QN_OK;
}

/* ---- records of attention, merged ---- */

/* Copy: records, [heads][spans][m g], and what they become, [heads][m g][d]. */
enum { PART_RECORDS, PART_MERGED };

static int n_spans(const struct qn_lab_job *job) {
    return (job->shape.t + QN_ATTENTION_SPAN - 1) / QN_ATTENTION_SPAN;
}

static size_t n_records(const struct qn_lab_job *job) {
    return (size_t)n_spans(job) * (size_t)(job->shape.m * job->shape.g);
}

static void plan_attention_merge(struct qn_lab_job *job) {
    const struct qn_lab_shape *const s = &job->shape;
    const size_t records = (size_t)s->heads * n_records(job) * qn_attention_part_size(s->d);
    const size_t merged = float_size(s->heads * s->m * s->g, s->d);
    job->copy_at[PART_RECORDS] = qn_lab_take(&job->copy_size, records);
    job->copy_at[PART_MERGED] = qn_lab_take(&job->copy_size, merged);
    job->fixed_at[0] = qn_lab_take(&job->fixed_size, merged);
    job->bytes = (double)records;
}

/* All weights are 1, so that what comes out are averages of numbers in [-1, 1). */
static void fill_attention_merge(const struct qn_lab_job *job, char *copy) {
    const size_t part = qn_attention_part_size(job->shape.d) / sizeof(float);
    const size_t n = (size_t)job->shape.heads * n_records(job);
    float *const records = floats(copy, job->copy_at[PART_RECORDS]);
    qn_lab_floats(SEED_COPY, records, n * part);
    for (size_t i = 0; i < n; i++) records[(i + 1) * part - 16 + 1] = 1;
}

static void merge(const struct qn_lab_job *job, const struct qn_kernels *table, const char *copy,
                  float *out, int first, int end) {
    const struct qn_lab_shape *const s = &job->shape;
    const size_t of_head = n_records(job) * qn_attention_part_size(s->d) / sizeof(float);
    for (int h = first; h < end; h++)
        table->attention_merge[0]((const float *)(const void *)(copy + job->copy_at[PART_RECORDS]) +
                                      (size_t)h * of_head,
                                  n_spans(job), s->m * s->g, s->d, out + h * s->m * s->g * s->d);
}

static void run_attention_merge(const struct qn_lab_job *job, char *copy, int thread) {
    int first, end;
    share(job, job->shape.heads, thread, &first, &end);
    merge(job, &job->kernel->table, copy, floats(copy, job->copy_at[PART_MERGED]), first, end);
}

/* A span's factor is made by less than 8 roundings, and two more are those of its sum. */
static enum qn_status check_attention_merge(const struct qn_lab_job *job,
                                            struct qn_lab_result *result, struct qn_error *err) {
    (void)err;
    const struct qn_lab_shape *const s = &job->shape;
    struct qn_kernels reference;
    float *const expected = floats(job->fixed, job->fixed_at[0]);
    float *const found = floats(job->copies, job->copy_at[PART_MERGED]);
    merge(job, reference_table(&reference), job->copies, expected, 0, s->heads);
    merge(job, &job->kernel->table, job->copies, found, 0, s->heads);
    struct qn_lab_compare compare = {.right = true};
    const double bound = 2 * 10 * (n_spans(job) + 1) * 0x1p-24;
    for (int i = 0; i < s->heads * s->m * s->g * s->d; i++)
        qn_lab_compare_one(&compare, (double)found[i], (double)expected[i], bound);
    qn_lab_compare_end(&compare, result);
    return QN_OK;
}

/* ---- the table ---- */

static const struct qn_lab_op row_ops[] = {
    {"norm", plan_norm, fill_rows, run_norm, check_norm},
    {"softmax", plan_softmax, fill_rows, run_softmax, check_softmax},
    {"activation", plan_activation, fill_rows, run_activation, check_activation},
    {"add", plan_add, fill_rows, run_add, check_add},
    {"add_scaled", plan_add_scaled, fill_rows, run_add_scaled, check_add_scaled},
    {"softcap", plan_softcap, fill_rows, run_softcap, check_softcap},
    {"rope", plan_rope, fill_rope, run_rope, check_rope},
    {"prepare", plan_prepare, fill_prepare, run_prepare, check_prepare},
    {"kv_store", plan_kv_store, fill_vectors, run_kv_store, check_kv_store},
    {"attention", plan_attention, fill_attention, run_attention, check_attention},
    {"attention_merge", plan_attention_merge, fill_attention_merge, run_attention_merge,
     check_attention_merge},
};

const struct qn_lab_op *qn_lab_find(const char *op) {
    if (strcmp(op, "matmul") == 0) return &qn_lab_matmul;
    if (strcmp(op, "matvec") == 0) return &qn_lab_matvec;
    for (size_t i = 0; i < sizeof row_ops / sizeof *row_ops; i++)
        if (strcmp(op, row_ops[i].name) == 0) return &row_ops[i];
    return NULL;
}
