/* SPDX-License-Identifier: Apache-2.0
 *
 * Hyperparameters of a model: what its files say of sizes and structure, checked before anything
 * uses them. Read from GGUF metadata (hparams_gguf.c) or from config.json (hparams_config.c) on
 * top of the family's defaults.
 */
#ifndef QN_MODELS_HPARAMS_H
#define QN_MODELS_HPARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

enum { QN_MAX_LAYERS = 1024 };

/* Dimensions that tensor shapes are made of. */
enum qn_dim {
    QN_DIM_ONE,
    QN_DIM_EMBD,   /* residual stream */
    QN_DIM_TOKEN,  /* width of token embeddings: that of the stream, unless they are projected */
    QN_DIM_Q,      /* query heads x head size */
    QN_DIM_KV,     /* key/value heads x head size */
    QN_DIM_Q_NORM, /* what one norm of Q covers: a head, or all of them */
    QN_DIM_K_NORM,
    QN_DIM_FF, /* inner width of the MLP */
    QN_DIM_EXPERTS,
    QN_DIM_EXPERT_FF, /* inner width of one expert */
    QN_DIM_VOCAB,
    QN_DIM_POSITIONS, /* rows of learned positions */
    QN_DIM_HALF_ROT,  /* rotated pairs of a head */
    QN_DIM_COUNT
};

/* Parts that some models of a family have and others lack. */
enum qn_feature {
    QN_WITH_ATTN_BIAS = 1 << 0,  /* biases of Q, K, V and the attention's output */
    QN_WITH_MLP_BIAS = 1 << 1,   /* biases of the MLP */
    QN_WITH_PROJECTION = 1 << 2, /* token embeddings narrower than the stream */
    QN_WITH_FINAL_NORM = 1 << 3,
    QN_WITH_DENSE = 1 << 4,   /* of a layer: one MLP */
    QN_WITH_EXPERTS = 1 << 5, /* of a layer: a mixture of experts */
    QN_IF_PRESENT = 1 << 6    /* asked of the file alone */
};

enum qn_qk_norm {
    QN_QK_NORM_NONE,
    QN_QK_NORM_HEAD, /* each head of Q and K by itself */
    QN_QK_NORM_ROW   /* all heads of a token together */
};

enum qn_rope_scaling {
    QN_ROPE_SCALING_NONE,
    QN_ROPE_SCALING_LINEAR,  /* positions divided by factor */
    QN_ROPE_SCALING_YARN,    /* Peng et al. 2023, https://arxiv.org/abs/2309.00071 */
    QN_ROPE_SCALING_LLAMA3,  /* low frequencies divided by factor, with a ramp between */
    QN_ROPE_SCALING_LONGROPE /* a divisor a pair: Ding et al. 2024, https://arxiv.org/abs/2402.13753
                              */
};

struct qn_rope_params {
    float base;
    enum qn_rope_scaling scaling;
    float factor;               /* 1 without scaling */
    float attn_factor;          /* of cos and sin; 0: what the scaling's paper derives */
    float beta_fast, beta_slow; /* YaRN */
    float mscale, mscale_all;   /* YaRN: attn_factor is their quotient, where both are above 0 */
    bool between_pairs;         /* YaRN: its ramp does not start and end at whole pairs */
    float low_freq_factor, high_freq_factor; /* Llama 3 */
    int ctx_orig;                            /* context before scaling */
    /* LongRoPE's divisors, [n_rot / 2], for contexts beyond ctx_orig and up to it */
    float long_factors[QN_HEAD_SIZE_MAX / 2], short_factors[QN_HEAD_SIZE_MAX / 2];
};

/* A model has up to two kinds of rotation: one for layers that see everything, one for those with
 * a window (Gemma 3). */
enum { QN_ROPE_GLOBAL, QN_ROPE_LOCAL, QN_ROPE_SETS };

/* What may differ from layer to layer. */
enum qn_layer_kind {
    QN_LAYER_WINDOW = 1 << 0,  /* attention sees the window only */
    QN_LAYER_NO_ROPE = 1 << 1, /* no positions (NoPE) */
    QN_LAYER_EXPERTS = 1 << 2  /* its MLP is a mixture of experts */
};

struct qn_hparams {
    int n_layers, n_embd, n_heads, n_kv_heads, head_size, n_ff, n_vocab;
    int n_token_embd; /* width of token embeddings */
    int n_ctx_train;
    int n_experts, n_experts_used, n_expert_ff; /* 0 without experts */
    int expert_step; /* every so many layers have experts, the last of each run */

    unsigned features; /* enum qn_feature, but for those of a layer */
    bool tied;         /* the head is the embedding */

    enum qn_norm norm;
    float norm_eps;
    bool post_norm; /* norms follow the residual sum instead of preceding the module */
    bool parallel;  /* attention and MLP read the same stream */
    enum qn_qk_norm qk_norm;
    enum qn_activation activation;
    bool renormalize_experts; /* weights of the chosen experts are made to sum to 1 */

    bool scale_embd;                   /* token embeddings are multiplied by sqrt(n_embd) */
    float embd_scale;                  /* 1, or that */
    float attn_scale;                  /* of q . k; 0: 1 / sqrt(head_size) */
    float attn_softcap, final_softcap; /* 0: none */

    bool learned_positions;
    int position_offset; /* row of learned positions for position 0 */

    int window;         /* attention sees the last `window` positions; 0: all */
    int window_pattern; /* every so many layers one sees all; 0: none does */
    int nope_interval;  /* every so many layers one has no rotation; 0: none */

    enum qn_rope rope_pairs;
    int n_rot;         /* rotated components of a head, even; 0 with learned positions */
    float rotary_part; /* n_rot / head_size where that is how the file says it; 0: it does not */
    int n_rope_sets;   /* 1, or 2: local layers have their own */
    struct qn_rope_params rope[QN_ROPE_SETS];

    uint8_t layers[QN_MAX_LAYERS]; /* bits of enum qn_layer_kind */
};

/* The size of a dimension. */
int qn_hparams_dim(const struct qn_hparams *hparams, enum qn_dim dim);
/* Positions that a layer sees; 0: all. */
int qn_hparams_window(const struct qn_hparams *hparams, int layer);
/* Which rotation a layer uses. */
int qn_hparams_rope_set(const struct qn_hparams *hparams, int layer);
/* Bits of enum qn_feature that hold for a layer, or outside the layers (-1). */
unsigned qn_hparams_features(const struct qn_hparams *hparams, int layer);
/* Fills layers[] from window_pattern, nope_interval and expert_step. */
void qn_hparams_set_layers(struct qn_hparams *hparams);

/* frequency[i] in radians per position of rotated pair i (float64 [n_rot / 2]), scaling applied;
 * factors: float [n_rot / 2] divisors or NULL. n_ctx: the session's context, by which LongRoPE
 * chooses its divisors. Returns the factor that cos and sin carry.
 * Sources: RoPE https://arxiv.org/abs/2104.09864; YaRN as above, attention factor
 * 0.1 ln(factor) + 1; LongRoPE's is sqrt(1 + ln(factor) / ln(ctx_orig)). */
float qn_hparams_rope(const struct qn_hparams *hparams, int set, const float *factors, int n_ctx,
                      double *frequency);

#endif
