/* SPDX-License-Identifier: Apache-2.0
 *
 * matmul and matvec in the laboratory. Weights are made a row at a time from the row's number, so
 * that the reference, whose tiles have another height, can be given the same.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "report/lab_internal.h"

enum { SEED_W = 1000, SEED_X = 1, SEED_BIAS = 2, SEED_OLD = 3 };
enum { PART_X, PART_Y, PART_BIAS, PART_SCRATCH, PART_STORED };

/* The first stored type of a form. */
static enum qn_type type_of(enum qn_pack form) {
    for (int t = 0; t < QN_TYPE_COUNT; t++)
        if (qn_type_infos[t].pack == form) return (enum qn_type)t;
    return QN_TYPE_F32;
}

static enum qn_pack form_of(const struct qn_lab_job *job) {
    return (enum qn_pack)job->kernel->slot;
}

static enum qn_act act_of(const struct qn_lab_job *job) {
    const bool many = strcmp(job->kernel->op, "matmul") == 0;
    return (many ? qn_pack_act_many : qn_pack_act)(form_of(job), job->kernel->table.bundles);
}

static size_t x_ld(const struct qn_lab_job *job) {
    return qn_act_row_size(act_of(job), job->shape.k);
}

static size_t scratch_size(const struct qn_lab_job *job) {
    return (qn_matmul_scratch_size(job->shape.m, job->shape.k) + 63) / 64 * 64;
}

static void plan_matmul(struct qn_lab_job *job) {
    const struct qn_lab_shape *const s = &job->shape;
    const int r = job->kernel->table.tile_rows;
    const size_t tiles = (size_t)((s->n + r - 1) / r), m = (size_t)s->m, n = (size_t)s->n;
    qn_lab_take(&job->copy_size, tiles * qn_pack_form_tile_size(form_of(job), r, s->k));
    job->fixed_at[PART_X] = qn_lab_take(&job->fixed_size, m * x_ld(job));
    job->fixed_at[PART_Y] = qn_lab_take(&job->fixed_size, m * n * sizeof(float));
    job->fixed_at[PART_BIAS] = qn_lab_take(&job->fixed_size, n * sizeof(float));
    job->fixed_at[PART_SCRATCH] =
        qn_lab_take(&job->fixed_size, scratch_size(job) * (size_t)job->n_threads);
    /* a tile's rows as stored, or one of x */
    job->fixed_at[PART_STORED] = qn_lab_take(
        &job->fixed_size, qn_type_row_size(type_of(form_of(job)), (size_t)s->k) * (size_t)r +
                              (size_t)s->k * sizeof(float));
    job->ops = 2.0 * s->m * s->n * s->k;
    job->bytes = (double)job->copy_size + (double)(m * x_ld(job));
}

/* Random sign and fraction, magnitude in [1/16, 1/8): neither subnormal nor infinite. */
static void tame_half(char *half) {
    uint16_t bits;
    memcpy(&bits, half, sizeof bits);
    bits = (uint16_t)((bits & 0x83ff) | 0x2c00);
    memcpy(half, &bits, sizeof bits);
}

/* Blocks of random bytes as I16's: no number so large that a dot of two blocks exceeds 32 bits, and
 * the scale of one whose largest number is about 1. */
static void make_words(char *stored, size_t size) {
    static const float scale = 0x1p-12f;
    enum { BLOCK = 4 + 2 * QN_I16_BLOCK };
    for (char *block = stored; block < stored + size; block += BLOCK) {
        memcpy(block, &scale, sizeof scale);
        for (int i = 0; i < QN_I16_BLOCK; i++) {
            int16_t q;
            memcpy(&q, block + 4 + 2 * i, sizeof q);
            q /= 8; /* 64 times 4096^2 is 2^30 */
            memcpy(block + 4 + 2 * i, &q, sizeof q);
        }
    }
}

