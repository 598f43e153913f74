/* SPDX-License-Identifier: Apache-2.0
 *
 * OpenBLAS and oneDNN through their C interfaces, declared here as their manuals give them.
 */
#include "report/lab_blas.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "report/lab_internal.h"

/* https://github.com/OpenMathLib/OpenBLAS/wiki, cblas.h; oneDNN's reference, group "BLAS functions"
 */
typedef void cblas_sgemm_fn(int order, int transpose_a, int transpose_b, int m, int n, int k,
                            float alpha, const float *a, int lda, const float *b, int ldb,
                            float beta, float *c, int ldc);
typedef int dnnl_sgemm_fn(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k,
                          float alpha, const float *a, int64_t lda, const float *b, int64_t ldb,
                          float beta, float *c, int64_t ldc);
typedef void set_threads_fn(int n);
enum { CBLAS_ROW_MAJOR = 101, CBLAS_NO_TRANS = 111, CBLAS_TRANS = 112 };
enum { KIND_OPENBLAS, KIND_ONEDNN };

static const struct {
    const char *name, *package, *gemm, *set_threads;
    const char *files[3];
} libraries[] = {
    [KIND_OPENBLAS] = {"openblas",
                       "libopenblas0",
                       "cblas_sgemm",
                       "openblas_set_num_threads",
                       {"libopenblas.so.0", "libopenblas.so"}},
    /* oneDNN runs on OpenMP's threads. */
    [KIND_ONEDNN] = {"onednn",
                     "libdnnl2",
                     "dnnl_sgemm",
                     "omp_set_num_threads",
                     {"libdnnl.so.3", "libdnnl.so.2", "libdnnl.so"}},
};

static int kind_of(const char *name) {
    for (int i = 0; i < (int)(sizeof libraries / sizeof *libraries); i++)
        if (strcmp(name, libraries[i].name) == 0) return i;
    return -1;
}

bool qn_blas_is_known(const char *name) {
    return kind_of(name) >= 0;
}

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

enum qn_status qn_blas_open(const char *name, struct qn_blas *blas, struct qn_error *err) {
    const int kind = kind_of(name);
    if (kind < 0)
        return qn_fail(err, QN_BAD_ARGUMENT, "unknown library '%s'; known are openblas and onednn",
                       name);
    *blas = (struct qn_blas){.name = libraries[kind].name, .kind = kind};
    for (int i = 0; i < 3 && !blas->handle && libraries[kind].files[i]; i++)
        blas->handle = dlopen(libraries[kind].files[i], RTLD_NOW | RTLD_LOCAL);
    if (!blas->handle)
        return qn_fail(err, QN_NOT_FOUND, "%s is not installed (Debian's package %s)", name,
                       libraries[kind].package);
    blas->gemm = dlsym(blas->handle, libraries[kind].gemm);
    blas->set_threads = dlsym(blas->handle, libraries[kind].set_threads);
    if (!blas->gemm || !blas->set_threads)
        return qn_fail(err, QN_NOT_FOUND, "%s as installed has no %s", name, libraries[kind].gemm);
    describe(blas);
    return QN_OK;
}

static void multiply(const struct qn_blas *blas, const struct qn_lab_shape *s, const float *x,
                     const float *w, float *y) {
    cblas_sgemm_fn *cblas;
    dnnl_sgemm_fn *dnnl;
    if (blas->kind == KIND_OPENBLAS) {
        memcpy(&cblas, &blas->gemm, sizeof cblas);
        cblas(CBLAS_ROW_MAJOR, CBLAS_NO_TRANS, CBLAS_TRANS, s->m, s->n, s->k, 1, x, s->k, w, s->k,
              0, y, s->n);
    } else {
        memcpy(&dnnl, &blas->gemm, sizeof dnnl);
        dnnl('N', 'T', s->m, s->n, s->k, 1, x, s->k, w, s->k, 0, y, s->n);
    }
}

/* ---- measuring ---- */

struct operands {
    float *x, *y, *w; /* [m][k], [m][n], [copies][n][k] */
    size_t n_copies, next;
};

