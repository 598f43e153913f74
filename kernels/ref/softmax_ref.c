/* SPDX-License-Identifier: Apache-2.0
 *
 * Softmax, as specified. exp is computed twice, so that no sum of rounded terms is needed.
 */
#include <assert.h>
#include <math.h>

#include "kernels/inventory.h"

void qn_softmax__ref(float *x, int n) {
    assert(n > 0);
    float max = x[0];
    for (int i = 1; i < n; i++)
        if (x[i] > max) max = x[i];
    double sum = 0;
    for (int i = 0; i < n; i++) sum += exp((double)x[i] - (double)max);
    for (int i = 0; i < n; i++) x[i] = (float)(exp((double)x[i] - (double)max) / sum);
}
