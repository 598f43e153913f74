/* SPDX-License-Identifier: Apache-2.0 */
#include <arm_neon.h>

#define QN_PEAK_REGISTER "w"
#include "kernels/tmpl/peak.inc"

QN_PEAK_LOOP(qn_peak_int8__i8mm, int32x4_t, vdupq_n_s32(0),
             vmmlaq_s32(x, vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)))
