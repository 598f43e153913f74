/* SPDX-License-Identifier: Apache-2.0
 *
 * What a weight is for. A role fixes the weight's shape and its name in GGUF files; families say
 * which roles they have and how Hugging Face files name them.
 */
#ifndef QN_MODELS_ROLES_H
#define QN_MODELS_ROLES_H

#include "models/hparams.h"

/* The bias of a norm stands behind the norm: a family with LayerNorm has it there. */
enum qn_role {
    /* of the model */
    QN_ROLE_TOKEN_EMBD,    /* rows are looked up */
    QN_ROLE_POSITION_EMBD, /* learned positions, rows are looked up */
    QN_ROLE_PROJECT_IN,    /* token embedding -> stream */
    QN_ROLE_ROPE_FACTORS,  /* divisors of the rotation frequencies */
    QN_ROLE_ROPE_LONG,     /* the same of LongRoPE, for contexts beyond the original one, */
    QN_ROLE_ROPE_SHORT,    /* and up to it */
    QN_ROLE_OUTPUT_NORM,
    QN_ROLE_OUTPUT_NORM_BIAS,
    QN_ROLE_PROJECT_OUT, /* stream -> token embedding */
    QN_ROLE_OUTPUT,      /* the head; absent when tied to the embedding */
    /* of a layer */
    QN_ROLE_LAYER,
    QN_ROLE_ATTN_NORM = QN_ROLE_LAYER,
    QN_ROLE_ATTN_NORM_BIAS,
    QN_ROLE_ATTN_Q,
    QN_ROLE_ATTN_K,
    QN_ROLE_ATTN_V,
    QN_ROLE_ATTN_Q_BIAS,
    QN_ROLE_ATTN_K_BIAS,
    QN_ROLE_ATTN_V_BIAS,
    QN_ROLE_ATTN_Q_NORM,
    QN_ROLE_ATTN_K_NORM,
    QN_ROLE_ATTN_OUT,
    QN_ROLE_ATTN_OUT_BIAS,
    QN_ROLE_ATTN_POST_NORM, /* of the attention's output, before it is added */
    QN_ROLE_FFN_NORM,
    QN_ROLE_FFN_NORM_BIAS,
    QN_ROLE_FFN_GATE,
    QN_ROLE_FFN_UP,
    QN_ROLE_FFN_DOWN,
    QN_ROLE_FFN_GATE_BIAS,
    QN_ROLE_FFN_UP_BIAS,
    QN_ROLE_FFN_DOWN_BIAS,
    QN_ROLE_ROUTER,
    QN_ROLE_EXPERTS_GATE,
    QN_ROLE_EXPERTS_UP,
    QN_ROLE_EXPERTS_DOWN,
    QN_ROLE_FFN_POST_NORM, /* of the MLP's output, before it is added */
    QN_ROLE_COUNT
};

struct qn_role_info {
    const char *gguf;       /* name in GGUF files; %d is the layer */
    const char *gguf_fused; /* name where the family fuses this role with others */
    enum qn_dim n, k;       /* [n][k]; a vector is [ONE][k] */
    bool is_norm;           /* the weight of a norm */
    bool by_row;            /* rows are looked up in place, never multiplied */
    bool per_expert;        /* n_experts of them */
    const char *gguf_apart; /* name in old files, which have a tensor for each expert */
};
extern const struct qn_role_info qn_role_infos[QN_ROLE_COUNT];

#endif
