/* SPDX-License-Identifier: Apache-2.0
 *
 * Activations, gated or not, additions and the soft cap, as specified.
 */
#include <assert.h>
#include <math.h>

#include "kernels/inventory.h"

static double silu(double x) {
    return x / (1 + exp(-x));
}

/* erfc keeps its relative accuracy where 1 + erf would cancel. */
static double gelu(double x) {
    return x / 2 * erfc(-x * M_SQRT1_2);
}

/* x/2 (1 + tanh t) = x / (1 + e^-2t), free of cancellation too. */
static double gelu_tanh(double x) {
    const double t = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return x / (1 + exp(-2 * t));
}

static double relu(double x) {
    return x > 0 ? x : 0;
}

static inline void apply(double (*f)(double), const float *g, const float *u, int n, float *y) {
    assert(n > 0);
    for (int i = 0; i < n; i++) y[i] = (float)(f((double)g[i]) * (u ? (double)u[i] : 1.0));
}

void qn_activation_silu__ref(const float *g, const float *u, int n, float *y) {
    apply(silu, g, u, n, y);
}

void qn_activation_gelu__ref(const float *g, const float *u, int n, float *y) {
    apply(gelu, g, u, n, y);
}

void qn_activation_gelu_tanh__ref(const float *g, const float *u, int n, float *y) {
    apply(gelu_tanh, g, u, n, y);
}

void qn_activation_relu__ref(const float *g, const float *u, int n, float *y) {
    apply(relu, g, u, n, y);
}

void qn_add__ref(const float *x, int n, float *y) {
    for (int i = 0; i < n; i++) y[i] += x[i];
}

void qn_add_scaled__ref(float scale, const float *x, int n, float *y) {
    for (int i = 0; i < n; i++) y[i] = fmaf(scale, x[i], y[i]);
}

void qn_softcap__ref(float cap, int n, float *x) {
    assert(cap > 0);
    for (int i = 0; i < n; i++) x[i] = (float)((double)cap * tanh((double)x[i] / (double)cap));
}
