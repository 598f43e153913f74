/* SPDX-License-Identifier: Apache-2.0 */
#include "report/attention_probe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/round_kv.h"
#include "report/probe.h"
#include "run/heads.h"
#include "run/spans.h"
#include "run/work.h"

/* ---- a pass ----------------------------------------------------------------------------- */

static size_t q_row(const struct qn_attention_probe *probe) {
    const struct qn_hparams *const hp = &probe->session->model->spec.hparams;
    return (size_t)hp->n_heads * (size_t)hp->head_size;
}

static float *q_at(const struct qn_attention_probe *probe, int layer, int position) {
    return probe->q + ((size_t)layer * (size_t)probe->n + (size_t)position) * q_row(probe);
}

static void keep_q(void *context, const struct quern_tensor *tensor) {
    const struct qn_attention_probe *const probe = context;
    const int layer = atoi(tensor->name + strlen("layers."));
    for (size_t r = 0; r < tensor->n_rows; r++)
        memcpy(q_at(probe, layer, tensor->positions[r]), tensor->data + r * tensor->stride,
               tensor->n_columns * sizeof(float));
}

static enum qn_status run(struct qn_attention_probe *probe, struct qn_model *model,
                          enum qn_cache cache, const int32_t *ids, struct qn_error *err) {
    static const char *const patterns[] = {"layers.*.q_rope", NULL};
    const struct qn_hparams *const hp = &model->spec.hparams;
    const int n = probe->n;
    const struct qn_session_options options = {.n_ctx = probe->n_slots,
                                               .n_ubatch =
                                                   n < QN_DEFAULT_UBATCH ? n : QN_DEFAULT_UBATCH,
                                               .n_sequences = 1,
                                               .n_logits = 1,
                                               .cache = cache,
                                               .tap = {keep_q, probe, patterns}};
    QN_TRY(qn_session_new(model, &options, &probe->session, err));
    probe->q = malloc((size_t)hp->n_layers * (size_t)n * q_row(probe) * sizeof(float));
    probe->positions = malloc((size_t)n * sizeof *probe->positions);
    if (!probe->q || !probe->positions)
        return qn_fail(err, QN_NO_MEMORY, "no memory for the queries of %d positions", n);
    for (int i = 0; i < n; i++) probe->positions[i] = i;
    return qn_probe_eval(probe->session, ids, n, 0, err);
}

enum qn_status qn_attention_probe_open(struct qn_model *model, enum qn_cache cache,
                                       const int32_t *ids, int n, struct qn_attention_probe *out,
                                       struct qn_error *err) {
    *out = (struct qn_attention_probe){
        .n = n, .n_slots = (n + QN_KV_BLOCK - 1) / QN_KV_BLOCK * QN_KV_BLOCK};
    const enum qn_status status = run(out, model, cache, ids, err);
    if (status != QN_OK) qn_attention_probe_close(out);
    return status;
}

void qn_attention_probe_close(struct qn_attention_probe *probe) {
    qn_session_free(probe->session);
    free(probe->q);
    free(probe->positions);
    *probe = (struct qn_attention_probe){.n = 0};
}

/* ---- measured --------------------------------------------------------------------------- */

static size_t v_size(const struct qn_attention_probe *probe) {
    const struct qn_layout *const l = &probe->session->plan.layout;
    return (size_t)l->n_blocks * l->v_block;
}

size_t qn_attention_scratch_size(const struct qn_attention_probe *probe) {
    const struct qn_hparams *const hp = &probe->session->model->spec.hparams;
    const size_t out = (size_t)probe->n * (size_t)hp->head_size * sizeof(float);
    return v_size(probe) + (out + 63) / 64 * 64;
}

/* Values of positions [first, first + D) are unit vectors, those of all others zero. */
static void fill_values(const struct qn_attention_probe *probe, const struct qn_attention *a,
                        int first, char *v) {
    const struct qn_session *const session = probe->session;
    float unit[QN_HEAD_SIZE_MAX] = {0};
    for (int p = 0; p < probe->n_slots; p++) {
        const bool within = p >= first && p < first + a->d;
        if (within) unit[p - first] = 1;
        session->model->kernels.kv_store[qn_cache_v(session->plan.limits.cache)](
            NULL, unit, a->d, p % QN_KV_BLOCK, NULL,
            v + (size_t)a->blocks[p / QN_KV_BLOCK] * a->v_stride);
        if (within) unit[p - first] = 0;
    }
}

void qn_attention_weights(const struct qn_attention_probe *probe, int layer, int head,
                          void *scratch, float *weights) {
    const struct qn_session *const session = probe->session;
    const size_t n = (size_t)probe->n, n_slots = (size_t)probe->n_slots;
    char *const v = scratch;
    float *const out = (float *)(void *)(v + v_size(probe));
    struct qn_attention a = qn_attention_of(&session->executor, layer, 0, head, head + 1);
    const size_t d = (size_t)a.d;
    a.v = v;
    a.v_stride = session->plan.layout.v_block;
    a.q = q_at(probe, layer, 0) + (size_t)head * d;
    a.q_ld = q_row(probe);
    a.out = out;
    a.out_ld = d;
    a.pos = probe->positions;
    a.m = probe->n;
    for (size_t first = 0; first < n_slots; first += d) {
        const size_t count = n_slots - first < d ? n_slots - first : d;
        fill_values(probe, &a, (int)first, v);
        session->model->kernels.attention[session->plan.limits.cache](&a);
        for (size_t m = 0; m < n; m++)
            memcpy(weights + m * n_slots + first, out + m * d, count * sizeof *weights);
    }
}

