/* SPDX-License-Identifier: Apache-2.0 */
#include "models/roles.h"

#define LAYER "blk.%d."
#define QKV   LAYER "attn_qkv.weight"
#define QKV_B LAYER "attn_qkv.bias"

/* clang-format off: one role a line, in columns */
const struct qn_role_info qn_role_infos[QN_ROLE_COUNT] = {
    [QN_ROLE_TOKEN_EMBD] = {"token_embd.weight", .n = QN_DIM_VOCAB, .k = QN_DIM_TOKEN,
                            .by_row = true},
    [QN_ROLE_POSITION_EMBD] = {"position_embd.weight", .n = QN_DIM_POSITIONS, .k = QN_DIM_EMBD,
                               .by_row = true},
    [QN_ROLE_PROJECT_IN] = {"project_in.weight", .n = QN_DIM_EMBD, .k = QN_DIM_TOKEN},
    [QN_ROLE_ROPE_FACTORS] = {"rope_freqs.weight", .n = QN_DIM_ONE, .k = QN_DIM_HALF_ROT},
    [QN_ROLE_ROPE_LONG] = {"rope_factors_long.weight", .n = QN_DIM_ONE, .k = QN_DIM_HALF_ROT},
    [QN_ROLE_ROPE_SHORT] = {"rope_factors_short.weight", .n = QN_DIM_ONE, .k = QN_DIM_HALF_ROT},
    [QN_ROLE_OUTPUT_NORM] = {"output_norm.weight", .n = QN_DIM_ONE, .k = QN_DIM_EMBD,
                             .is_norm = true},
    [QN_ROLE_OUTPUT_NORM_BIAS] = {"output_norm.bias", .n = QN_DIM_ONE, .k = QN_DIM_EMBD},
    [QN_ROLE_PROJECT_OUT] = {"project_out.weight", .n = QN_DIM_TOKEN, .k = QN_DIM_EMBD},
    [QN_ROLE_OUTPUT] = {"output.weight", .n = QN_DIM_VOCAB, .k = QN_DIM_TOKEN},
    [QN_ROLE_ATTN_NORM] = {LAYER "attn_norm.weight", .n = QN_DIM_ONE, .k = QN_DIM_EMBD,
                           .is_norm = true},
    [QN_ROLE_ATTN_NORM_BIAS] = {LAYER "attn_norm.bias", .n = QN_DIM_ONE, .k = QN_DIM_EMBD},
    [QN_ROLE_ATTN_Q] = {LAYER "attn_q.weight", QKV, QN_DIM_Q, QN_DIM_EMBD},
    [QN_ROLE_ATTN_K] = {LAYER "attn_k.weight", QKV, QN_DIM_KV, QN_DIM_EMBD},
    [QN_ROLE_ATTN_V] = {LAYER "attn_v.weight", QKV, QN_DIM_KV, QN_DIM_EMBD},
    [QN_ROLE_ATTN_Q_BIAS] = {LAYER "attn_q.bias", QKV_B, QN_DIM_ONE, QN_DIM_Q},
    [QN_ROLE_ATTN_K_BIAS] = {LAYER "attn_k.bias", QKV_B, QN_DIM_ONE, QN_DIM_KV},
    [QN_ROLE_ATTN_V_BIAS] = {LAYER "attn_v.bias", QKV_B, QN_DIM_ONE, QN_DIM_KV},
    [QN_ROLE_ATTN_Q_NORM] = {LAYER "attn_q_norm.weight", .n = QN_DIM_ONE, .k = QN_DIM_Q_NORM,
                             .is_norm = true},
    [QN_ROLE_ATTN_K_NORM] = {LAYER "attn_k_norm.weight", .n = QN_DIM_ONE, .k = QN_DIM_K_NORM,
                             .is_norm = true},
    [QN_ROLE_ATTN_OUT] = {LAYER "attn_output.weight", .n = QN_DIM_EMBD, .k = QN_DIM_Q},
    [QN_ROLE_ATTN_OUT_BIAS] = {LAYER "attn_output.bias", .n = QN_DIM_ONE, .k = QN_DIM_EMBD},
    [QN_ROLE_ATTN_POST_NORM] = {LAYER "post_attention_norm.weight", .n = QN_DIM_ONE,
                                .k = QN_DIM_EMBD, .is_norm = true},
    [QN_ROLE_FFN_NORM] = {LAYER "ffn_norm.weight", .n = QN_DIM_ONE, .k = QN_DIM_EMBD,
                          .is_norm = true},
    [QN_ROLE_FFN_NORM_BIAS] = {LAYER "ffn_norm.bias", .n = QN_DIM_ONE, .k = QN_DIM_EMBD},
    [QN_ROLE_FFN_GATE] = {LAYER "ffn_gate.weight", LAYER "ffn_up.weight", QN_DIM_FF, QN_DIM_EMBD},
    [QN_ROLE_FFN_UP] = {LAYER "ffn_up.weight", LAYER "ffn_up.weight", QN_DIM_FF, QN_DIM_EMBD},
    [QN_ROLE_FFN_DOWN] = {LAYER "ffn_down.weight", .n = QN_DIM_EMBD, .k = QN_DIM_FF},
    [QN_ROLE_FFN_GATE_BIAS] = {LAYER "ffn_gate.bias", .n = QN_DIM_ONE, .k = QN_DIM_FF},
    [QN_ROLE_FFN_UP_BIAS] = {LAYER "ffn_up.bias", .n = QN_DIM_ONE, .k = QN_DIM_FF},
    [QN_ROLE_FFN_DOWN_BIAS] = {LAYER "ffn_down.bias", .n = QN_DIM_ONE, .k = QN_DIM_EMBD},
    [QN_ROLE_ROUTER] = {LAYER "ffn_gate_inp.weight", .n = QN_DIM_EXPERTS, .k = QN_DIM_EMBD},
    [QN_ROLE_EXPERTS_GATE] = {LAYER "ffn_gate_exps.weight", .gguf_apart = LAYER "ffn_gate.%d.weight", .n = QN_DIM_EXPERT_FF, .k = QN_DIM_EMBD,
                              .per_expert = true},
    [QN_ROLE_EXPERTS_UP] = {LAYER "ffn_up_exps.weight", .gguf_apart = LAYER "ffn_up.%d.weight", .n = QN_DIM_EXPERT_FF, .k = QN_DIM_EMBD,
                            .per_expert = true},
    [QN_ROLE_EXPERTS_DOWN] = {LAYER "ffn_down_exps.weight", .gguf_apart = LAYER "ffn_down.%d.weight", .n = QN_DIM_EMBD, .k = QN_DIM_EXPERT_FF,
                              .per_expert = true},
    [QN_ROLE_FFN_POST_NORM] = {LAYER "post_ffw_norm.weight", .n = QN_DIM_ONE, .k = QN_DIM_EMBD,
                               .is_norm = true},
};
/* clang-format on */
