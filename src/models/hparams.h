/* SPDX-License-Identifier: Apache-2.0
 *
 * Hyperparameters of a model, read from GGUF metadata by a table of keys and checked before
 * anything uses them.
 */
#ifndef QN_MODELS_HPARAMS_H
#define QN_MODELS_HPARAMS_H

#include "formats/gguf.h"
#include "models/family.h"

enum qn_rope_scaling {
    QN_ROPE_SCALING_NONE,
    QN_ROPE_SCALING_LINEAR, /* positions divided by factor */
    QN_ROPE_SCALING_YARN    /* Peng et al. 2023, https://arxiv.org/abs/2309.00071 */
};

struct qn_hparams {
    int n_layers, n_embd, n_heads, n_kv_heads, head_size, n_ff, n_vocab;
    int n_ctx_train;
    float norm_eps;
    int window;       /* attention sees the last `window` positions; 0: all */
    float attn_scale; /* of q . k */
    int n_rot;        /* rotated components of a head, even */
    float rope_base;
    enum qn_rope_scaling rope_scaling;
    float rope_factor, rope_attn_factor; /* both 1 without scaling */
    float yarn_beta_fast, yarn_beta_slow;
    int rope_ctx_orig; /* context before scaling */
};

/* Everything but n_vocab, which the embedding's shape gives. Errors name the key, what was found
 * and what is allowed. */
enum qn_status qn_hparams_read(const struct qn_gguf *gguf, const struct qn_family *family,
                               struct qn_hparams *hparams, struct qn_error *err);

/* The size of a dimension. */
int qn_hparams_dim(const struct qn_hparams *hparams, enum qn_dim dim);

/* frequency[i] in radians per position of rotated pair i (float64 [n_rot / 2]), scaling applied;
 * factors: float [n_rot / 2] divisors or NULL. Returns the factor that cos and sin carry.
 * Sources: RoPE https://arxiv.org/abs/2104.09864; YaRN as above, attention factor
 * 0.1 ln(factor) + 1; Llama 3 scaling comes as divisors. */
float qn_hparams_rope(const struct qn_hparams *hparams, const float *factors, double *frequency);

#endif
