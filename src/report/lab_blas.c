/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenBLAS and oneDNN through their C interfaces, declared here as their manuals give them.
 */
#include "report/lab_blas.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "host/limits.h"
#include "report/lab_internal.h"

/* https://github.com/OpenMathLib/OpenBLAS/wiki, cblas.h; oneDNN's reference, group "BLAS
 * functions". Of dnnl_gemm_s8s8s32 the zero points ao, bo are 0, and co is one number, 0, as 'F'
 * says. */
typedef void cblas_sgemm_fn(int order, int transpose_a, int transpose_b, int m, int n, int k,
                            float alpha, const float *a, int lda, const float *b, int ldb,
                            float beta, float *c, int ldc);
typedef int dnnl_sgemm_fn(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k,
                          float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                          float beta, float *c, int64_t ldc);
typedef int dnnl_bf16_fn(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k,
                         float alpha, const uint16_t *a, int64_t lda, const uint16_t *b,
                         int64_t ldb, float beta, float *c, int64_t ldc);
typedef int dnnl_s8_fn(char transpose_a, char transpose_b, char offset_c, int64_t m, int64_t n,
                       int64_t k, float alpha, const int8_t *a, int64_t lda, int8_t ao,
                       const int8_t *b, int64_t ldb, int8_t bo, float beta, int32_t *c, int64_t ldc,
                       const int32_t *co);
typedef void set_threads_fn(int n);
enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112 };
enum { CALL_CBLAS_F32, CALL_DNNL_F32, CALL_DNNL_BF16, CALL_DNNL_INT8, CALL_COUNT };

static const struct {
    const char *name, *package, *set_threads;
    const char *files[3];
} libraries[] = {
    {"openblas",
     "libopenblas0",
     "openblas_set_num_threads",
     {"libopenblas.so.0", "libopenblas.so"}},
    /* oneDNN runs on OpenMP's threads. */
    {"onednn", "libdnnl2", "omp_set_num_threads", {"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"}},
};

static const struct {
    const char *library, *variant, *symbol;
    size_t size; /* of an element of x and w; those of y have 4 bytes */
} calls[CALL_COUNT] = {
    [CALL_CBLAS_F32] = {"openblas", "F32", "cblas_sgemm", 4},
    [CALL_DNNL_F32] = {"onednn", "F32", "dnnl_sgemm", 4},
    [CALL_DNNL_BF16] = {"onednn", "BF16", "dnnl_gemm_bf16bf16f32", 2},
    [CALL_DNNL_INT8] = {"onednn", "INT8", "dnnl_gemm_s8s8s32", 1},
};

/* What the library says of itself. */
static void describe(struct qn_blas *blas) {
    void *const core = dlsym(blas->handle, "openblas_get_corename");
    void *const version = dlsym(blas->handle, "dnnl_version");
    const char *(*get_core)(void);
    const struct { int major, minor, patch; } * (*get_version)(void);
    if (core) {
        memcpy(&get_core, &core, sizeof get_core);
        snprintf(blas->detail, sizeof blas->detail, "%s", get_core());
    } else if (version) {
        memcpy(&get_version, &version, sizeof get_version);
        snprintf(blas->detail, sizeof blas->detail, "%d.%d.%d", get_version()->major,
                 get_version()->minor, get_version()->patch);
    }
}

static enum qn_status load(const char *name, struct qn_blas *blas, struct qn_error *err) {
    const size_t n_libraries = sizeof libraries / sizeof *libraries;
    size_t l = 0;
    while (l < n_libraries && strcmp(name, libraries[l].name) != 0) l++;
    if (l == n_libraries)
        return qn_fail(err, QN_BAD_ARGUMENT, "unknown library '%s'; known are openblas and onednn",
                       name);
    *blas = (struct qn_blas){.name = libraries[l].name};
    for (int i = 0; i < 3 && !blas->handle && libraries[l].files[i]; i++)
        blas->handle = dlopen(libraries[l].files[i], RTLD_NOW | RTLD_LOCAL);
    if (!blas->handle)
        return qn_fail(err, QN_NOT_FOUND, "%s is not installed (Debian's package %s)", name,
                       libraries[l].package);
    blas->set_threads = dlsym(blas->handle, libraries[l].set_threads);
    if (!blas->set_threads)
        return qn_fail(err, QN_NOT_FOUND, "%s as installed has no %s", name,
                       libraries[l].set_threads);
    describe(blas);
    return QN_OK;
}

