/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotary position embedding, as specified, for both pairings.
 */
#include <assert.h>

#include "kernels/inventory.h"

/* Pair i is (i * step, i * step + distance). */
static void rotate(float *x, int n_heads, size_t ld, int half, int step, int distance,
                   const float *cos, const float *sin) {
    assert(n_heads > 0 && half > 0);
    for (int h = 0; h < n_heads; h++) {
        float *const head = x + (size_t)h * ld;
        for (int i = 0; i < half; i++) {
            float *const first = head + i * step, *const second = first + distance;
            const double a = (double)*first, b = (double)*second;
            const double c = (double)cos[i], s = (double)sin[i];
            *first = (float)(a * c - b * s);
            *second = (float)(a * s + b * c);
        }
    }
}

void qn_rope_halves__ref(float *x, int n_heads, size_t ld, int half, const float *cos,
                         const float *sin) {
    rotate(x, n_heads, ld, half, 1, half, cos, sin);
}

void qn_rope_adjacent__ref(float *x, int n_heads, size_t ld, int half, const float *cos,
                           const float *sin) {
    rotate(x, n_heads, ld, half, 2, 1, cos, sin);
}
