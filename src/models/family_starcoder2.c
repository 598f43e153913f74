/* SPDX-License-Identifier: Apache-2.0
 *
 * StarCoder2: LayerNorm and biases, RoPE, GQA, an MLP without a gate.
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {{"starcoder2"}, {NULL}};
static const char *const prefixes[] = {"model.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "embed_tokens.weight"},
    {QN_ROLE_OUTPUT_NORM, "norm.weight"},
    {QN_ROLE_OUTPUT_NORM_BIAS, "norm.bias"},
    {QN_ROLE_OUTPUT, "lm_head.weight"},
    {QN_ROLE_ATTN_NORM, "layers.%d.input_layernorm.weight"},
    {QN_ROLE_ATTN_NORM_BIAS, "layers.%d.input_layernorm.bias"},
    {QN_ROLE_ATTN_Q, "layers.%d.self_attn.q_proj.weight"},
    {QN_ROLE_ATTN_K, "layers.%d.self_attn.k_proj.weight"},
    {QN_ROLE_ATTN_V, "layers.%d.self_attn.v_proj.weight"},
    {QN_ROLE_ATTN_Q_BIAS, "layers.%d.self_attn.q_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_K_BIAS, "layers.%d.self_attn.k_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_V_BIAS, "layers.%d.self_attn.v_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_OUT, "layers.%d.self_attn.o_proj.weight"},
    {QN_ROLE_ATTN_OUT_BIAS, "layers.%d.self_attn.o_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_FFN_NORM, "layers.%d.post_attention_layernorm.weight"},
    {QN_ROLE_FFN_NORM_BIAS, "layers.%d.post_attention_layernorm.bias"},
    {QN_ROLE_FFN_UP, "layers.%d.mlp.c_fc.weight"},
    {QN_ROLE_FFN_UP_BIAS, "layers.%d.mlp.c_fc.bias", QN_WITH_MLP_BIAS},
    {QN_ROLE_FFN_DOWN, "layers.%d.mlp.c_proj.weight"},
    {QN_ROLE_FFN_DOWN_BIAS, "layers.%d.mlp.c_proj.bias", QN_WITH_MLP_BIAS},
};

const struct qn_family qn_family_starcoder2 = {
    .name = "starcoder2",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM | QN_WITH_ATTN_BIAS | QN_WITH_MLP_BIAS,
                 .tied = true,
                 .norm = QN_NORM_LAYER,
                 .norm_eps = 1e-5f,
                 .activation = QN_ACTIVATION_GELU_TANH},
    .gguf_pairs = QN_ROPE_HALVES,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
