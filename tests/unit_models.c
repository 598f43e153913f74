/* SPDX-License-Identifier: Apache-2.0
 *
 * Hyperparameters from config.json: what each family's members mean, and what is refused.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/hparams_read.h"

/* A Llama of two layers, to which cases add members; the last of two alike counts. */
#define BASE                                                                                       \
    "'num_hidden_layers': 2, 'hidden_size': 64, 'num_attention_heads': 4, "                        \
    "'num_key_value_heads': 2, 'intermediate_size': 96, 'max_position_embeddings': 256, "          \
    "'rms_norm_eps': 1e-6"

/* JSON with ' for " keeps the cases legible. */
static json_t *config_of(const char *text) {
    char json[2048];
    snprintf(json, sizeof json, "{%s}", text);
    for (char *c = json; *c; c++)
        if (*c == '\'') *c = '"';
    json_error_t problem;
    json_t *const config = json_loads(json, 0, &problem);
    cr_assert(config, "%s: %s", json, problem.text);
    return config;
}

static enum qn_status read_config(const char *model_type, const char *text, struct qn_hparams *h,
                                  struct qn_error *err) {
    const struct qn_family *const family = qn_family_of_model_type(model_type);
    cr_assert(family, "no family for %s", model_type);
    json_t *const config = config_of(text);
    const enum qn_status status = qn_hparams_from_config(config, family, h, err);
    json_decref(config);
    return status;
}

static struct qn_hparams accepted(const char *model_type, const char *text) {
    struct qn_hparams h;
    struct qn_error err = {0};
    cr_assert_eq(read_config(model_type, text, &h, &err), QN_OK, "%s: %s", text, err.message);
    return h;
}

Test(config, names_of_each_family_mean_the_same) {
    const struct qn_hparams llama = accepted("llama", BASE);
    const struct qn_hparams gpt2 =
        accepted("gpt2", "'n_layer': 2, 'n_embd': 64, 'n_head': 4, 'n_positions': 256");
    cr_assert_eq(gpt2.n_layers, llama.n_layers);
    cr_assert_eq(gpt2.n_embd, llama.n_embd);
    cr_assert_eq(gpt2.n_heads, llama.n_heads);
    cr_assert_eq(gpt2.n_kv_heads, 4);
    cr_assert_eq(gpt2.n_ctx_train, llama.n_ctx_train);
    cr_assert_eq(gpt2.n_ff, 256, "four times the width where n_inner is absent");
    cr_assert(gpt2.tied && !llama.tied);
    cr_assert_eq(gpt2.n_rot, 0);
    cr_assert_eq(llama.n_rot, 16);
}

Test(config, rotation_old_and_new_spelling) {
    static const char *const old =
        BASE ", 'rope_theta': 5e5, 'rope_scaling': {'type': 'yarn', 'factor': 4.0, "
             "'original_max_position_embeddings': 64}";
    static const char *const new =
        BASE ", 'rope_parameters': {'rope_theta': 5e5, 'rope_type': 'yarn', 'factor': 4.0, "
             "'original_max_position_embeddings': 64}";
    const struct qn_hparams a = accepted("qwen2", old), b = accepted("qwen2", new);
    cr_assert_eq(a.rope[0].scaling, QN_ROPE_SCALING_YARN);
    cr_assert_eq(memcmp(&a.rope[0], &b.rope[0], sizeof a.rope[0]), 0);
    cr_assert_eq(a.rope[0].base, 5e5f);
    cr_assert_eq(a.rope[0].ctx_orig, 64);
}

Test(config, a_part_of_the_head_is_rotated) {
    cr_assert_eq(accepted("gpt_neox", BASE ", 'rotary_pct': 0.5").n_rot, 8);
    cr_assert_eq(
        accepted("gpt_neox", BASE ", 'rope_parameters': {'partial_rotary_factor': 0.25}").n_rot, 4);
    cr_assert_eq(accepted("gpt_neox", BASE).n_rot, 4, "GPT-NeoX rotates a quarter by default");
}

Test(config, windows_fall_on_the_right_layers) {
    struct qn_hparams h = accepted("mistral", BASE ", 'sliding_window': 8");
    cr_assert(qn_hparams_window(&h, 0) == 8 && qn_hparams_window(&h, 1) == 8);
    h = accepted("mistral", BASE ", 'sliding_window': null");
    cr_assert(qn_hparams_window(&h, 0) == 0);
    h = accepted("qwen2", BASE ", 'sliding_window': 8, 'use_sliding_window': false");
    cr_assert(qn_hparams_window(&h, 1) == 0);
    h = accepted("qwen2",
                 BASE ", 'sliding_window': 8, 'use_sliding_window': true, 'max_window_layers': 1");
    cr_assert(qn_hparams_window(&h, 0) == 0 && qn_hparams_window(&h, 1) == 8);
    h = accepted("gemma2", BASE ", 'sliding_window': 8");
    cr_assert(qn_hparams_window(&h, 0) == 8 && qn_hparams_window(&h, 1) == 0);
    h = accepted("gemma2", BASE ", 'sliding_window': 8, "
                                "'layer_types': ['full_attention', 'sliding_attention']");
    cr_assert(qn_hparams_window(&h, 0) == 0 && qn_hparams_window(&h, 1) == 8);
}

