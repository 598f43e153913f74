/* SPDX-License-Identifier: Apache-2.0
 *
 * Gemma 2: norms before and behind each module, embeddings scaled by sqrt(width), soft caps on
 * scores and logits, a window in every other layer.
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {{"gemma2"}, {NULL}};
static const char *const prefixes[] = {"model.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "embed_tokens.weight"},
    {QN_ROLE_OUTPUT_NORM, "norm.weight"},
    {QN_ROLE_OUTPUT, "lm_head.weight"},
    {QN_ROLE_ATTN_NORM, "layers.%d.input_layernorm.weight"},
    {QN_ROLE_ATTN_Q, "layers.%d.self_attn.q_proj.weight"},
    {QN_ROLE_ATTN_K, "layers.%d.self_attn.k_proj.weight"},
    {QN_ROLE_ATTN_V, "layers.%d.self_attn.v_proj.weight"},
    {QN_ROLE_ATTN_OUT, "layers.%d.self_attn.o_proj.weight"},
    {QN_ROLE_ATTN_POST_NORM, "layers.%d.post_attention_layernorm.weight"},
    {QN_ROLE_FFN_NORM, "layers.%d.pre_feedforward_layernorm.weight"},
    {QN_ROLE_FFN_GATE, "layers.%d.mlp.gate_proj.weight"},
    {QN_ROLE_FFN_UP, "layers.%d.mlp.up_proj.weight"},
    {QN_ROLE_FFN_DOWN, "layers.%d.mlp.down_proj.weight"},
    {QN_ROLE_FFN_POST_NORM, "layers.%d.post_feedforward_layernorm.weight"},
};

const struct qn_family qn_family_gemma2 = {
    .name = "gemma2",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM,
                 .tied = true,
                 .norm = QN_NORM_RMS,
                 .norm_eps = 1e-6f,
                 .activation = QN_ACTIVATION_GELU_TANH,
                 .scale_embd = true,
                 .attn_softcap = 50,
                 .final_softcap = 30,
                 .window = 4096,
                 .window_pattern = 2},
    .gguf_pairs = QN_ROPE_HALVES,
    .config_attn_scalar = 256,
    .norm_plus_one = true,
    .gguf_scale_layers = 46, /* 27B */
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
