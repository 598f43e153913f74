/* SPDX-License-Identifier: Apache-2.0
 *
 * The kernel laboratory: it knows every operation, finds right kernels right and wrong ones wrong.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "report/lab_internal.h"

static const struct qn_lab_shape small = {
    .m = 3, .n = 40, .k = 512, .t = 70, .d = 32, .g = 2, .heads = 2};

Test(lab, knows_every_operation_of_the_inventory) {
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    for (size_t i = 0; i < n; i++) cr_assert(qn_lab_knows(entries[i].op), "%s", entries[i].op);
    cr_assert_not(qn_lab_knows("levitate"));
}

Test(lab, finds_every_kernel_right) {
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    for (size_t i = 0; i < n; i++) {
        if (!(qn_cpu_bundles() >> entries[i].isa & 1)) continue;
        const struct qn_lab_kernel kernel = qn_lab_kernel_of(&entries[i]);
        struct qn_lab_result result;
        struct qn_error err;
        cr_assert_eq(qn_lab_check(&kernel, &small, &result, &err), QN_OK, "%s: %s", kernel.function,
                     err.message);
        cr_assert(result.right, "%s: error %g", kernel.function, result.error);
        cr_assert(entries[i].isa != QN_ISA_REF || result.error == 0, "%s against itself: %g",
                  kernel.function, result.error);
    }
}

/* ---- kernels that do nothing ---- */

static void no_matmul(const struct qn_matmul *a) {
    (void)a;
}
static void no_prepare(const float *x, int k, void *dst) {
    (void)x, (void)k, (void)dst;
}
static void no_norm(const float *x, const float *w, const float *b, float eps, int k, float *y) {
    (void)x, (void)w, (void)b, (void)eps, (void)k, (void)y;
}
static void no_softmax(float *x, int n) {
    (void)x, (void)n;
}
static void no_rope(float *x, int n_heads, size_t ld, int half, const float *cos,
                    const float *sin) {
    (void)x, (void)n_heads, (void)ld, (void)half, (void)cos, (void)sin;
}
static void no_activation(const float *g, const float *u, int n, float *y) {
    (void)g, (void)u, (void)n, (void)y;
}
static void no_add(const float *x, int n, float *y) {
    (void)x, (void)n, (void)y;
}
static void no_add_scaled(float scale, const float *x, int n, float *y) {
    (void)scale, (void)x, (void)n, (void)y;
}
static void no_softcap(float cap, int n, float *x) {
    (void)cap, (void)n, (void)x;
}
static void no_store(const float *k, const float *v, int d, int slot, void *k_block,
                     void *v_block) {
    (void)k, (void)v, (void)d, (void)slot, (void)k_block, (void)v_block;
}
static void no_attention(const struct qn_attention *a) {
    (void)a;
}

static void no_merge(const float *parts, int n_spans, int n_rows, int d, float *out) {
    (void)parts, (void)n_spans, (void)n_rows, (void)d, (void)out;
}

static void disable(struct qn_lab_kernel *kernel) {
    struct qn_kernels *const t = &kernel->table;
    const int slot = kernel->slot;
    if (strcmp(kernel->op, "matmul") == 0) t->matmul[slot] = no_matmul;
    if (strcmp(kernel->op, "matvec") == 0) t->matvec[slot] = no_matmul;
    if (strcmp(kernel->op, "norm") == 0) t->norm[slot] = no_norm;
    if (strcmp(kernel->op, "softmax") == 0) t->softmax[slot] = no_softmax;
    if (strcmp(kernel->op, "rope") == 0) t->rope[slot] = no_rope;
    if (strcmp(kernel->op, "activation") == 0) t->activation[slot] = no_activation;
    if (strcmp(kernel->op, "add") == 0) t->add[slot] = no_add;
    if (strcmp(kernel->op, "add_scaled") == 0) t->add_scaled[slot] = no_add_scaled;
    if (strcmp(kernel->op, "softcap") == 0) t->softcap[slot] = no_softcap;
    if (strcmp(kernel->op, "kv_store") == 0) t->kv_store[slot] = no_store;
    if (strcmp(kernel->op, "attention") == 0) t->attention[slot] = no_attention;
    if (strcmp(kernel->op, "attention_merge") == 0) t->attention_merge[slot] = no_merge;
    if (strcmp(kernel->op, "prepare") == 0) t->prepare[slot] = no_prepare;
}

Test(lab, finds_a_kernel_that_does_nothing_wrong) {
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    for (size_t i = 0; i < n; i++) {
        if (entries[i].isa != QN_ISA_REF) continue;
        struct qn_lab_kernel kernel = qn_lab_kernel_of(&entries[i]);
        disable(&kernel);
        struct qn_lab_result result;
        cr_assert_eq(qn_lab_check(&kernel, &small, &result, NULL), QN_OK);
        cr_assert_not(result.right, "%s does nothing", kernel.function);
    }
}

/* ---- shapes ---- */

static struct qn_lab_kernel find(const char *op, int slot) {
    size_t n;
    const struct qn_kernel_entry *const entries = qn_kernel_list(&n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(entries[i].op, op) == 0 && entries[i].variant == slot)
            return qn_lab_kernel_of(&entries[i]);
    cr_assert_fail("no kernel of %s", op);
    return (struct qn_lab_kernel){.op = op};
}

