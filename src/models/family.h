/* SPDX-License-Identifier: Apache-2.0
 *
 * A family of models as data: which hyperparameters its files carry, which tensors, of which
 * shapes, and how a layer is put together. One table a family (family_<name>.c), one plan builder
 * for all. Adding a family is adding a table and naming it in family.c.
 */
#ifndef QN_MODELS_FAMILY_H
#define QN_MODELS_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/kernels.h"

/* Dimensions that tensor shapes are made of. */
enum qn_dim {
    QN_DIM_ONE,
    QN_DIM_EMBD, /* residual stream */
    QN_DIM_Q,    /* query heads x head size */
    QN_DIM_KV,   /* key/value heads x head size */
    QN_DIM_FF,   /* inner width of the MLP */
    QN_DIM_VOCAB,
    QN_DIM_HALF_ROT, /* rotated pairs of a head */
    QN_DIM_COUNT
};

/* What a tensor is for. Model-wide roles come first, then those of each layer. */
enum qn_role {
    QN_ROLE_TOKEN_EMBD,   /* [V][E], rows are looked up */
    QN_ROLE_ROPE_FACTORS, /* [half], divisors of the rotation frequencies */
    QN_ROLE_OUTPUT_NORM,
    QN_ROLE_OUTPUT, /* [V][E], the head; absent when tied to the embedding */
    QN_ROLE_LAYER,  /* layer roles start here */
    QN_ROLE_ATTN_NORM = QN_ROLE_LAYER,
    QN_ROLE_ATTN_Q,
    QN_ROLE_ATTN_K,
    QN_ROLE_ATTN_V,
    QN_ROLE_ATTN_Q_BIAS,
    QN_ROLE_ATTN_K_BIAS,
    QN_ROLE_ATTN_V_BIAS,
    QN_ROLE_ATTN_OUT,
    QN_ROLE_ATTN_OUT_BIAS,
    QN_ROLE_FFN_NORM,
    QN_ROLE_FFN_GATE,
    QN_ROLE_FFN_UP,
    QN_ROLE_FFN_DOWN,
    QN_ROLE_FFN_GATE_BIAS,
    QN_ROLE_FFN_UP_BIAS,
    QN_ROLE_FFN_DOWN_BIAS,
    QN_ROLE_COUNT
};

/* One tensor of a family. */
struct qn_tensor_rule {
    enum qn_role role;
    const char *name; /* in GGUF; %d is the layer */
    enum qn_dim n, k; /* [n][k]; a vector is [ONE][k] */
    bool optional;
};

struct qn_family {
    const char *name; /* general.architecture */
    enum qn_norm norm;
    enum qn_rope rope;
    enum qn_activation activation;
    int n_rules;
    const struct qn_tensor_rule *rules; /* [n_rules] */
};

/* NULL when there is none of that name. */
const struct qn_family *qn_family_find(const char *name, size_t size);
/* "llama, qwen2" into text[capacity], for messages. */
void qn_family_names(char *text, size_t capacity);

#endif
