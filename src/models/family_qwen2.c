/* SPDX-License-Identifier: Apache-2.0
 *
 * Qwen2 and Qwen2.5: Llama with biases on Q, K and V, and RoPE on the halves of a head.
 */
#include "models/family.h"

static const struct qn_tensor_rule rules[] = {
    {QN_ROLE_TOKEN_EMBD, "token_embd.weight", QN_DIM_VOCAB, QN_DIM_EMBD, false},
    {QN_ROLE_ROPE_FACTORS, "rope_freqs.weight", QN_DIM_ONE, QN_DIM_HALF_ROT, true},
    {QN_ROLE_OUTPUT_NORM, "output_norm.weight", QN_DIM_ONE, QN_DIM_EMBD, false},
    {QN_ROLE_OUTPUT, "output.weight", QN_DIM_VOCAB, QN_DIM_EMBD, true},
    {QN_ROLE_ATTN_NORM, "blk.%d.attn_norm.weight", QN_DIM_ONE, QN_DIM_EMBD, false},
    {QN_ROLE_ATTN_Q, "blk.%d.attn_q.weight", QN_DIM_Q, QN_DIM_EMBD, false},
    {QN_ROLE_ATTN_K, "blk.%d.attn_k.weight", QN_DIM_KV, QN_DIM_EMBD, false},
    {QN_ROLE_ATTN_V, "blk.%d.attn_v.weight", QN_DIM_KV, QN_DIM_EMBD, false},
    {QN_ROLE_ATTN_Q_BIAS, "blk.%d.attn_q.bias", QN_DIM_ONE, QN_DIM_Q, false},
    {QN_ROLE_ATTN_K_BIAS, "blk.%d.attn_k.bias", QN_DIM_ONE, QN_DIM_KV, false},
    {QN_ROLE_ATTN_V_BIAS, "blk.%d.attn_v.bias", QN_DIM_ONE, QN_DIM_KV, false},
    {QN_ROLE_ATTN_OUT, "blk.%d.attn_output.weight", QN_DIM_EMBD, QN_DIM_Q, false},
    {QN_ROLE_ATTN_OUT_BIAS, "blk.%d.attn_output.bias", QN_DIM_ONE, QN_DIM_EMBD, true},
    {QN_ROLE_FFN_NORM, "blk.%d.ffn_norm.weight", QN_DIM_ONE, QN_DIM_EMBD, false},
    {QN_ROLE_FFN_GATE, "blk.%d.ffn_gate.weight", QN_DIM_FF, QN_DIM_EMBD, false},
    {QN_ROLE_FFN_UP, "blk.%d.ffn_up.weight", QN_DIM_FF, QN_DIM_EMBD, false},
    {QN_ROLE_FFN_DOWN, "blk.%d.ffn_down.weight", QN_DIM_EMBD, QN_DIM_FF, false},
};

const struct qn_family qn_family_qwen2 = {
    .name = "qwen2",
    .norm = QN_NORM_RMS,
    .rope = QN_ROPE_HALVES,
    .activation = QN_ACTIVATION_SILU,
    .n_rules = sizeof rules / sizeof *rules,
    .rules = rules,
};
