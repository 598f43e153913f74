/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention, as specified: the softmax over the visible positions, in double, but for what a span's
 * record holds, which is rounded to float, so that spans computed apart are the same. That has the
 * largest score, so scores are floats too: one that exceeds the largest by a rounding could have an
 * infinite weight.
 */
#include <assert.h>
#include <float.h>
#include <math.h>

#include "kernels/inventory.h"
#include "kernels/ref/kv_ref.h"

static float score(enum qn_kv kv, const struct qn_attention *a, const float *q, int p) {
    const char *const block = a->k + (size_t)a->blocks[p / QN_KV_BLOCK] * a->k_stride;
    double sum = 0;
    for (int i = 0; i < a->d; i++)
        sum += (double)q[i] * qn_k_load(kv, block, a->d, p % QN_KV_BLOCK, i);
    const double scaled = sum * (double)a->scale, cap = (double)a->softcap;
    return (float)(cap > 0 ? cap * tanh(scaled / cap) : scaled);
}

static int padded(int d) {
    return (d + 15) / 16 * 16;
}

/* The record of one query head over the positions [first, last], at most a span of them, or none.
 */
static void attend_span(enum qn_kv k_type, enum qn_kv v_type, const struct qn_attention *a,
                        const float *q, int first, int last, float *part) {
    double sums[QN_HEAD_SIZE_MAX] = {0}, weights = 0;
    float scores[QN_ATTENTION_SPAN], max = -FLT_MAX;
    for (int p = first; p <= last; p++) {
        scores[p - first] = score(k_type, a, q, p);
        max = fmaxf(max, scores[p - first]);
    }
    for (int p = first; p <= last; p++) {
        const char *const block = a->v + (size_t)a->blocks[p / QN_KV_BLOCK] * a->v_stride;
        const double weight = exp((double)scores[p - first] - (double)max);
        weights += weight;
        for (int i = 0; i < a->d; i++)
            sums[i] += weight * qn_v_load(v_type, block, a->d, p % QN_KV_BLOCK, i);
    }
    for (int i = 0; i < padded(a->d); i++) part[i] = (float)sums[i];
    part[padded(a->d)] = max;
    part[padded(a->d) + 1] = (float)weights;
}

/* What the spans of a row have added up to. */
struct total {
    double max, weight, sums[QN_HEAD_SIZE_MAX];
};

static void total_add(struct total *t, const float *part, int d) {
    const double max = fmax(t->max, (double)part[padded(d)]);
    const double old = exp(t->max - max), new = exp((double)part[padded(d)] - max);
    t->weight = t->weight * old + (double)part[padded(d) + 1] * new;
    for (int i = 0; i < d; i++) t->sums[i] = t->sums[i] * old + (double)part[i] * new;
    t->max = max;
}

static void total_finish(const struct total *t, int d, float *out) {
    for (int i = 0; i < d; i++) out[i] = (float)(t->sums[i] / t->weight);
}

/* One query head of one token: its output, or the records of its spans, at so many floats from each
 * other. */
static void attend_row(enum qn_kv k_type, enum qn_kv v_type, const struct qn_attention *a,
                       const float *q, int last, float *out, float *parts, size_t parts_ld) {
    struct total total = {.max = -(double)FLT_MAX};
    const int first = a->window && last >= a->window ? last - a->window + 1 : 0;
    const int begin = parts ? a->first_span : first / QN_ATTENTION_SPAN;
    const int end = parts ? a->end_span : last / QN_ATTENTION_SPAN + 1;
    for (int span = begin; span < end; span++) {
        float part[QN_HEAD_SIZE_MAX + 16];
        const int from = span * QN_ATTENTION_SPAN, to = from + QN_ATTENTION_SPAN - 1;
        attend_span(k_type, v_type, a, q, from > first ? from : first, to < last ? to : last,
                    parts ? parts + (size_t)(span - begin) * parts_ld : part);
        if (!parts) total_add(&total, part, a->d);
    }
    if (!parts) total_finish(&total, a->d, out);
}

static void attend(enum qn_kv k_type, enum qn_kv v_type, const struct qn_attention *a) {
    assert(a->m > 0 && a->g > 0 && a->d > 0 && a->d <= QN_HEAD_SIZE_MAX);
    const size_t size = qn_attention_part_size(a->d) / sizeof(float);
    for (int r = 0; r < a->m * a->g; r++) {
        const size_t m = (size_t)(r / a->g), head = (size_t)(r % a->g * a->d);
        attend_row(k_type, v_type, a, a->q + m * a->q_ld + head, a->pos[m],
                   a->parts ? NULL : a->out + m * a->out_ld + head,
                   a->parts ? a->parts + (size_t)r * size : NULL, (size_t)(a->m * a->g) * size);
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
ATTENTION(f16_i16, F16, I16)
ATTENTION(f32_i16, F32, I16)
ATTENTION(q8_0_i16, Q8_0, I16)
ATTENTION(i16_f16, I16, F16)
ATTENTION(i16_f32, I16, F32)
ATTENTION(i16_q8_0, I16, Q8_0)
ATTENTION(i16, I16, I16)

void qn_attention_merge__ref(const float *parts, int n_spans, int n_rows, int d, float *out) {
    assert(n_spans > 0 && n_rows > 0 && d > 0 && d <= QN_HEAD_SIZE_MAX);
    const size_t size = qn_attention_part_size(d) / sizeof(float);
    for (int r = 0; r < n_rows; r++) {
        struct total total = {.max = -(double)FLT_MAX};
        for (int s = 0; s < n_spans; s++)
            total_add(&total, parts + ((size_t)s * (size_t)n_rows + (size_t)r) * size, d);
        total_finish(&total, d, out + (size_t)r * (size_t)d);
    }
}
