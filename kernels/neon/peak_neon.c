/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#define QN_PEAK_REGISTER "w"
#include "kernels/tmpl/peak.inc"

QN_PEAK_LOOP(qn_peak_f32__neon, float32x4_t, vdupq_n_f32(0), vfmaq_f32(x, a, b))
/* Bytes without a dot instruction: two widening products, added in pairs. */
QN_PEAK_LOOP(qn_peak_int8__neon, int32x4_t, vdupq_n_s32(0),
             vpadalq_s16(x, vmlal_s8(vmull_s8(vget_low_s8(vreinterpretq_s8_s32(a)),
                                              vget_low_s8(vreinterpretq_s8_s32(x))),
                                     vget_high_s8(vreinterpretq_s8_s32(a)),
                                     vget_high_s8(vreinterpretq_s8_s32(b)))))
