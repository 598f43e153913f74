/* SPDX-License-Identifier: Apache-2.0 */
#include "models/hparams.h"

#include <math.h>

int qn_hparams_dim(const struct qn_hparams *hparams, enum qn_dim dim) {
    const int q = hparams->n_heads * hparams->head_size;
    const int kv = hparams->n_kv_heads * hparams->head_size;
    const bool by_head = hparams->qk_norm == QN_QK_NORM_HEAD;
    const int sizes[QN_DIM_COUNT] = {
        [QN_DIM_ONE] = 1,
        [QN_DIM_EMBD] = hparams->n_embd,
        [QN_DIM_TOKEN] = hparams->n_token_embd,
        [QN_DIM_Q] = q,
        [QN_DIM_KV] = kv,
        [QN_DIM_Q_NORM] = by_head ? hparams->head_size : q,
        [QN_DIM_K_NORM] = by_head ? hparams->head_size : kv,
        [QN_DIM_FF] = hparams->n_ff,
        [QN_DIM_EXPERTS] = hparams->n_experts,
        [QN_DIM_EXPERT_FF] = hparams->n_expert_ff,
        [QN_DIM_VOCAB] = hparams->n_vocab,
        [QN_DIM_POSITIONS] = hparams->n_ctx_train + hparams->position_offset,
        [QN_DIM_HALF_ROT] = hparams->n_rot / 2,
    };
    return sizes[dim];
}

int qn_hparams_window(const struct qn_hparams *hparams, int layer) {
    return hparams->layers[layer] & QN_LAYER_WINDOW ? hparams->window : 0;
}

int qn_hparams_rope_set(const struct qn_hparams *hparams, int layer) {
    const bool local = hparams->n_rope_sets > 1 && hparams->layers[layer] & QN_LAYER_WINDOW;
    return local ? QN_ROPE_LOCAL : QN_ROPE_GLOBAL;
}

unsigned qn_hparams_features(const struct qn_hparams *hparams, int layer) {
    if (layer < 0) return hparams->features;
    const bool experts = hparams->layers[layer] & QN_LAYER_EXPERTS;
    return hparams->features | (experts ? QN_WITH_EXPERTS : QN_WITH_DENSE);
}

void qn_hparams_set_layers(struct qn_hparams *h) {
    const int all = h->window_pattern, nope = h->nope_interval, experts = h->expert_step;
    for (int i = 0; i < h->n_layers; i++) {
        const int next = i + 1;
        unsigned kind = 0;
        if (h->window && !(all && next % all == 0)) kind |= QN_LAYER_WINDOW;
        if (nope && next % nope == 0) kind |= QN_LAYER_NO_ROPE;
        if (h->n_experts && !(experts && next % experts != 0)) kind |= QN_LAYER_EXPERTS;
        h->layers[i] = (uint8_t)kind;
    }
}

/* ---- rotation --------------------------------------------------------------------------- */

static const double two_pi = 6.283185307179586;

/* The pair whose wave turns `rotations` times over the original context (YaRN, section 3.2). */
static double yarn_pair(const struct qn_rope_params *p, int n_rot, double rotations) {
    return n_rot * log(p->ctx_orig / (rotations * two_pi)) / (2 * log(p->base));
}

static void scale_yarn(const struct qn_rope_params *p, int n_rot, double *frequency) {
    const double first = yarn_pair(p, n_rot, p->beta_fast);
    const double last = yarn_pair(p, n_rot, p->beta_slow);
    const double low = fmax(p->between_pairs ? first : floor(first), 0);
    double high = fmin(p->between_pairs ? last : ceil(last), n_rot - 1);
    if (low == high) high += 0.001; /* a step rather than a division by zero */
    for (int i = 0; i < n_rot / 2; i++) {
        const double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
        frequency[i] *= (1 - ramp) + ramp / p->factor;
    }
}

/* Waves longer than the original context are slowed by the factor, those shorter than
 * ctx_orig / high_freq_factor not at all; between, by a mixture linear in the number of turns. */
static void scale_llama3(const struct qn_rope_params *p, int n_rot, double *frequency) {
    for (int i = 0; i < n_rot / 2; i++) {
        const double turns = p->ctx_orig * frequency[i] / two_pi;
        const double kept =
            (turns - p->low_freq_factor) / (p->high_freq_factor - p->low_freq_factor);
        const double share = fmin(fmax(kept, 0), 1);
        frequency[i] *= share + (1 - share) / p->factor;
    }
}

/* YaRN's (arXiv 2309.00071, equation 22; weighted as DeepSeek does: mscale, mscale_all_dim). */
static double yarn_factor(const struct qn_rope_params *p) {
    const double own = 0.1 * log(p->factor);
    return p->mscale > 0 && p->mscale_all > 0 ? (p->mscale * own + 1) / (p->mscale_all * own + 1)
                                              : own + 1;
}

static float attn_factor(const struct qn_rope_params *p) {
    if (p->attn_factor > 0) return p->attn_factor;
    if (p->factor <= 1) return 1;
    if (p->scaling == QN_ROPE_SCALING_YARN) return (float)yarn_factor(p);
    if (p->scaling == QN_ROPE_SCALING_LONGROPE)
        return (float)sqrt(1 + log(p->factor) / log(p->ctx_orig));
    return 1;
}

float qn_hparams_rope(const struct qn_hparams *hparams, int set, const float *factors, int n_ctx,
                      double *frequency) {
    const struct qn_rope_params *const p = &hparams->rope[set];
    const int n_rot = hparams->n_rot;
    if (p->scaling == QN_ROPE_SCALING_LONGROPE)
        factors = n_ctx > p->ctx_orig ? p->long_factors : p->short_factors;
    for (int i = 0; i < n_rot / 2; i++) {
        frequency[i] = pow(p->base, -2.0 * i / n_rot);
        if (factors) frequency[i] /= factors[i];
        if (p->scaling == QN_ROPE_SCALING_LINEAR) frequency[i] /= p->factor;
    }
    if (p->scaling == QN_ROPE_SCALING_YARN) scale_yarn(p, n_rot, frequency);
    if (p->scaling == QN_ROPE_SCALING_LLAMA3) scale_llama3(p, n_rot, frequency);
    return attn_factor(p);
}
