/* SPDX-License-Identifier: Apache-2.0
 *
 * GPT-NeoX and Pythia: RoPE on a part of each head, attention and MLP side by side, QKV fused head
 * by head.
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {{"gpt_neox", .ignores_window = true}, {NULL}};
static const char *const prefixes[] = {"gpt_neox.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "embed_in.weight"},
    {QN_ROLE_OUTPUT_NORM, "final_layer_norm.weight"},
    {QN_ROLE_OUTPUT_NORM_BIAS, "final_layer_norm.bias"},
    {QN_ROLE_OUTPUT, "embed_out.weight"},
    {QN_ROLE_ATTN_NORM, "layers.%d.input_layernorm.weight"},
    {QN_ROLE_ATTN_NORM_BIAS, "layers.%d.input_layernorm.bias"},
    {QN_ROLE_ATTN_Q, "layers.%d.attention.query_key_value.weight", 0, QN_PART_FUSED_BY_HEAD},
    {QN_ROLE_ATTN_K, "layers.%d.attention.query_key_value.weight", 0, QN_PART_FUSED_BY_HEAD},
    {QN_ROLE_ATTN_V, "layers.%d.attention.query_key_value.weight", 0, QN_PART_FUSED_BY_HEAD},
    {QN_ROLE_ATTN_Q_BIAS, "layers.%d.attention.query_key_value.bias", QN_WITH_ATTN_BIAS,
     QN_PART_FUSED_BY_HEAD},
    {QN_ROLE_ATTN_K_BIAS, "layers.%d.attention.query_key_value.bias", QN_WITH_ATTN_BIAS,
     QN_PART_FUSED_BY_HEAD},
    {QN_ROLE_ATTN_V_BIAS, "layers.%d.attention.query_key_value.bias", QN_WITH_ATTN_BIAS,
     QN_PART_FUSED_BY_HEAD},
    {QN_ROLE_ATTN_OUT, "layers.%d.attention.dense.weight"},
    {QN_ROLE_ATTN_OUT_BIAS, "layers.%d.attention.dense.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_FFN_NORM, "layers.%d.post_attention_layernorm.weight"},
    {QN_ROLE_FFN_NORM_BIAS, "layers.%d.post_attention_layernorm.bias"},
    {QN_ROLE_FFN_UP, "layers.%d.mlp.dense_h_to_4h.weight"},
    {QN_ROLE_FFN_UP_BIAS, "layers.%d.mlp.dense_h_to_4h.bias"},
    {QN_ROLE_FFN_DOWN, "layers.%d.mlp.dense_4h_to_h.weight"},
    {QN_ROLE_FFN_DOWN_BIAS, "layers.%d.mlp.dense_4h_to_h.bias"},
};

const struct qn_family qn_family_gptneox = {
    .name = "gptneox",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM | QN_WITH_ATTN_BIAS,
                 .norm = QN_NORM_LAYER,
                 .norm_eps = 1e-5f,
                 .parallel = true,
                 .activation = QN_ACTIVATION_GELU,
                 .rotary_part = 0.25f},
    .gguf_pairs = QN_ROPE_HALVES,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
