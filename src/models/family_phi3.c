/* SPDX-License-Identifier: Apache-2.0
 *
 * Phi-3: Llama with fused QKV and fused gate and up; LongRoPE in its long contexts. Which of the
 * two lists of divisors holds is chosen once, by the session's context; transformers changes over
 * when a text outgrows the original context, and leaves what it has cached as it was.
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {{"phi3"}, {NULL}};
static const char *const prefixes[] = {"model.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "embed_tokens.weight"},
    {QN_ROLE_OUTPUT_NORM, "norm.weight"},
    {QN_ROLE_ROPE_LONG, "rope_factors_long.weight", QN_IF_PRESENT},
    {QN_ROLE_ROPE_SHORT, "rope_factors_short.weight", QN_IF_PRESENT},
    {QN_ROLE_OUTPUT, "lm_head.weight"},
    {QN_ROLE_ATTN_NORM, "layers.%d.input_layernorm.weight"},
    {QN_ROLE_ATTN_Q, "layers.%d.self_attn.qkv_proj.weight", 0, QN_PART_FUSED},
    {QN_ROLE_ATTN_K, "layers.%d.self_attn.qkv_proj.weight", 0, QN_PART_FUSED},
    {QN_ROLE_ATTN_V, "layers.%d.self_attn.qkv_proj.weight", 0, QN_PART_FUSED},
    {QN_ROLE_ATTN_OUT, "layers.%d.self_attn.o_proj.weight"},
    {QN_ROLE_FFN_NORM, "layers.%d.post_attention_layernorm.weight"},
    {QN_ROLE_FFN_GATE, "layers.%d.mlp.gate_up_proj.weight", 0, QN_PART_FUSED},
    {QN_ROLE_FFN_UP, "layers.%d.mlp.gate_up_proj.weight", 0, QN_PART_FUSED},
    {QN_ROLE_FFN_DOWN, "layers.%d.mlp.down_proj.weight"},
};

const struct qn_family qn_family_phi3 = {
    .name = "phi3",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM,
                 .norm = QN_NORM_RMS,
                 .norm_eps = 1e-5f,
                 .activation = QN_ACTIVATION_SILU},
    .gguf_pairs = QN_ROPE_HALVES,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
