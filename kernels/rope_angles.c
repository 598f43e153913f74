/* SPDX-License-Identifier: Apache-2.0 */
#include "kernels/rope_angles.h"

#include <sleef.h>

void qn_rope_angles(int position, const double *frequency, int half, float scale, float *cos,
                    float *sin) {
    for (int i = 0; i < half; i++) {
        const Sleef_double2 sin_cos = Sleef_sincos_u10(position * frequency[i]);
        sin[i] = (float)(sin_cos.x * scale);
        cos[i] = (float)(sin_cos.y * scale);
    }
}
