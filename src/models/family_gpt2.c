/* SPDX-License-Identifier: Apache-2.0
 *
 * GPT-2: learned positions, LayerNorm, fused QKV, tanh GELU. Hugging Face files store matrices
 * transposed, as inputs by outputs (Conv1D).
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {{"gpt2", .ignores_window = true}, {NULL}};
static const char *const prefixes[] = {"transformer.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "wte.weight"},
    {QN_ROLE_POSITION_EMBD, "wpe.weight"},
    {QN_ROLE_OUTPUT_NORM, "ln_f.weight"},
    {QN_ROLE_OUTPUT_NORM_BIAS, "ln_f.bias"},
    {QN_ROLE_OUTPUT, "lm_head.weight"},
    {QN_ROLE_ATTN_NORM, "h.%d.ln_1.weight"},
    {QN_ROLE_ATTN_NORM_BIAS, "h.%d.ln_1.bias"},
    {QN_ROLE_ATTN_Q, "h.%d.attn.c_attn.weight", 0, QN_PART_FUSED_TRANSPOSED},
    {QN_ROLE_ATTN_K, "h.%d.attn.c_attn.weight", 0, QN_PART_FUSED_TRANSPOSED},
    {QN_ROLE_ATTN_V, "h.%d.attn.c_attn.weight", 0, QN_PART_FUSED_TRANSPOSED},
    {QN_ROLE_ATTN_Q_BIAS, "h.%d.attn.c_attn.bias", 0, QN_PART_FUSED},
    {QN_ROLE_ATTN_K_BIAS, "h.%d.attn.c_attn.bias", 0, QN_PART_FUSED},
    {QN_ROLE_ATTN_V_BIAS, "h.%d.attn.c_attn.bias", 0, QN_PART_FUSED},
    {QN_ROLE_ATTN_OUT, "h.%d.attn.c_proj.weight", 0, QN_PART_TRANSPOSED},
    {QN_ROLE_ATTN_OUT_BIAS, "h.%d.attn.c_proj.bias"},
    {QN_ROLE_FFN_NORM, "h.%d.ln_2.weight"},
    {QN_ROLE_FFN_NORM_BIAS, "h.%d.ln_2.bias"},
    {QN_ROLE_FFN_UP, "h.%d.mlp.c_fc.weight", 0, QN_PART_TRANSPOSED},
    {QN_ROLE_FFN_UP_BIAS, "h.%d.mlp.c_fc.bias"},
    {QN_ROLE_FFN_DOWN, "h.%d.mlp.c_proj.weight", 0, QN_PART_TRANSPOSED},
    {QN_ROLE_FFN_DOWN_BIAS, "h.%d.mlp.c_proj.bias"},
};

const struct qn_family qn_family_gpt2 = {
    .name = "gpt2",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM,
                 .tied = true,
                 .norm = QN_NORM_LAYER,
                 .norm_eps = 1e-5f,
                 .activation = QN_ACTIVATION_GELU_TANH,
                 .learned_positions = true},
    .gguf_pairs = QN_ROPE_HALVES,
    .ff_multiple = 4,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
