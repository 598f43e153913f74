/* SPDX-License-Identifier: Apache-2.0 */
#include "run/maxima.h"

#include <math.h>

/* Independent maxima let the compiler use vectors. */
enum { LANES = 16 };

static float largest_of(const float *logits, int n) {
    float lanes[LANES];
    for (int j = 0; j < LANES; j++) lanes[j] = -INFINITY;
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            lanes[j] = logits[i + j] > lanes[j] ? logits[i + j] : lanes[j];
    for (; i < n; i++) lanes[0] = logits[i] > lanes[0] ? logits[i] : lanes[0];
    for (int j = 1; j < LANES; j++) lanes[0] = lanes[j] > lanes[0] ? lanes[j] : lanes[0];
    return lanes[0];
}

void qn_maxima_find(const float *logits, int n, float *maxima) {
    for (int i = 0; i < n; i += QN_LOGITS_BLOCK) {
        const int left = n - i;
        maxima[i / QN_LOGITS_BLOCK] =
            largest_of(logits + i, left < QN_LOGITS_BLOCK ? left : QN_LOGITS_BLOCK);
    }
}
