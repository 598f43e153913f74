/* SPDX-License-Identifier: Apache-2.0
 *
 * OLMo 2: norms behind the modules only, and one on all heads of Q and of K together.
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {{"olmo2", .ignores_window = true}, {NULL}};
static const char *const prefixes[] = {"model.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "embed_tokens.weight"},
    {QN_ROLE_OUTPUT_NORM, "norm.weight"},
    {QN_ROLE_OUTPUT, "lm_head.weight"},
    {QN_ROLE_ATTN_Q, "layers.%d.self_attn.q_proj.weight"},
    {QN_ROLE_ATTN_K, "layers.%d.self_attn.k_proj.weight"},
    {QN_ROLE_ATTN_V, "layers.%d.self_attn.v_proj.weight"},
    {QN_ROLE_ATTN_Q_NORM, "layers.%d.self_attn.q_norm.weight"},
    {QN_ROLE_ATTN_K_NORM, "layers.%d.self_attn.k_norm.weight"},
    {QN_ROLE_ATTN_OUT, "layers.%d.self_attn.o_proj.weight"},
    {QN_ROLE_ATTN_POST_NORM, "layers.%d.post_attention_layernorm.weight"},
    {QN_ROLE_FFN_GATE, "layers.%d.mlp.gate_proj.weight"},
    {QN_ROLE_FFN_UP, "layers.%d.mlp.up_proj.weight"},
    {QN_ROLE_FFN_DOWN, "layers.%d.mlp.down_proj.weight"},
    {QN_ROLE_FFN_POST_NORM, "layers.%d.post_feedforward_layernorm.weight"},
};

const struct qn_family qn_family_olmo2 = {
    .name = "olmo2",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM,
                 .norm = QN_NORM_RMS,
                 .norm_eps = 1e-5f,
                 .activation = QN_ACTIVATION_SILU,
                 .qk_norm = QN_QK_NORM_ROW},
    .gguf_pairs = QN_ROPE_HALVES,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
