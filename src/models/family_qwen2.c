/* SPDX-License-Identifier: Apache-2.0
 *
 * Qwen2 and Qwen2.5: Llama with biases on Q, K and V.
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {{"qwen2"}, {NULL}};
static const char *const prefixes[] = {"model.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "embed_tokens.weight"},
    {QN_ROLE_OUTPUT_NORM, "norm.weight"},
    {QN_ROLE_OUTPUT, "lm_head.weight"},
    {QN_ROLE_ATTN_NORM, "layers.%d.input_layernorm.weight"},
    {QN_ROLE_ATTN_Q, "layers.%d.self_attn.q_proj.weight"},
    {QN_ROLE_ATTN_K, "layers.%d.self_attn.k_proj.weight"},
    {QN_ROLE_ATTN_V, "layers.%d.self_attn.v_proj.weight"},
    {QN_ROLE_ATTN_Q_BIAS, "layers.%d.self_attn.q_proj.bias"},
    {QN_ROLE_ATTN_K_BIAS, "layers.%d.self_attn.k_proj.bias"},
    {QN_ROLE_ATTN_V_BIAS, "layers.%d.self_attn.v_proj.bias"},
    {QN_ROLE_ATTN_OUT, "layers.%d.self_attn.o_proj.weight"},
    {QN_ROLE_ATTN_OUT_BIAS, "layers.%d.self_attn.o_proj.bias", QN_IF_PRESENT},
    {QN_ROLE_FFN_NORM, "layers.%d.post_attention_layernorm.weight"},
    {QN_ROLE_FFN_GATE, "layers.%d.mlp.gate_proj.weight"},
    {QN_ROLE_FFN_UP, "layers.%d.mlp.up_proj.weight"},
    {QN_ROLE_FFN_DOWN, "layers.%d.mlp.down_proj.weight"},
};

const struct qn_family qn_family_qwen2 = {
    .name = "qwen2",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM,
                 .norm = QN_NORM_RMS,
                 .norm_eps = 1e-6f,
                 .activation = QN_ACTIVATION_SILU},
    .gguf_pairs = QN_ROPE_HALVES,
    .window_on_request = true,
    .window_first_layer = 28,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
