/* SPDX-License-Identifier: Apache-2.0
 *
 * Checks of kernels that work on rows: prepare, norm, softmax, rope, activation, add,
 * add_scaled, softcap.
 *
 * Bounds count roundings: u = QN_U is the relative error of one. "+ u |y|" allows for the
 * expectation itself having been rounded to float. Exponentials, erf and tanh may be 2 ulp off
 * (SLEEF's are 1, the vector exponential 2), at most 4 u relative.
 */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_check.h"

static const int sizes[] = {1,   2,   3,   4,   5,   7,   8,    9,    12,  15, 16,
                            17,  31,  32,  33,  47,  48,  63,   64,   65,  96, 101,
                            127, 128, 129, 255, 256, 257, 1009, 1536, 4864};
enum { SIZES = sizeof sizes / sizeof *sizes, SIZE_MAX_ROW = 4864 };

/* Every case of a row kernel: all sizes, all inputs. */
struct row_case {
    int n;
    enum qn_input input;
    uint64_t seed;
};

static bool next_case(const struct check *c, int *i, struct row_case *out) {
    const int step = c->quick ? 3 : 1; /* prime to SIZES, so that all sizes are met */
    const int at = (*i)++ * step;
    if (at >= SIZES * QN_INPUT_COUNT) return false;
    *out = (struct row_case){sizes[at % SIZES], (enum qn_input)(at / SIZES), (uint64_t)at + 1};
    return true;
}

static void check_intact(struct check *c, const struct qn_guarded *g) {
    check_true(c, qn_guarded_intact(g), "wrote outside its output");
}

/* ---- prepare ---- */

/* Infinities and NaNs may give any numbers, but within the row. */
static void check_prepare_no_numbers(struct check *c, const struct check_kernel *kernel) {
    enum { K = 224 };
    static struct qn_guarded found;
    float x[K];
    for (int i = 0; i < K; i++) x[i] = i % 3 == 0 ? NAN : i % 3 == 1 ? INFINITY : (float)-i;
    check_begin(c, kernel, QN_INPUT_EXTREME, 0, "k=%d, no numbers", K);
    kernel->run.prepare(
        x, K,
        qn_guarded_place(&found, qn_act_row_size((enum qn_act)kernel->variant, K), QN_SIDE_END));
    check_intact(c, &found);
    check_end(c);
}

void check_prepare(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct qn_guarded input, found, expected;
    struct row_case at;
    for (int j = 0; j < n; j++) check_prepare_no_numbers(c, kernels[j]);
    for (int i = 0; next_case(c, &i, &at);) {
        struct qn_random r = qn_random_open(at.seed);
        const enum qn_side side = i & 1 ? QN_SIDE_END : QN_SIDE_START;
        const size_t size = qn_act_row_size((enum qn_act)kernels[0]->variant, at.n);
        float *const x = qn_guarded_place(&input, (size_t)at.n * sizeof *x, side);
        void *const want = qn_guarded_place(&expected, size, side);
        qn_input_fill(at.input, &r, x, (size_t)at.n);
        c->ref.prepare[kernels[0]->variant](x, at.n, want);
        for (int j = 0; j < n; j++) {
            check_begin(c, kernels[j], at.input, at.seed, "k=%d", at.n);
            void *const got = qn_guarded_place(&found, size, side);
            memset(got, 0x5a, size);
            kernels[j]->run.prepare(x, at.n, got);
            check_same_bits(c, got, want, size / sizeof(float), "prepared row, as words");
            check_intact(c, &found);
            check_end(c);
        }
    }
}

/* ---- norm ---- */

static double magnitude(const float *x, int i) {
    return x ? fabs((double)x[i]) : 1;
}

/* Sums of k terms are off by k u of the sum of magnitudes. The mean m of a layer norm is off by
 * dm = (k + 1) u mean|x|; that shifts each x - m by dm and the mean square of them by dm^2, while
 * the sum of squares is off by (k + 3) u. An inverse square root halves relative errors; it, the
 * division, the two products and the subtraction add 6 u. */
