/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation rows for NEON.
 */
#include <arm_neon.h>
#include <assert.h>
#include <string.h>

#include "kernels/act_block.h"
#include "kernels/inventory.h"

static inline float block_amax(const float32x4_t v[8]) {
    float32x4_t max = vabsq_f32(v[0]);
    for (int j = 1; j < 8; j++) max = vmaxq_f32(max, vabsq_f32(v[j]));
    return vmaxvq_f32(max);
}

/* Sixteen floats times the factor, to nearest even, as bytes. */
static inline int8x16_t quantize(const float32x4_t v[4], float32x4_t factor) {
    int16x4_t q[4];
    for (int j = 0; j < 4; j++) q[j] = vqmovn_s32(vcvtnq_s32_f32(vmulq_f32(v[j], factor)));
    return vcombine_s8(vqmovn_s16(vcombine_s16(q[0], q[1])), vqmovn_s16(vcombine_s16(q[2], q[3])));
}

enum { UNIT = 32 };

/* Block b of a row. */
static inline void quantize_unit(const float *x, struct qn_act_row row, int b) {
    int8_t *const q = row.q + b * 32;
    float32x4_t v[8];
    for (int j = 0; j < 8; j++) v[j] = vld1q_f32(x + 4 * j);
    const float amax = block_amax(v);
    if (amax < QN_ACT_AMAX_MIN) {
        memset(q, 0, 32);
        qn_act_block_set(row, b, 0, 0, 0);
        return;
    }
    const float32x4_t factor = vdupq_n_f32(127.0f / amax);
    const int8x16_t low = quantize(v, factor), high = quantize(v + 4, factor);
    vst1q_s8(q, low);
    vst1q_s8(q + 16, high);
    qn_act_block_set(row, b, amax, vaddlvq_s8(low), vaddlvq_s8(high));
}

#define QN_PREPARE_NAME(function) function##__neon
#define QN_PREPARE_I16            0
#include "kernels/tmpl/prepare.inc"