/* One row of k stored weights: random bytes but for their scales, or floats of a type. */
static void make_row(enum qn_type type, uint64_t seed, char *stored, int k) {
    const struct qn_type_info *const info = &qn_type_infos[type];
    const size_t size = qn_type_row_size(type, (size_t)k);
    if (type == QN_TYPE_F32) {
        qn_lab_floats(seed, (float *)(void *)stored, (size_t)k);
        return;
    }
    qn_lab_bytes(seed, stored, size);
    if (type == QN_TYPE_I16) return make_words(stored, size);
    for (char *block = stored; block < stored + size; block += info->block_size) {
        if (type == QN_TYPE_BF16) block[1] = (char)((block[1] & 0x80) | 0x3d);
        if (type == QN_TYPE_F16) tame_half(block);
        if (type <= QN_TYPE_BF16) continue;
        tame_half(block + info->scale_at);
        if (info->min_at >= 0) tame_half(block + info->min_at);
    }
}

/* Rows [first, first + n_rows) of the weights as stored, [n_rows][row_size]. */
static void make_rows(enum qn_type type, int k, int first, int n_rows, char *stored) {
    const size_t row_size = qn_type_row_size(type, (size_t)k);
    for (int i = 0; i < n_rows; i++)
        make_row(type, SEED_W + (uint64_t)first + (uint64_t)i, stored + (size_t)i * row_size, k);
}

/* Row m of the activations before they are prepared. */
static void make_x(const struct qn_lab_job *job, int m, float *x) {
    qn_lab_floats(SEED_X + ((uint64_t)m << 32), x, (size_t)job->shape.k);
}

static void fill_matmul(const struct qn_lab_job *job, char *copy) {
    const struct qn_kernels *const table = &job->kernel->table;
    const enum qn_pack form = form_of(job);
    const enum qn_type type = type_of(form);
    const struct qn_lab_shape *const s = &job->shape;
    const int r = table->tile_rows;
    const size_t row_size = qn_type_row_size(type, (size_t)s->k);
    const size_t tile_size = qn_pack_form_tile_size(form, r, s->k);
    char *const stored = job->fixed + job->fixed_at[PART_STORED];
    for (int n = 0; n < s->n; n += r) {
        const int rows = s->n - n < r ? s->n - n : r;
        make_rows(type, s->k, n, rows, stored);
        qn_pack_rows(type, r, s->k, stored, row_size, rows, 0, rows,
                     copy + (size_t)(n / r) * tile_size);
    }
    float *const row = (float *)(void *)stored;
    for (int m = 0; m < s->m; m++) {
        make_x(job, m, row);
        table->prepare[act_of(job)](row, s->k,
                                    job->fixed + job->fixed_at[PART_X] + (size_t)m * x_ld(job));
    }
    qn_lab_floats(SEED_BIAS, (float *)(void *)(job->fixed + job->fixed_at[PART_BIAS]),
                  (size_t)s->n);
}

static struct qn_matmul whole_of(const struct qn_lab_job *job, const char *copy, int thread) {
    return (struct qn_matmul){
        .w = copy,
        .x = job->fixed + job->fixed_at[PART_X],
        .x_ld = x_ld(job),
        .y = (float *)(void *)(job->fixed + job->fixed_at[PART_Y]),
        .y_ld = (size_t)job->shape.n,
        .scratch = job->fixed + job->fixed_at[PART_SCRATCH] + (size_t)thread * scratch_size(job),
        .m = job->shape.m,
        .k = job->shape.k,
        .n0 = 0,
        .n1 = job->shape.n,
        .amd = job->kernel->table.amd,
    };
}

static qn_matmul_fn *function_of(const struct qn_lab_job *job) {
    const struct qn_kernels *const table = &job->kernel->table;
    return strcmp(job->kernel->op, "matvec") == 0 ? table->matvec[job->kernel->slot]
                                                  : table->matmul[job->kernel->slot];
}

static void run_matmul(const struct qn_lab_job *job, char *copy, int thread) {
    const int r = job->kernel->table.tile_rows, tiles = (job->shape.n + r - 1) / r;
    struct qn_matmul a = whole_of(job, copy, thread);
    a.n0 = qn_share(tiles, thread, job->n_threads) * r;
    a.n1 = qn_share(tiles, thread + 1, job->n_threads) * r;
    if (a.n1 > job->shape.n) a.n1 = job->shape.n;
    if (a.n0 < a.n1) function_of(job)(&a);
}