static void norm_bounds(bool layer, const float *x, const float *w, const float *b, double eps,
                        int k, const float *expected, double *bounds) {
    double sum = 0, magnitudes = 0, squares = 0;
    for (int i = 0; i < k; i++) {
        sum += (double)x[i];
        magnitudes += fabs((double)x[i]);
    }
    const double mean = layer ? sum / k : 0;
    const double mean_error = layer ? (k + 1) * QN_U * magnitudes / k : 0;
    for (int i = 0; i < k; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double variance = squares / k, inverse = 1 / sqrt(variance + eps);
    const double relative =
        (mean_error * mean_error + (k + 3) * QN_U * variance) / (variance + eps) / 2 + 6 * QN_U;
    for (int i = 0; i < k; i++)
        bounds[i] =
            magnitude(w, i) * inverse * (mean_error + fabs((double)x[i] - mean) * relative) +
            QN_U * (b ? magnitude(b, i) : 0) + 2 * QN_U * fabs((double)expected[i]) + FLT_MIN;
}

static void compare_row(struct check *c, const float *found, const float *expected,
                        const double *bounds, int n) {
    struct qn_worst worst = {0};
    for (int i = 0; i < n; i++)
        qn_compare_one(&worst, (size_t)i, (double)found[i], (double)expected[i], bounds[i]);
    check_bound(c, &worst);
}

void check_norm(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct qn_guarded input, weight, bias, output;
    static float expected[SIZE_MAX_ROW];
    static double bounds[SIZE_MAX_ROW];
    struct row_case at;
    for (int i = 0; next_case(c, &i, &at);) {
        struct qn_random r = qn_random_open(at.seed);
        const enum qn_side side = i & 1 ? QN_SIDE_END : QN_SIDE_START;
        const size_t size = (size_t)at.n * sizeof(float);
        float *const x = qn_guarded_place(&input, size, side);
        float *w = qn_guarded_place(&weight, size, side), *b = qn_guarded_place(&bias, size, side);
        const float eps = i & 2 ? 1e-5f : 1e-6f;
        qn_input_fill(at.input, &r, x, (size_t)at.n);
        qn_input_fill(QN_INPUT_RANDOM, &r, w, (size_t)at.n);
        qn_input_fill(QN_INPUT_RANDOM, &r, b, (size_t)at.n);
        if (i % 5 == 4) w = NULL;
        if (i % 3 == 2) b = NULL;
        c->ref.norm[kernels[0]->variant](x, w, b, eps, at.n, expected);
        norm_bounds(kernels[0]->variant == QN_NORM_LAYER, x, w, b, (double)eps, at.n, expected,
                    bounds);
        for (int j = 0; j < n; j++) {
            check_begin(c, kernels[j], at.input, at.seed, "k=%d%s%s", at.n, w ? " w" : "",
                        b ? " b" : "");
            float *const y = qn_guarded_place(&output, size, side);
            kernels[j]->run.norm(x, w, b, eps, at.n, y);
            compare_row(c, y, expected, bounds, at.n);
            check_intact(c, &output);
            float *const in_place = qn_guarded_place(&output, size, side);
            float *const apart = memcpy(malloc(size), y, size);
            memcpy(in_place, x, size);
            kernels[j]->run.norm(in_place, w, b, eps, at.n, in_place);
            check_same_bits(c, in_place, apart, (size_t)at.n, "in place");
            free(apart);
            check_end(c);
        }
    }
}

/* ---- softmax ---- */

/* exp(x_i - max): the rounded difference d moves it by u |d|, the exponential by 4 u. The sum of n
 * terms carries the average of those and n u; a reciprocal and a product, or a quotient, 2 u.
 * Exponentials below the normal numbers may be flushed to zero. */
static void softmax_bounds(const float *x, int n, const float *expected, double *bounds) {
    double max = -INFINITY, sum_error = 0;
    for (int i = 0; i < n; i++)
        if ((double)x[i] > max) max = (double)x[i];
    for (int i = 0; i < n; i++)
        if (x[i] != -INFINITY) sum_error += (double)expected[i] * (max - (double)x[i] + 4) * QN_U;
    for (int i = 0; i < n; i++) {
        const double own = x[i] == -INFINITY ? 0 : (max - (double)x[i] + 4) * QN_U;
        bounds[i] = (double)expected[i] * (own + sum_error + (n + 3) * QN_U) + 2 * FLT_MIN;
        if (x[i] == -INFINITY) bounds[i] = 0;
    }
}

/* Masks a third of the elements, but not all. */
static void mask(struct qn_random *r, float *x, int n) {
    const int kept = qn_random_below(r, n);
    for (int i = 0; i < n; i++)
        if (i != kept && qn_random_below(r, 3) == 0) x[i] = -INFINITY;
}

void check_softmax(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct qn_guarded buffer;
    static float input[SIZE_MAX_ROW], expected[SIZE_MAX_ROW];
    static double bounds[SIZE_MAX_ROW];
    struct row_case at;
    for (int i = 0; next_case(c, &i, &at);) {
        struct qn_random r = qn_random_open(at.seed);
        const size_t size = (size_t)at.n * sizeof *input;
        const bool masked = i & 2;
        qn_input_fill(at.input, &r, input, (size_t)at.n);
        if (masked) mask(&r, input, at.n);
        memcpy(expected, input, size);
        c->ref.softmax[0](expected, at.n);
        softmax_bounds(input, at.n, expected, bounds);
        for (int j = 0; j < n; j++) {
            check_begin(c, kernels[j], at.input, at.seed, "n=%d%s", at.n, masked ? " masked" : "");
            float *const x = qn_guarded_place(&buffer, size, i & 1 ? QN_SIDE_END : QN_SIDE_START);
            memcpy(x, input, size);
            kernels[j]->run.softmax(x, at.n);
            compare_row(c, x, expected, bounds, at.n);
            check_intact(c, &buffer);
            check_end(c);
        }
    }
}

/* ---- rope ---- */

/* Two products and a sum, fused or not: 2 u of the sum of the products' magnitudes. */
static void rope_bounds(const float *x, int heads, size_t ld, int half, bool adjacent,
                        const float *cos, const float *sin, const float *expected, double *bounds) {
    for (size_t i = 0; i < ((size_t)heads - 1) * ld; i++) bounds[i] = 0; /* gaps stay */
    for (int h = 0; h < heads; h++) {
        for (int i = 0; i < half; i++) {
            const size_t first = (size_t)h * ld + (size_t)(adjacent ? 2 * i : i);
            const size_t second = first + (size_t)(adjacent ? 1 : half);
            const double a = magnitude(x, (int)first), b = magnitude(x, (int)second);
            const double co = magnitude(cos, i), si = magnitude(sin, i);
            bounds[first] = 2 * QN_U * (a * co + b * si) + QN_U * magnitude(expected, (int)first);
            bounds[second] = 2 * QN_U * (a * si + b * co) + QN_U * magnitude(expected, (int)second);
            bounds[first] += FLT_MIN;
            bounds[second] += FLT_MIN;
        }
    }
}

void check_rope(struct check *c, const struct check_kernel *const *kernels, int n) {
    enum { HALF_MAX = 128, HEADS_MAX = 9, FLOATS = HEADS_MAX * (2 * HALF_MAX + 16) };
    static struct qn_guarded buffer, cos_buffer, sin_buffer;
    static float input[FLOATS], expected[FLOATS];
    static double bounds[FLOATS];
    static const int halves[] = {1,  2,  3,  4,  5,  7,  8,  9,  12, 15,
                                 16, 17, 20, 24, 31, 32, 33, 48, 64, 128};
    enum { HALVES = sizeof halves / sizeof *halves };
    for (int i = 0; i < HALVES * QN_INPUT_COUNT; i += c->quick ? 3 : 1) {
        const enum qn_input kind = (enum qn_input)(i / HALVES);
        struct qn_random r = qn_random_open((uint64_t)i + 1);
        const int half = halves[i % HALVES], heads = 1 + qn_random_below(&r, HEADS_MAX);
        const size_t ld = (size_t)(2 * half + (i & 1 ? qn_random_below(&r, 16) : 0));
        const size_t count = ((size_t)heads - 1) * ld + (size_t)(2 * half);
        const enum qn_side side = i & 2 ? QN_SIDE_END : QN_SIDE_START;
        float *const co = qn_guarded_place(&cos_buffer, (size_t)half * sizeof *co, side);
        float *const si = qn_guarded_place(&sin_buffer, (size_t)half * sizeof *si, side);
        for (int j = 0; j < half; j++) {
            const double angle = 100 * (double)qn_random_float(&r);
            co[j] = (float)cos(angle);
            si[j] = (float)sin(angle);
        }
        qn_input_fill(kind, &r, input, count);
        memcpy(expected, input, count * sizeof *input);
        c->ref.rope[kernels[0]->variant](expected, heads, ld, half, co, si);
        rope_bounds(input, heads, ld, half, kernels[0]->variant == QN_ROPE_ADJACENT, co, si,
                    expected, bounds);
        for (int j = 0; j < n; j++) {
            check_begin(c, kernels[j], kind, (uint64_t)i + 1, "half=%d heads=%d ld=%zu", half,
                        heads, ld);
            float *const x = qn_guarded_place(&buffer, count * sizeof *x, side);
            memcpy(x, input, count * sizeof *x);
            kernels[j]->run.rope(x, heads, ld, half, co, si);
            compare_row(c, x, expected, bounds, (int)count);
            check_intact(c, &buffer);
            check_end(c);
        }
    }
}

/* ---- activation ---- */

/* Error of f(g), beside that of the roundings of products, which are relative.
 * SILU: the exponential's 4 u shrink by e/(1+e); a sum, a quotient and a product 3 u. Where e^-x
 *   leaves the normal numbers the result, |x| e^-|x|, may be flushed or its exponent clamped.
 * GELU: 1 + erf cancels for x < 0, so errors are of 1, not of y: erf 2 u, its argument's two
 *   roundings times max z erf'(z) = 0.48 give 1 u, the sum, below 2, 2 u; times |x|/2.
 * GELU_TANH: the same with tanh 2 u; six roundings of its argument times max t tanh'(t) = 0.45. */
static double activation_error(enum qn_activation activation, double x, double y) {
    const double a = fabs(x);
    switch (activation) {
    case QN_ACTIVATION_SILU:
        return 7 * QN_U * fabs(y) + 2 * FLT_MIN * a;
    case QN_ACTIVATION_GELU:
        return 5 * QN_U / 2 * a + 2 * QN_U * fabs(y);
    case QN_ACTIVATION_GELU_TANH:
        return 7 * QN_U / 2 * a + 2 * QN_U * fabs(y);
    default:
        return 0;
    }
}

void check_activation(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct qn_guarded gate, up, output;
    static float expected[SIZE_MAX_ROW], plain[SIZE_MAX_ROW];
    static double bounds[SIZE_MAX_ROW];
    const enum qn_activation activation = (enum qn_activation)kernels[0]->variant;
    struct row_case at;
    for (int i = 0; next_case(c, &i, &at);) {
        struct qn_random r = qn_random_open(at.seed);
        const enum qn_side side = i & 1 ? QN_SIDE_END : QN_SIDE_START;
        const size_t size = (size_t)at.n * sizeof(float);
        float *const g = qn_guarded_place(&gate, size, side);
        float *u = qn_guarded_place(&up, size, side);
        qn_input_fill(at.input, &r, g, (size_t)at.n);
        qn_input_fill(QN_INPUT_RANDOM, &r, u, (size_t)at.n);
        if (i % 3 == 2) u = NULL;
        c->ref.activation[activation](g, NULL, at.n, plain);
        c->ref.activation[activation](g, u, at.n, expected);
        for (int k = 0; k < at.n; k++) {
            const double factor = u ? magnitude(u, k) : 1;
            const double error = activation_error(activation, (double)g[k], (double)plain[k]);
            bounds[k] = error * factor + 2 * QN_U * magnitude(expected, k) + FLT_MIN;
            if (activation == QN_ACTIVATION_RELU) bounds[k] = 0;
        }
        for (int j = 0; j < n; j++) {
            check_begin(c, kernels[j], at.input, at.seed, "n=%d%s", at.n, u ? " gated" : "");
            float *const y = qn_guarded_place(&output, size, side);
            kernels[j]->run.activation(g, u, at.n, y);
            compare_row(c, y, expected, bounds, at.n);
            check_intact(c, &output);
            memcpy(plain, y, size);
            memcpy(y, g, size);
            kernels[j]->run.activation(y, u, at.n, y);
            check_same_bits(c, y, plain, (size_t)at.n, "in place of g");
            if (u) {
                memcpy(y, u, size);
                kernels[j]->run.activation(g, y, at.n, y);
                check_same_bits(c, y, plain, (size_t)at.n, "in place of u");
            }
            check_end(c);
        }
    }
}

/* ---- additions ---- */

/* Rounded once, so to the same bits everywhere: y + x, or scale x + y where scaled. */
static void check_additions(struct check *c, const struct check_kernel *const *kernels, int n,
                            bool scaled) {
    static struct qn_guarded input, output;
    static float old[SIZE_MAX_ROW], expected[SIZE_MAX_ROW];
    struct row_case at;
    for (int i = 0; next_case(c, &i, &at);) {
        struct qn_random r = qn_random_open(at.seed);
        const enum qn_side side = i & 1 ? QN_SIDE_END : QN_SIDE_START;
        const size_t size = (size_t)at.n * sizeof(float);
        const float scale = qn_random_float(&r);
        float *const x = qn_guarded_place(&input, size, side);
        qn_input_fill(at.input, &r, x, (size_t)at.n);
        qn_input_fill(QN_INPUT_RANDOM, &r, old, (size_t)at.n);
        for (int k = 0; k < at.n; k++)
            expected[k] = scaled ? fmaf(scale, x[k], old[k]) : old[k] + x[k];
        for (int j = 0; j < n; j++) {
            check_begin(c, kernels[j], at.input, at.seed, "n=%d", at.n);
            float *const y = qn_guarded_place(&output, size, side);
            memcpy(y, old, size);
            if (scaled)
                kernels[j]->run.add_scaled(scale, x, at.n, y);
            else
                kernels[j]->run.add(x, at.n, y);
            check_same_bits(c, y, expected, (size_t)at.n, "sum");
            check_intact(c, &output);
            check_end(c);
        }
    }
}

void check_add(struct check *c, const struct check_kernel *const *kernels, int n) {
    check_additions(c, kernels, n, false);
}

void check_add_scaled(struct check *c, const struct check_kernel *const *kernels, int n) {
    check_additions(c, kernels, n, true);
}

/* ---- softcap ---- */

/* cap * tanh(x / cap): as |t tanh'(t)| <= |tanh t|, the quotient's rounding moves the result by u
 * of it at the most; tanh adds 2 u, the product u, and the expectation was rounded, u. Far below
 * the cap a subnormal may vanish on the way, which the cap then multiplies. */
void check_softcap(struct check *c, const struct check_kernel *const *kernels, int n) {
    static struct qn_guarded output;
    static float input[SIZE_MAX_ROW], expected[SIZE_MAX_ROW];
    static double bounds[SIZE_MAX_ROW];
    static const float caps[] = {0.25f, 30.0f, 1.0f, 50.0f};
    struct row_case at;
    for (int i = 0; next_case(c, &i, &at);) {
        struct qn_random r = qn_random_open(at.seed);
        const enum qn_side side = i & 1 ? QN_SIDE_END : QN_SIDE_START;
        const size_t size = (size_t)at.n * sizeof(float);
        const float cap = caps[i % 4];
        qn_input_fill(at.input, &r, input, (size_t)at.n);
        memcpy(expected, input, size);
        c->ref.softcap[0](cap, at.n, expected);
        for (int k = 0; k < at.n; k++)
            bounds[k] = 5 * QN_U * fabs((double)expected[k]) + (double)fmaxf(cap, 1) * FLT_MIN;
        for (int j = 0; j < n; j++) {
            check_begin(c, kernels[j], at.input, at.seed, "n=%d cap=%g", at.n, (double)cap);
            float *const x = qn_guarded_place(&output, size, side);
            memcpy(x, input, size);
            kernels[j]->run.softcap(cap, at.n, x);
            compare_row(c, x, expected, bounds, at.n);
            check_intact(c, &output);
            check_end(c);
        }
    }
}