double qn_attention_value_error(enum qn_cache cache) {
    return qn_cache_v(cache) == QN_KV_Q8_0 ? 0x1p-11
                                           : 0; /* 127 times the half nearest to 1 / 127 */
}

/* Half a step, and a little, of integers of which a block's add up to QN_KV_WEIGHTS_MAX at the
 * most; a step is at most a share of 1 / QN_KV_WEIGHT_MAX of the sum. */
double qn_attention_weight_error(enum qn_cache cache) {
    return qn_cache_v(cache) == QN_KV_I16 ? 0.51 * QN_KV_BLOCK / QN_KV_WEIGHTS_MAX : 0;
}
double qn_attention_sum_error(enum qn_cache cache) {
    return qn_cache_v(cache) == QN_KV_I16 ? 0.51 * QN_KV_BLOCK / QN_KV_WEIGHT_MAX : 0;
}

/* ---- expected --------------------------------------------------------------------------- */

struct score {
    double value, error; /* error: at most, of the same in float */
};

/* By how much the numbers of a query may be off that becomes integers: half a step, and a little,
 * as kernels round it when it has been scaled. */
static double query_error(const float *q, int d) {
    float amax = 0, squares = 0;
    for (int i = 0; i < d; i++) amax = fmaxf(amax, fabsf(q[i]));
    if (amax == 0) return 0;
    for (int i = 0; i < d; i++) {
        const float n = rintf(q[i] * ((float)QN_KV_NORM_MAX / amax));
        squares += n * n;
    }
    return 0.51 / (double)qn_kv_k_factor(amax, squares);
}

/* A sum of D products in float, in any order, is off by at most D roundings of the sum of their
 * magnitudes; the query was scaled and rounded before. Soft caps add some roundings of the cap. */
static struct score score(const struct qn_hparams *hp, enum qn_kv kv, const float *q,
                          const float *k) {
    const double u = 0x1p-24, scale = (double)hp->attn_scale, cap = (double)hp->attn_softcap;
    double sum = 0, magnitude = 0, of_k = 0;
    for (int i = 0; i < hp->head_size; i++) {
        sum += (double)q[i] * (double)k[i];
        magnitude += fabs((double)q[i] * (double)k[i]);
        of_k += fabs((double)k[i]);
    }
    struct score s = {sum * scale, (hp->head_size + 2) * u * magnitude * fabs(scale)};
    if (kv == QN_KV_I16) s.error += query_error(q, hp->head_size) * of_k * fabs(scale);
    if (cap > 0) {
        s.value = cap * tanh(s.value / cap);
        s.error += 8 * u * cap;
    }
    return s;
}

/* One row: e^s / sum. A score's error enters twice, by itself and by the sum; so does the rounding
 * of s - max; exp adds 4 roundings, and sum and division those of all positions. */
static double softmax_row(const struct score *scores, int first, int last, double *weights) {
    const double u = 0x1p-24;
    double max = -INFINITY, least = INFINITY, error = 0, sum = 0;
    for (int p = first; p <= last; p++) {
        max = fmax(max, scores[p].value);
        least = fmin(least, scores[p].value);
        error = fmax(error, scores[p].error);
    }
    for (int p = first; p <= last; p++) sum += exp(scores[p].value - max);
    for (int p = first; p <= last; p++) weights[p] = exp(scores[p].value - max) / sum;
    return expm1(2 * (error + u * (max - least))) + (2 * (last - first) + 16) * u;
}

void qn_attention_expected(const struct qn_attention_probe *probe, int layer, int head,
                           double *weights, double *bounds) {
    const struct qn_session *const session = probe->session;
    const struct qn_hparams *const hp = &session->model->spec.hparams;
    const int n = probe->n, d = hp->head_size, window = qn_hparams_window(hp, layer);
    const int kv_head = head / (hp->n_heads / hp->n_kv_heads);
    const enum qn_kv kv = qn_cache_k(session->plan.limits.cache);
    float *const k = malloc((size_t)n * (size_t)d * sizeof *k);
    struct score *const scores = malloc((size_t)n * sizeof *scores);
    memset(weights, 0, (size_t)n * (size_t)probe->n_slots * sizeof *weights);
    for (int m = 0; m < n; m++) bounds[m] = -1;
    for (int p = 0; k && p < n; p++) {
        float v[QN_HEAD_SIZE_MAX];
        qn_probe_cached(session, layer, kv_head, p, k + p * d, v);
    }
    for (int m = 0; k && scores && m < n; m++) {
        const float *const q = q_at(probe, layer, m) + head * d;
        const int first = qn_first_visible(m, window);
        for (int p = first; p <= m; p++) scores[p] = score(hp, kv, q, k + p * d);
        bounds[m] = softmax_row(scores, first, m, weights + (size_t)m * (size_t)probe->n_slots);
    }
    free(k);
    free(scores);
}