/* Against sums in double precision, of the first columns; the bound is that of lab_matmul.c. */
static void check(const struct qn_lab_shape *s, const struct operands *o,
                  struct qn_lab_result *result) {
    struct qn_lab_compare compare = {.right = true};
    const int columns = s->n < 16 ? s->n : 16;
    for (int m = 0; m < s->m; m++)
        for (int n = 0; n < columns; n++) {
            const float *const x = o->x + (size_t)m * (size_t)s->k;
            const float *const w = o->w + (size_t)n * (size_t)s->k;
            double sum = 0, size = 0;
            for (int k = 0; k < s->k; k++) {
                sum += (double)x[k] * (double)w[k];
                size += fabs((double)x[k] * (double)w[k]);
            }
            qn_lab_compare_one(&compare, (double)o->y[(size_t)m * (size_t)s->n + (size_t)n], sum,
                               (s->k + 64) * 0x1p-24 * size);
        }
    qn_lab_compare_end(&compare, result);
}

static double seconds(int n_threads) {
    struct timespec t;
    clock_gettime(n_threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of `calls` calls. */
static double time_calls(const struct qn_blas *blas, int n_threads, const struct qn_lab_shape *s,
                         struct operands *o, long calls) {
    const double start = seconds(n_threads);
    for (long i = 0; i < calls; i++) {
        multiply(blas, s, o->x, o->w + o->next * (size_t)s->n * (size_t)s->k, o->y);
        o->next = o->next + 1 < o->n_copies ? o->next + 1 : 0;
    }
    return seconds(n_threads) - start;
}

static void take_samples(const struct qn_blas *blas, int n_threads, const struct qn_lab_shape *s,
                         struct operands *o, const struct qn_lab_options *options,
                         struct qn_lab_result *result) {
    double times[QN_LAB_MAX_SAMPLES], walls[QN_LAB_MAX_SAMPLES], spent = 0;
    long calls = 1;
    while (time_calls(blas, n_threads, s, o, calls) < 3e-4 && calls < 1 << 24) calls *= 2;
    int n = 0;
    for (; n < options->n_samples && (n == 0 || spent < options->max_seconds); n++) {
        const double time = time_calls(blas, n_threads, s, o, calls);
        spent += time;
        times[n] = walls[n] = time / (double)calls;
    }
    qn_lab_summarize(times, walls, n, result);
}

enum qn_status qn_blas_measure(const struct qn_blas *blas, int n_threads,
                               const struct qn_lab_shape *shape, enum qn_level where,
                               const struct qn_lab_options *options, struct qn_lab_result *result,
                               struct qn_error *err) {
    const size_t m = (size_t)shape->m, n = (size_t)shape->n, k = (size_t)shape->k;
    const struct qn_caches caches = qn_machine_caches();
    const size_t footprint = qn_machine_footprint(&caches, where, n_threads) * (size_t)n_threads;
    struct operands o = {.n_copies = 1};
    if (where != QN_LEVEL_L2 && n * k * sizeof(float) < footprint)
        o.n_copies = footprint / (n * k * sizeof(float));
    struct qn_arena arena;
    QN_TRY(qn_arena_open((m * k + m * n + o.n_copies * n * k + 48) * sizeof(float), true, &arena,
                         err));
    size_t size = 0; /* parts at lines of their own */
    o.x = (float *)(void *)(arena.data + qn_lab_take(&size, m * k * sizeof(float)));
    o.y = (float *)(void *)(arena.data + qn_lab_take(&size, m * n * sizeof(float)));
    o.w = (float *)(void *)(arena.data + size);
    qn_lab_floats(1, o.x, m * k);
    qn_lab_floats(2, o.w, n * k);
    for (size_t c = 1; c < o.n_copies; c++) memcpy(o.w + c * n * k, o.w, n * k * sizeof(float));
    set_threads_fn *set_threads;
    memcpy(&set_threads, &blas->set_threads, sizeof set_threads);
    set_threads(n_threads);
    *result = (struct qn_lab_result){
        .ops = 2.0 * shape->m * shape->n * shape->k,
        .bytes = (double)((n * k + m * k + m * n) * sizeof(float)),
        .where = qn_lab_level(o.n_copies * n * k * sizeof(float), n_threads, where),
        .copies = o.n_copies};
    multiply(blas, shape, o.x, o.w, o.y);
    check(shape, &o, result);
    take_samples(blas, n_threads, shape, &o, options, result);
    qn_arena_close(&arena);
    return QN_OK;
}
