/* SPDX-License-Identifier: Apache-2.0 */
#include "report/probe.h"

#include <math.h>

#include "base/hash.h"
#include "kernels/ref/kv_ref.h"
#include "run/work.h"

enum qn_status qn_probe_new(struct qn_model *model, enum qn_cache cache, int n_ctx, int n_ubatch,
                            int n_logits, struct qn_session **out, struct qn_error *err) {
    const struct qn_session_options options = {.n_ctx = n_ctx,
                                               .n_ubatch = n_ubatch < n_ctx ? n_ubatch : n_ctx,
                                               .n_sequences = 1,
                                               .n_logits = n_logits,
                                               .cache = cache};
    return qn_session_new(model, &options, out, err);
}

enum qn_status qn_probe_eval(struct qn_session *session, const int32_t *ids, int n, int step,
                             struct qn_error *err) {
    if (step == 0) step = n;
    for (int i = 0; i < n; i += step) {
        const struct qn_batch batch = {.n = (size_t)(n - i < step ? n - i : step),
                                       .tokens = ids + i};
        QN_TRY(qn_session_eval(session, &batch, err));
    }
    return QN_OK;
}

void qn_probe_cached(const struct qn_session *session, int layer, int kv_head, int position,
                     float *k, float *v) {
    const struct qn_executor *const e = &session->executor;
    const struct qn_layout *const l = &session->plan.layout;
    const struct qn_hparams *const hp = &session->model->spec.hparams;
    const enum qn_cache cache = session->plan.limits.cache;
    const size_t block = (size_t)e->blocks[position / QN_KV_BLOCK];
    const size_t at = block * (size_t)hp->n_kv_heads + (size_t)kv_head;
    const char *const k_block = qn_k_layer(e, layer) + at * l->k_block;
    const char *const v_block = qn_v_layer(e, layer) + at * l->v_block;
    const int d = hp->head_size, slot = position % QN_KV_BLOCK;
    for (int i = 0; i < d; i++) {
        k[i] = (float)qn_k_load(qn_cache_k(cache), k_block, d, slot, i);
        v[i] = (float)qn_v_load(qn_cache_v(cache), v_block, d, slot, i);
    }
}

uint64_t qn_probe_digest(const struct qn_session *session, int layer, int n) {
    const struct qn_hparams *const hp = &session->model->spec.hparams;
    float kv[2 * QN_HEAD_SIZE_MAX];
    uint64_t hash = 0;
    for (int h = 0; h < hp->n_kv_heads; h++)
        for (int p = 0; p < n; p++) {
            qn_probe_cached(session, layer, h, p, kv, kv + hp->head_size);
            hash = qn_hash(kv, 2 * (size_t)hp->head_size * sizeof *kv, hash);
        }
    return hash;
}

int32_t qn_probe_argmax(const float *logits, int n_vocab) {
    int best = 0;
    for (int i = 1; i < n_vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

double qn_probe_log_probability(const float *logits, int n_vocab, int32_t token) {
    const double max = (double)logits[qn_probe_argmax(logits, n_vocab)];
    double sum = 0;
    for (int i = 0; i < n_vocab; i++) sum += exp((double)logits[i] - max);
    return (double)logits[token] - max - log(sum);
}
