/* SPDX-License-Identifier: Apache-2.0
 *
 * OPT: learned positions that start at row 2, LayerNorm, ReLU. The 350m one has its norms behind
 * the sum, none at the end, and token embeddings that are narrower than the stream.
 *
 * GGUF has no such architecture of its own; Quern reads the keys opt.context_length,
 * opt.embedding_length, opt.block_count, opt.feed_forward_length, opt.attention.head_count,
 * opt.attention.layer_norm_epsilon, opt.position_offset (2), opt.token_embedding_length and
 * opt.do_layer_norm_before.
 */
#include "models/family.h"

static const struct qn_model_type model_types[] = {{"opt", .ignores_window = true}, {NULL}};
static const char *const prefixes[] = {"model.decoder.", "decoder.", "", NULL};

static const struct qn_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "embed_tokens.weight"},
    {QN_ROLE_POSITION_EMBD, "embed_positions.weight"},
    {QN_ROLE_PROJECT_IN, "project_in.weight", QN_WITH_PROJECTION},
    {QN_ROLE_OUTPUT_NORM, "final_layer_norm.weight", QN_WITH_FINAL_NORM},
    {QN_ROLE_OUTPUT_NORM_BIAS, "final_layer_norm.bias", QN_WITH_FINAL_NORM},
    {QN_ROLE_PROJECT_OUT, "project_out.weight", QN_WITH_PROJECTION},
    {QN_ROLE_OUTPUT, "lm_head.weight"},
    {QN_ROLE_ATTN_NORM, "layers.%d.self_attn_layer_norm.weight"},
    {QN_ROLE_ATTN_NORM_BIAS, "layers.%d.self_attn_layer_norm.bias"},
    {QN_ROLE_ATTN_Q, "layers.%d.self_attn.q_proj.weight"},
    {QN_ROLE_ATTN_K, "layers.%d.self_attn.k_proj.weight"},
    {QN_ROLE_ATTN_V, "layers.%d.self_attn.v_proj.weight"},
    {QN_ROLE_ATTN_Q_BIAS, "layers.%d.self_attn.q_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_K_BIAS, "layers.%d.self_attn.k_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_V_BIAS, "layers.%d.self_attn.v_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_ATTN_OUT, "layers.%d.self_attn.out_proj.weight"},
    {QN_ROLE_ATTN_OUT_BIAS, "layers.%d.self_attn.out_proj.bias", QN_WITH_ATTN_BIAS},
    {QN_ROLE_FFN_NORM, "layers.%d.final_layer_norm.weight"},
    {QN_ROLE_FFN_NORM_BIAS, "layers.%d.final_layer_norm.bias"},
    {QN_ROLE_FFN_UP, "layers.%d.fc1.weight"},
    {QN_ROLE_FFN_UP_BIAS, "layers.%d.fc1.bias", QN_WITH_MLP_BIAS},
    {QN_ROLE_FFN_DOWN, "layers.%d.fc2.weight"},
    {QN_ROLE_FFN_DOWN_BIAS, "layers.%d.fc2.bias", QN_WITH_MLP_BIAS},
};

const struct qn_family qn_family_opt = {
    .name = "opt",
    .model_types = model_types,
    .prefixes = prefixes,
    .defaults = {.features = QN_WITH_FINAL_NORM | QN_WITH_ATTN_BIAS | QN_WITH_MLP_BIAS,
                 .tied = true,
                 .norm = QN_NORM_LAYER,
                 .norm_eps = 1e-5f,
                 .activation = QN_ACTIVATION_RELU,
                 .learned_positions = true,
                 .position_offset = 2},
    .gguf_pairs = QN_ROPE_HALVES,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
