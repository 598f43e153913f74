/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds vec_exp of every instruction set of this machine to the bound that vec_math.h states,
 * against exp of double, and to its exact values. The arguments are every 13th float of the range,
 * a step that meets every pattern of low bits.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kernels.h"

enum { BATCH = 4096, STEP = 13 };

/* As vec_math.h states them. */
static const double bound = 1.06; /* units in the last place */
static const float lowest = -87.3f;

typedef void exp_array_fn(const float *x, int n, float *y);
exp_array_fn vec_exp_array__avx2, vec_exp_array__avx512, vec_exp_array__neon;

static const struct {
    enum qn_isa isa;
    exp_array_fn *function;
} versions[] = {
#ifdef QN_HAVE_AVX2
    {QN_ISA_AVX2, vec_exp_array__avx2},
#endif
#ifdef QN_HAVE_AVX512
    {QN_ISA_AVX512, vec_exp_array__avx512},
#endif
#ifdef QN_HAVE_NEON
    {QN_ISA_NEON, vec_exp_array__neon},
#endif
    {QN_ISA_COUNT, NULL},
};

static uint32_t float_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* |y - e^x| in units of the last place that a float has at e^x. */
static double error_ulp(float x, float y) {
    const double exact = exp((double)x);
    int exponent;
    frexp(exact, &exponent);
    return fabs((double)y - exact) / ldexp(1.0, exponent - 24);
}

/* The largest error over the normal range, and where it is. */
static double worst_error(exp_array_fn *function, float *at) {
    static float x[BATCH], y[BATCH];
    const uint32_t first = float_bits(-0x1p-30f), last = float_bits(lowest);
    double worst = 0;
    uint32_t bits = first;
    while (bits <= last) {
        for (int i = 0; i < BATCH; i++) {
            memcpy(x + i, &bits, sizeof bits);
            if (bits <= last - STEP) bits += STEP;
        }
        function(x, BATCH, y);
        for (int i = 0; i < BATCH; i++) {
            const double error = error_ulp(x[i], y[i]);
            /* A NaN is worse than anything, and stays. */
            if (!isnan(worst) && !(error <= worst)) worst = error, *at = x[i];
        }
        if (bits > last - STEP) break;
    }
    return worst;
}

static int check_exact_values(exp_array_fn *function, const char *name) {
    static const float cases[16][2] = {
        {0.0f, 1.0f},       {-0.0f, 1.0f},   {-0x1p-149f, 1.0f}, {-0x1p-30f, 1.0f},
        {-INFINITY, 0.0f},  {-3e38f, 0.0f},  {-1e10f, 0.0f},     {-1000.0f, 0.0f},
        {-104.0f, 0.0f},    {-88.0f, 0.0f},  {-87.5f, 0.0f},     {-87.34f, 0.0f},
        {-87.30001f, 0.0f}, {-150.0f, 0.0f}, {-200.0f, 0.0f},    {-1e30f, 0.0f},
    };
    float x[16], y[16];
    int failed = 0;
    for (int i = 0; i < 16; i++) x[i] = cases[i][0];
    function(x, 16, y);
    for (int i = 0; i < 16; i++) {
        if (float_bits(y[i]) == float_bits(cases[i][1])) continue;
        printf("%s: exp(%a) is %a, expected %a\n", name, (double)x[i], (double)y[i],
               (double)cases[i][1]);
        failed++;
    }
    return failed;
}

int main(void) {
    int failed = 0;
    for (int v = 0; versions[v].function; v++) {
        const char *const name = qn_isa_name(versions[v].isa);
        if (!(qn_cpu_bundles() >> versions[v].isa & 1)) {
            printf("%s: not run here\n", name);
            continue;
        }
        float at = 0;
        const double worst = worst_error(versions[v].function, &at);
        printf("%s: at most %.4f ulp, at %a\n", name, worst, (double)at);
        failed += check_exact_values(versions[v].function, name) + !(worst <= bound);
    }
    return failed != 0;
}