enum qn_status qn_blas_open(const char *name, struct qn_blas *blas, int *n, struct qn_error *err) {
    struct qn_blas library;
    *n = 0;
    QN_TRY(load(name, &library, err));
    for (int c = 0; c < CALL_COUNT; c++) {
        if (strcmp(calls[c].library, library.name) != 0) continue;
        library.variant = calls[c].variant;
        library.call = c;
        library.gemm = dlsym(library.handle, calls[c].symbol);
        if (library.gemm) blas[(*n)++] = library;
    }
    return QN_OK;
}

/* ---- calls ---- */

struct operands {
    char *x, *w, *y; /* [m][k], [copies][n][k], [m][n] */
    size_t n_copies, next;
};

/* Other bits of a function's address. */
#define CALL_AS(type, address, ...)                                                                \
    do {                                                                                           \
        type *function;                                                                            \
        memcpy(&function, &(address), sizeof function);                                            \
        function(__VA_ARGS__);                                                                     \
    } while (0)

static void multiply(const struct qn_blas *blas, const struct qn_lab_shape *s, const void *x,
                     const void *w, void *y) {
    const int32_t zero = 0;
    switch (blas->call) {
    case CALL_CBLAS_F32:
        CALL_AS(cblas_sgemm_fn, blas->gemm, CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_TRANS, s->m,
                s->n, s->k, 1, x, s->k, w, s->k, 0, y, s->n);
        break;
    case CALL_DNNL_F32:
        CALL_AS(dnnl_sgemm_fn, blas->gemm, 'N', 'T', s->m, s->n, s->k, 1, x, s->k, w, s->k, 0, y,
                s->n);
        break;
    case CALL_DNNL_BF16:
        CALL_AS(dnnl_bf16_fn, blas->gemm, 'N', 'T', s->m, s->n, s->k, 1, x, s->k, w, s->k, 0, y,
                s->n);
        break;
    default:
        CALL_AS(dnnl_s8_fn, blas->gemm, 'N', 'T', 'F', s->m, s->n, s->k, 1, x, s->k, 0, w, s->k, 0,
                0, y, s->n, &zero);
    }
}

/* Random elements of the call's type: floats in [-1, 1), their upper halves, or bytes. */
static void fill(const struct qn_blas *blas, uint64_t seed, void *out, size_t n) {
    if (blas->call == CALL_DNNL_INT8) {
        qn_lab_bytes(seed, out, n);
    } else if (blas->call == CALL_DNNL_BF16) {
        uint16_t *const halves = out;
        for (size_t i = 0; i < n; i += 256) {
            uint32_t bits[256];
            qn_lab_floats(seed + i, (float *)(void *)bits, 256);
            for (size_t j = 0; j < 256 && i + j < n; j++) halves[i + j] = (uint16_t)(bits[j] >> 16);
        }
    } else {
        qn_lab_floats(seed, out, n);
    }
}

static double element(const struct qn_blas *blas, const void *data, size_t i) {
    if (blas->call == CALL_DNNL_INT8) return ((const int8_t *)data)[i];
    if (blas->call != CALL_DNNL_BF16) return (double)((const float *)data)[i];
    const uint32_t bits = (uint32_t)((const uint16_t *)data)[i] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
}

/* Against sums in double precision, of the first columns; the bound is that of lab_matmul.c. */
static void check(const struct qn_blas *blas, const struct qn_lab_shape *s,
                  const struct operands *o, struct qn_lab_result *result) {
    struct qn_lab_compare compare = {.right = true};
    const int columns = s->n < 16 ? s->n : 16;
    for (int m = 0; m < s->m; m++)
        for (int n = 0; n < columns; n++) {
            double sum = 0, size = 0;
            for (int k = 0; k < s->k; k++) {
                const double term = element(blas, o->x, (size_t)m * (size_t)s->k + (size_t)k) *
                                    element(blas, o->w, (size_t)n * (size_t)s->k + (size_t)k);
                sum += term;
                size += fabs(term);
            }
            const size_t at = (size_t)m * (size_t)s->n + (size_t)n;
            const double found = blas->call == CALL_DNNL_INT8
                                     ? (double)((const int32_t *)(const void *)o->y)[at]
                                     : (double)((const float *)(const void *)o->y)[at];
            qn_lab_compare_one(&compare, found, sum, (s->k + 64) * 0x1p-24 * size);
        }
    qn_lab_compare_end(&compare, result);
}