/* ---- the reference ---- */

/* Room for 8 rows of weights, stored, packed and as floats, and their products. */
enum { REF_ROWS = 8 };
static const double MAX_REFERENCE = 1 << 25; /* multiply-adds: some tenths of a second */

struct reference {
    struct qn_kernels table;
    enum qn_type type;
    char *stored, *packed; /* 64-byte aligned */
    float *floats;         /* [k] */
    float *y;              /* [m][REF_ROWS] */
    double *x_norm;        /* [m] */
    char *rows;            /* [m] activations in the reference's form */
    size_t row_size;
    void *scratch;
};

static void *aligned(size_t size) {
    return aligned_alloc(64, (size + 63) / 64 * 64);
}

static void reference_close(struct reference *ref) {
    free(ref->stored);
    free(ref->packed);
    free(ref->floats);
    free(ref->y);
    free(ref->x_norm);
    free(ref->rows);
    free(ref->scratch);
}

static double norm_of(const float *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

static bool reference_open(const struct qn_lab_job *job, struct reference *ref) {
    const struct qn_lab_shape *const s = &job->shape;
    *ref = (struct reference){.type = type_of(form_of(job))};
    qn_kernels_select(1u << QN_ISA_REF, &ref->table);
    ref->stored = aligned(REF_ROWS * qn_type_row_size(ref->type, (size_t)s->k));
    ref->packed = aligned(qn_pack_form_tile_size(form_of(job), ref->table.tile_rows, s->k));
    ref->floats = aligned((size_t)s->k * sizeof(float));
    ref->y = aligned((size_t)s->m * REF_ROWS * sizeof(float));
    ref->x_norm = aligned((size_t)s->m * sizeof(double));
    const enum qn_act act = qn_pack_act(form_of(job), ref->table.bundles);
    ref->row_size = qn_act_row_size(act, s->k);
    ref->rows = aligned((size_t)s->m * ref->row_size);
    ref->scratch = aligned(qn_matmul_scratch_size(s->m, s->k));
    if (!ref->stored || !ref->packed || !ref->floats || !ref->y || !ref->x_norm || !ref->rows ||
        !ref->scratch) {
        reference_close(ref);
        return false;
    }
    for (int m = 0; m < s->m; m++) {
        make_x(job, m, ref->floats);
        ref->x_norm[m] = norm_of(ref->floats, s->k);
        ref->table.prepare[act](ref->floats, s->k, ref->rows + (size_t)m * ref->row_size);
    }
    return true;
}

/* A sum of K products in any order is off by at most K u times
 * the sum of their magnitudes, which Cauchy and Schwarz bound by the norms; biases, old sums and
 * the few roundings of a block's scales add less than 64 u of it. VDPBF16PS takes activations
 * rounded to 8 bits, each off by 2^-8 at most. Two bf16 are off by 2^-17. Fast
 * kernels round both to bf16, 2^-8 each, where the reference takes these even numbers as int8, off
 * by 1/254 of the largest, sqrt(3) / 254 < 2^-7 of the norm. */
static double relative_bound(const struct qn_lab_job *job) {
    const bool rounds = act_of(job) == QN_ACT_BF16, splits = act_of(job) == QN_ACT_BF16X2;
    const double rounding = qn_pack_is_float(form_of(job)) ? 0x1p-8 : 0x1p-6 + 0x1p-16;
    return (job->shape.k + 64) * 0x1p-24 + (rounds ? rounding : 0) + (splits ? 0x1p-17 : 0);
}

/* Columns [n, n + rows) of y. */
static void compare_columns(const struct qn_lab_job *job, struct reference *ref,
                            const struct qn_matmul *a, const float *old, int n, int rows,
                            struct qn_lab_compare *compare) {
    const struct qn_lab_shape *const s = &job->shape;
    const size_t row_size = qn_type_row_size(ref->type, (size_t)s->k);
    make_rows(ref->type, s->k, n, rows, ref->stored);
    qn_pack_rows(ref->type, ref->table.tile_rows, s->k, ref->stored, row_size, rows, 0, rows,
                 ref->packed);
    struct qn_matmul b = *a;
    b.w = ref->packed;
    b.x = ref->rows;
    b.x_ld = ref->row_size;
    b.y = ref->y;
    b.y_ld = REF_ROWS;
    b.bias = a->bias ? a->bias + n : NULL;
    b.scratch = ref->scratch;
    b.n0 = 0;
    b.n1 = rows;
    for (int m = 0; m < s->m && a->accumulate; m++)
        for (int i = 0; i < rows; i++)
            ref->y[m * REF_ROWS + i] = old[(size_t)m * a->y_ld + (size_t)(n + i)];
    ref->table.matmul[job->kernel->slot](&b);
    for (int i = 0; i < rows; i++) {
        qn_type_to_float(ref->type, ref->stored + (size_t)i * row_size, ref->floats, (size_t)s->k);
        const double w_norm = norm_of(ref->floats, s->k);
        for (int m = 0; m < s->m; m++)
            qn_lab_compare_one(compare, (double)a->y[(size_t)m * a->y_ld + (size_t)(n + i)],
                               (double)ref->y[m * REF_ROWS + i],
                               relative_bound(job) * (w_norm * ref->x_norm[m] + 2));
    }
}

/* Whole columns from the start, as many as take little time, and the last ones, where tiles may be
 * cut short. */
static void compare_y(const struct qn_lab_job *job, struct reference *ref,
                      const struct qn_matmul *a, const float *old, struct qn_lab_compare *compare) {
    const struct qn_lab_shape *const s = &job->shape;
    const int last = (s->n - 1) / REF_ROWS * REF_ROWS;
    double spent = 0;
    for (int n = 0; n <= last; n += REF_ROWS) {
        if (spent > MAX_REFERENCE && n != last) continue;
        compare_columns(job, ref, a, old, n, s->n - n < REF_ROWS ? s->n - n : REF_ROWS, compare);
        spent += (double)s->m * REF_ROWS * s->k;
    }
}

/* Once as it is timed, and once with a bias, added to an old y, in two pieces of N. */
static void check_runs(const struct qn_lab_job *job, struct reference *ref, float *old,
                       struct qn_lab_compare *compare) {
    const int r = job->kernel->table.tile_rows, n = job->shape.n;
    const size_t n_y = (size_t)job->shape.m * (size_t)n;
    struct qn_matmul a = whole_of(job, job->copies, 0);
    for (size_t i = 0; i < n_y; i++) a.y[i] = FLT_MAX; /* what is not written shows */
    function_of(job)(&a);
    compare_y(job, ref, &a, old, compare);
    qn_lab_floats(SEED_OLD, old, n_y);
    memcpy(a.y, old, n_y * sizeof *old);
    a.bias = (const float *)(const void *)(job->fixed + job->fixed_at[PART_BIAS]);
    a.accumulate = true;
    const int cut = (n / r + 1) / 2 * r < n ? (n / r + 1) / 2 * r : 0;
    struct qn_matmul piece = a;
    piece.n1 = cut;
    if (cut > 0) function_of(job)(&piece);
    piece.n0 = cut;
    piece.n1 = n;
    function_of(job)(&piece);
    compare_y(job, ref, &a, old, compare);
}

static enum qn_status check_matmul(const struct qn_lab_job *job, struct qn_lab_result *result,
                                   struct qn_error *err) {
    struct reference ref;
    struct qn_lab_compare compare = {.right = true};
    float *const old = malloc((size_t)job->shape.m * (size_t)job->shape.n * sizeof *old);
    if (!old || !reference_open(job, &ref)) {
        free(old);
        return qn_fail(err, QN_NO_MEMORY, "no memory for the reference of %s",
                       job->kernel->function);
    }
    check_runs(job, &ref, old, &compare);
    qn_lab_compare_end(&compare, result);
    reference_close(&ref);
    free(old);
    return QN_OK;
}

const struct qn_lab_op qn_lab_matmul = {"matmul", plan_matmul, fill_matmul, run_matmul,
                                        check_matmul};
const struct qn_lab_op qn_lab_matvec = {"matvec", plan_matmul, fill_matmul, run_matmul,
                                        check_matmul};