Test(config, layers_without_rotation) {
    const struct qn_hparams h = accepted("smollm3", BASE ", 'no_rope_layers': [0, 1]");
    cr_assert(h.layers[0] & QN_LAYER_NO_ROPE);
    cr_assert(!(h.layers[1] & QN_LAYER_NO_ROPE));
}

Test(config, scores_are_scaled_as_the_family_says) {
    cr_assert_float_eq(accepted("llama", BASE).attn_scale, 0.25, 1e-7);
    const struct qn_hparams h = accepted("gemma2", BASE ", 'query_pre_attn_scalar': 64");
    cr_assert_float_eq(h.attn_scale, 0.125, 1e-7);
    cr_assert_float_eq(h.embd_scale, 8, 1e-6, "sqrt of the width");
}

/* Llama 3's own numbers: short waves stay, long ones are divided by the factor. */
Test(config, llama3_scaling_keeps_short_waves) {
    const struct qn_hparams h =
        accepted("llama", BASE ", 'rope_theta': 500000.0, 'rope_scaling': {'rope_type': 'llama3', "
                               "'factor': 8.0, 'low_freq_factor': 1.0, 'high_freq_factor': 4.0, "
                               "'original_max_position_embeddings': 64}");
    double frequency[8];
    cr_assert_eq(qn_hparams_rope(&h, 0, NULL, 256, frequency), 1.0f);
    cr_assert_float_eq(frequency[0], 1.0, 1e-12);
    cr_assert_float_eq(frequency[7], pow(500000.0, -14.0 / 16) / 8, 1e-12);
}

Test(config, what_is_wrong_is_named) {
    static const struct {
        const char *model_type, *text, *word, *also;
    } cases[] = {
        {"llama", "'num_hidden_layers': 2", "hidden_size", "missing"},
        {"llama", BASE ", 'num_attention_heads': 'four'", "num_attention_heads", "a string"},
        {"llama", BASE ", 'num_attention_heads': 0", "num_attention_heads", "1 to"},
        {"llama", BASE ", 'num_key_value_heads': 3", "4 heads", "multiple"},
        {"llama", BASE ", 'hidden_size': 66, 'head_dim': null", "width 66", "4 heads"},
        {"llama", BASE ", 'head_dim': 15", "head size 15", "even"},
        {"llama", BASE ", 'hidden_act': 'mish'", "mish", "silu"},
        {"llama", BASE ", 'rope_scaling': {'type': 'dynamic', 'factor': 2}", "dynamic", "yarn"},
        {"llama", BASE ", 'rope_scaling': {'type': 'yarn', 'factor': -1}", "factor", "-1"},
        {"llama", BASE ", 'quantization_config': {'bits': 4}", "quantization_config", "float"},
        {"gpt2",
         "'n_layer': 2, 'n_embd': 64, 'n_head': 4, 'n_positions': 256, "
         "'scale_attn_by_inverse_layer_idx': true",
         "scale_attn_by_inverse_layer_idx", "true"},
        {"gemma2", BASE ", 'layer_types': ['full_attention']", "layer_types", "1 entries"},
        {"qwen2", BASE ", 'layer_types': ['full_attention', 'linear_attention']",
         "linear_attention", "layer 1"},
        {"phi3",
         BASE ", 'original_max_position_embeddings': 64, 'rope_scaling': "
              "{'type': 'longrope', 'long_factor': [1, 2], 'short_factor': [1, 2]}",
         "long_factor", "expected 8"},
        {"mixtral",
         BASE ", 'num_local_experts': 4, 'num_experts_per_tok': 2, 'do_layer_norm_before': false",
         "norms behind", "experts"},
        {"mixtral",
         BASE ", 'num_local_experts': 4, 'num_experts_per_tok': 2, 'use_parallel_residual': true",
         "side by side", "experts"},
        {"gemma2", BASE ", 'use_parallel_residual': true", "side by side", "norms behind"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct qn_hparams h;
        struct qn_error err = {0};
        cr_assert_neq(read_config(cases[i].model_type, cases[i].text, &h, &err), QN_OK, "%s",
                      cases[i].text);
        cr_assert(strstr(err.message, cases[i].word) && strstr(err.message, cases[i].also),
                  "'%s' lacks '%s' or '%s'", err.message, cases[i].word, cases[i].also);
    }
}