/* ---- measuring ---- */

/* Seconds of `calls` calls. */
static double time_calls(const struct qn_blas *blas, int n_threads, const struct qn_lab_shape *s,
                         struct operands *o, long n_calls) {
    const clockid_t clock = n_threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    const double start = qn_clock_seconds(clock);
    for (long i = 0; i < n_calls; i++) {
        multiply(blas, s, o->x,
                 o->w + o->next * (size_t)s->n * (size_t)s->k * calls[blas->call].size, o->y);
        o->next = o->next + 1 < o->n_copies ? o->next + 1 : 0;
    }
    return qn_clock_seconds(clock) - start;
}

static void take_samples(const struct qn_blas *blas, int n_threads, const struct qn_lab_shape *s,
                         struct operands *o, const struct qn_lab_options *options,
                         struct qn_lab_result *result) {
    double times[QN_LAB_MAX_SAMPLES], walls[QN_LAB_MAX_SAMPLES], spent = 0;
    long n_calls = 1;
    while (time_calls(blas, n_threads, s, o, n_calls) < 3e-4 && n_calls < 1 << 24) n_calls *= 2;
    int n = 0;
    for (; n < options->n_samples && (n == 0 || spent < options->max_seconds); n++) {
        const double time = time_calls(blas, n_threads, s, o, n_calls);
        spent += time;
        times[n] = walls[n] = time / (double)n_calls;
    }
    qn_lab_summarize(times, walls, n, result);
}

enum qn_status qn_blas_measure(const struct qn_blas *blas, const struct qn_caches *caches,
                               int n_threads, const struct qn_lab_shape *shape, enum qn_level where,
                               const struct qn_lab_options *options, struct qn_lab_result *result,
                               struct qn_error *err) {
    const size_t m = (size_t)shape->m, n = (size_t)shape->n, k = (size_t)shape->k;
    const size_t element_size = calls[blas->call].size, copy = n * k * element_size;
    const size_t footprint = qn_machine_footprint(caches, where, n_threads) * (size_t)n_threads;
    struct operands o = {.n_copies = 1};
    if (where != QN_LEVEL_L2) o.n_copies += (footprint - 1) / copy;
    size_t size = 0; /* parts at lines of their own */
    const size_t x_at = qn_lab_take(&size, m * k * element_size);
    const size_t y_at = qn_lab_take(&size, m * n * sizeof(float));
    const size_t w_at = qn_lab_take(&size, o.n_copies * copy);
    struct qn_arena arena;
    QN_TRY(qn_limits_check_memory("", size, err));
    QN_TRY(qn_arena_open(size, true, &arena, err));
    o.x = arena.data + x_at;
    o.y = arena.data + y_at;
    o.w = arena.data + w_at;
    fill(blas, 1, o.x, m * k);
    fill(blas, 2, o.w, n * k);
    for (size_t c = 1; c < o.n_copies; c++) memcpy(o.w + c * copy, o.w, copy);
    CALL_AS(set_threads_fn, blas->set_threads, n_threads);
    *result =
        (struct qn_lab_result){.ops = 2.0 * shape->m * shape->n * shape->k,
                               .bytes = (double)(copy + m * k * element_size),
                               .where = qn_lab_level(caches, o.n_copies * copy, n_threads, where),
                               .between = qn_lab_is_between(caches, o.n_copies * copy, n_threads),
                               .copies = o.n_copies};
    multiply(blas, shape, o.x, o.w, o.y);
    check(blas, shape, &o, result);
    take_samples(blas, n_threads, shape, &o, options, result);
    qn_arena_close(&arena);
    return QN_OK;
}
