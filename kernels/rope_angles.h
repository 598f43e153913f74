/* SPDX-License-Identifier: Apache-2.0
 *
 * The angles of rotary position embedding, computed once a token for all layers and heads.
 */
#ifndef QN_KERNELS_ROPE_ANGLES_H
#define QN_KERNELS_ROPE_ANGLES_H

/* cos[i], sin[i] (float [half]) = scale * cos, sin(position * frequency[i]), the angle in double
 * so that long contexts keep their phase. */
void qn_rope_angles(int position, const double *frequency, int half, float scale, float *cos,
                    float *sin);

#endif
