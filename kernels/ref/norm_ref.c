/* SPDX-License-Identifier: Apache-2.0
 *
 * Normalization, as specified: double sums in rising order, one rounding an element.
 */
#include <assert.h>
#include <math.h>

#include "kernels/inventory.h"

static void scale_and_shift(const float *x, double mean, double inverse, const float *w,
                            const float *b, int k, float *y) {
    for (int i = 0; i < k; i++) {
        const double weight = w ? (double)w[i] : 1.0;
        const double bias = b ? (double)b[i] : 0.0;
        y[i] = (float)(((double)x[i] - mean) * inverse * weight + bias);
    }
}

void qn_norm_rms__ref(const float *x, const float *w, const float *b, float eps, int k, float *y) {
    assert(k > 0);
    double squares = 0;
    for (int i = 0; i < k; i++) squares += (double)x[i] * (double)x[i];
    scale_and_shift(x, 0, 1 / sqrt(squares / k + (double)eps), w, b, k, y);
}

void qn_norm_layer__ref(const float *x, const float *w, const float *b, float eps, int k,
                        float *y) {
    assert(k > 0);
    double sum = 0, squares = 0;
    for (int i = 0; i < k; i++) sum += (double)x[i];
    const double mean = sum / k;
    for (int i = 0; i < k; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    scale_and_shift(x, mean, 1 / sqrt(squares / k + (double)eps), w, b, k, y);
}