Test(lab, shapes_have_what_their_operation_uses) {
    static const struct {
        const char *op, *text;
    } texts[] = {{"matmul", "3x40x512"}, {"matvec", "1x40x512"},      {"norm", "3x512"},
                 {"softmax", "3x40"},    {"activation", "3x40"},      {"rope", "3x16x32"},
                 {"kv_store", "3x2x32"}, {"attention", "3:70x2x2x32"}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const struct qn_lab_shape shape = qn_lab_shape_of(texts[i].op, &small);
        char text[64];
        qn_lab_shape_text(texts[i].op, &shape, text, sizeof text);
        cr_assert_str_eq(text, texts[i].text);
    }
    const struct qn_lab_shape long_rows = {.m = 9, .t = 5, .d = 2, .g = 1, .heads = 1};
    cr_assert_eq(qn_lab_shape_of("attention", &long_rows).t, 9, "tokens are among the positions");
}

Test(lab, impossible_shapes_are_told) {
    const struct qn_lab_kernel q4_k = find("matmul", QN_PACK_Q4_K),
                               q8 = find("matmul", QN_PACK_Q8_0);
    const struct qn_lab_kernel f32 = find("matmul", QN_PACK_F32), rope = find("rope", 0);
    struct qn_lab_shape shape = small;
    shape.k = 96;
    cr_assert_not_null(strstr(qn_lab_shape_problem(&q4_k, &shape), "256"));
    cr_assert_null(qn_lab_shape_problem(&q8, &shape));
    shape.k = 33;
    cr_assert_not_null(strstr(qn_lab_shape_problem(&q8, &shape), "32"));
    cr_assert_null(qn_lab_shape_problem(&f32, &shape));
    cr_assert_not_null(strstr(qn_lab_shape_problem(&rope, &shape), "head size"));
    shape.m = 0;
    cr_assert_not_null(qn_lab_shape_problem(&f32, &shape));
    struct qn_lab_result result;
    struct qn_error err;
    cr_assert_eq(qn_lab_check(&f32, &shape, &result, &err), QN_BAD_ARGUMENT);
}

/* ---- numbers ---- */

Test(lab, errors_are_relative_and_bounds_absolute) {
    struct qn_lab_compare compare = {.right = true};
    qn_lab_compare_one(&compare, 3, 3, 0);
    qn_lab_compare_one(&compare, -4.5, -4, 0.5);
    struct qn_lab_result result;
    qn_lab_compare_end(&compare, &result);
    cr_assert(result.right);
    cr_assert_float_eq(result.error, 0.5 / 3.5355339, 1e-6, "%g", result.error);
    qn_lab_compare_one(&compare, 0.0 / 0.0, 1, 1e9);
    qn_lab_compare_end(&compare, &result);
    cr_assert_not(result.right, "a NaN is never right");
    qn_lab_compare_one(&compare, 1, 1, 0);
    qn_lab_compare_end(&compare, &result);
    cr_assert(isnan(result.error), "a NaN is the worst: %g", result.error);
}

Test(lab, statistics_are_ordered) {
    double cpu[101], wall[101];
    for (int i = 0; i < 101; i++) cpu[i] = wall[i] = (i * 37) % 101 + 1;
    struct qn_lab_result r;
    qn_lab_summarize(cpu, wall, 101, &r);
    cr_assert_eq(r.median, 51);
    cr_assert_eq(r.min, 1);
    cr_assert_eq(r.p5, 6);
    cr_assert_eq(r.p95, 96);
    cr_assert(r.low == 41 && r.high == 61, "%g %g", r.low, r.high);
    qn_lab_summarize(cpu, wall, 6, &r);
    cr_assert(r.low == cpu[0] && r.high == cpu[5], "of six all lie within: %g %g", r.low, r.high);
    qn_lab_summarize(cpu, wall, 5, &r);
    cr_assert(isnan(r.low) && isnan(r.high), "five are too few: %g %g", r.low, r.high);
    double one = 5, same = 5;
    qn_lab_summarize(&one, &same, 1, &r);
    cr_assert(r.median == 5 && isnan(r.low) && isnan(r.high) && r.p95 == 5);
}

Test(lab, a_measurement_adds_up) {
    struct qn_topology topology;
    struct qn_pool *pool;
    cr_assert_eq(qn_topology_read(NULL, &topology, NULL), QN_OK);
    const struct qn_pool_options options = {.n_threads = 2, .pin = false};
    cr_assert_eq(qn_pool_new(&topology, &options, &pool, NULL), QN_OK);
    const struct qn_lab_kernel kernel = find("matmul", QN_PACK_Q8_0);
    const struct qn_lab_options lab = {.n_samples = 6, .max_seconds = 10, .counters = true};
    struct qn_lab_result r;
    struct qn_error err;
    cr_assert_eq(qn_lab_measure(pool, &kernel, &small, QN_LEVEL_L2, &lab, &r, &err), QN_OK);
    cr_assert(r.right && r.n_samples == 6 && r.copies == 1);
    cr_assert(r.min > 0 && r.min <= r.p5 && r.p5 <= r.median && r.median <= r.p95);
    cr_assert(r.low <= r.median && r.median <= r.high);
    cr_assert_eq(r.ops, 2.0 * 3 * 40 * 512);
    cr_assert_gt(r.bytes, 40.0 * 512, "a byte a weight, and scales");
    qn_pool_free(pool);
    qn_topology_free(&topology);
}
