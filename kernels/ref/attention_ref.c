/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention, as specified: the plain softmax over the visible positions, in double. Scores are
 * computed anew in each pass, because their number is not bounded.
 */
#include <assert.h>
#include <math.h>

#include "kernels/inventory.h"
#include "kernels/ref/kv_ref.h"

enum { OUT_CHUNK = 128 };

static double score(enum qn_kv kv, const struct qn_attention *a, const float *q, int p) {
    const char *const block = a->k + (size_t)a->blocks[p / QN_KV_BLOCK] * a->k_stride;
    double sum = 0;
    for (int i = 0; i < a->d; i++)
        sum += (double)q[i] * qn_k_load(kv, block, a->d, p % QN_KV_BLOCK, i);
    const double scaled = sum * (double)a->scale, cap = (double)a->softcap;
    return cap > 0 ? cap * tanh(scaled / cap) : scaled;
}

/* out [i0, i1) of one query head over the positions [first, last] */
static void attend_chunk(enum qn_kv k_type, enum qn_kv v_type, const struct qn_attention *a,
                         const float *q, int first, int last, double max, int i0, int i1,
                         float *out) {
    double weights = 0, sums[OUT_CHUNK] = {0};
    for (int p = first; p <= last; p++) {
        const char *const block = a->v + (size_t)a->blocks[p / QN_KV_BLOCK] * a->v_stride;
        const double weight = exp(score(k_type, a, q, p) - max);
        weights += weight;
        for (int i = i0; i < i1; i++)
            sums[i - i0] += weight * qn_v_load(v_type, block, a->d, p % QN_KV_BLOCK, i);
    }
    for (int i = i0; i < i1; i++) out[i] = (float)(sums[i - i0] / weights);
}

static void attend(enum qn_kv k_type, enum qn_kv v_type, const struct qn_attention *a) {
    assert(a->m > 0 && a->g > 0 && a->d > 0);
    for (int m = 0; m < a->m; m++) {
        const int last = a->pos[m];
        const int first = a->window && last >= a->window ? last - a->window + 1 : 0;
        for (int g = 0; g < a->g; g++) {
            const float *const q = a->q + (size_t)m * a->q_ld + (size_t)(g * a->d);
            float *const out = a->out + (size_t)m * a->out_ld + (size_t)(g * a->d);
            double max = -INFINITY;
            for (int p = first; p <= last; p++) max = fmax(max, score(k_type, a, q, p));
            for (int i = 0; i < a->d; i += OUT_CHUNK)
                attend_chunk(k_type, v_type, a, q, first, last, max, i,
                             i + OUT_CHUNK < a->d ? i + OUT_CHUNK : a->d, out);
        }
    }
}

#define ATTENTION(name, k, v)                                                                      \
    void qn_attention_##name##__ref(const struct qn_attention *a) {                                \
        attend(QN_KV_##k, QN_KV_##v, a);                                                           \
    }
ATTENTION(f16, F16, F16)
ATTENTION(f16_f32, F16, F32)
ATTENTION(f16_q8_0, F16, Q8_0)
ATTENTION(f32_f16, F32, F16)
ATTENTION(f32, F32, F32)
ATTENTION(f32_q8_0, F32, Q8_0)
ATTENTION(q8_0_f16, Q8_0, F16)
ATTENTION(q8_0_f32, Q8_0, F32)
ATTENTION(q8_0, Q8_0, Q8_0)
