/* SPDX-License-Identifier: Apache-2.0
 *
 * A family of models as data: how its files name their parts, which tensors it has, and how a layer
 * is put together. One table a family (family_<name>.c), one plan builder for all. Adding a family
 * is adding a table and naming it in family.c.
 */
#ifndef QN_MODELS_FAMILY_H
#define QN_MODELS_FAMILY_H

#include <stdbool.h>
#include <stddef.h>

#include "models/hparams.h"
#include "models/roles.h"

/* Where a weight lies within the tensor of a Hugging Face file. GGUF files store matrices by
 * output rows, fused ones as one block of rows after the other, and experts as a third dimension.
 */
enum qn_part {
    QN_PART_WHOLE,
    QN_PART_TRANSPOSED,       /* stored [k][n] */
    QN_PART_FUSED,            /* Q, K, V or gate, up: blocks of rows, in this order */
    QN_PART_FUSED_TRANSPOSED, /* the same, stored [k][n] */
    QN_PART_FUSED_BY_HEAD,    /* Q, K, V of head 0, then those of head 1, ... */
    QN_PART_EXPERT            /* a tensor for each expert; the second %d of the name */
};

/* One weight of a family. */
struct qn_rule {
    enum qn_role role;
    const char *name;  /* in Hugging Face files, behind the prefix; the first %d is the layer */
    unsigned features; /* the weight exists where one of these holds; 0: always */
    enum qn_part part;
};

/* A value of config.json's model_type, and where its class in transformers differs from the
 * family's defaults. */
struct qn_model_type {
    const char *name;
    float norm_eps;      /* 0: the family's */
    bool ignores_window; /* the class does not read sliding_window */
};

struct qn_family {
    const char *name;                        /* general.architecture */
    const struct qn_model_type *model_types; /* ended by one without a name */
    const char *const *prefixes;             /* of names in Hugging Face files, ended by NULL */
    struct qn_hparams defaults;              /* what the files need not say; 0 where they must */
    enum qn_rope gguf_pairs; /* rope_pairs in GGUF files, whose rows may be permuted */
    int ff_multiple;         /* n_ff / n_embd where the file leaves n_ff out; 0: it may not */
    bool norm_plus_one;      /* Hugging Face files hold norm weights less 1 */
    /* GGUF files do not tell by what scores are scaled. It is the head size, but width / heads in
     * the model of this many layers; 0: in none. */
    int gguf_scale_layers;
    /* What config.json need not say: query_pre_attn_scalar, what scores are divided by the root of
     * (0: the head size); whether a window counts only where use_sliding_window asks for it, and
     * then max_window_layers, the first layer that has it. */
    float config_attn_scalar;
    bool window_on_request;
    int window_first_layer;
    int n_rules;
    const struct qn_rule *rules; /* [n_rules] */
};

/* NULL when there is none of that name. */
const struct qn_family *qn_family_find(const char *name, size_t size);
/* By config.json's model_type; *type is its row. */
const struct qn_family *qn_family_of_model_type(const char *model_type,
                                                const struct qn_model_type **type);
/* "llama, qwen2" into text[capacity], for messages; values of model_type likewise. */
void qn_family_names(char *text, size_t capacity);
void qn_model_type_names(char *text, size_t capacity);

#endif
