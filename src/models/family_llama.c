/* SPDX-License-Identifier: Apache-2.0
 *
 * Llama and what follows it: TinyLlama, Mistral, SmolLM2, Mixtral. RMSNorm, RoPE, GQA, SwiGLU; in
 * Mixtral a mixture of experts. Hugging Face files pair the halves of a head; GGUF files, whose
 * rows of Q and K the converter permutes, neighbours.
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {
    {"llama", .ignores_window = true}, {"mistral"}, {"mixtral", .norm_eps = 1e-5f}, {NULL}};
static const char *const prefixes[] = {"model.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "embed_tokens.weight"},
    {QN_ROLE_OUTPUT_NORM, "norm.weight"},
    {QN_ROLE_ROPE_FACTORS, "rope_freqs.weight", QN_IF_PRESENT},
    {QN_ROLE_OUTPUT, "lm_head.weight"},
    {QN_ROLE_ATTN_NORM, "layers.%d.input_layernorm.weight"},
    {QN_ROLE_ATTN_Q, "layers.%d.self_attn.q_proj.weight"},
    {QN_ROLE_ATTN_K, "layers.%d.self_attn.k_proj.weight"},
    {QN_ROLE_ATTN_V, "layers.%d.self_attn.v_proj.weight"},
    {QN_ROLE_ATTN_Q_BIAS, "layers.%d.self_attn.q_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_K_BIAS, "layers.%d.self_attn.k_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_V_BIAS, "layers.%d.self_attn.v_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_OUT, "layers.%d.self_attn.o_proj.weight"},
    {QN_ROLE_ATTN_OUT_BIAS, "layers.%d.self_attn.o_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_FFN_NORM, "layers.%d.post_attention_layernorm.weight"},
    {QN_ROLE_FFN_GATE, "layers.%d.mlp.gate_proj.weight", QN_WITH_DENSE},
    {QN_ROLE_FFN_UP, "layers.%d.mlp.up_proj.weight", QN_WITH_DENSE},
    {QN_ROLE_FFN_DOWN, "layers.%d.mlp.down_proj.weight", QN_WITH_DENSE},
    {QN_ROLE_FFN_GATE_BIAS, "layers.%d.mlp.gate_proj.bias", QN_WITH_MLP_BIAS},
    {QN_ROLE_FFN_UP_BIAS, "layers.%d.mlp.up_proj.bias", QN_WITH_MLP_BIAS},
    {QN_ROLE_FFN_DOWN_BIAS, "layers.%d.mlp.down_proj.bias", QN_WITH_MLP_BIAS},
    {QN_ROLE_ROUTER, "layers.%d.block_sparse_moe.gate.weight", QN_WITH_EXPERTS},
    {QN_ROLE_EXPERTS_GATE, "layers.%d.block_sparse_moe.experts.%d.w1.weight", QN_WITH_EXPERTS,
     QN_PART_EXPERT},
    {QN_ROLE_EXPERTS_UP, "layers.%d.block_sparse_moe.experts.%d.w3.weight", QN_WITH_EXPERTS,
     QN_PART_EXPERT},
    {QN_ROLE_EXPERTS_DOWN, "layers.%d.block_sparse_moe.experts.%d.w2.weight", QN_WITH_EXPERTS,
     QN_PART_EXPERT},
};

const struct qn_family qn_family_llama = {
    .name = "llama",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM,
                 .norm = QN_NORM_RMS,
                 .norm_eps = 1e-6f,
                 .activation = QN_ACTIVATION_SILU,
                 .renormalize_experts = true},
    .gguf_pairs = QN_ROPE_ADJACENT,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
