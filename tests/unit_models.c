/* SPDX-License-Identifier: Apache-2.0
 *
 * Hyperparameters from config.json: what each family's members mean, and what is refused. Tensors
 * of GGUF files that hold several weights.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gguf_writer.h"
#include "models/hparams_read.h"
#include "models/model.h"
#include "models/vocab_gguf.h"
#include "temp_folder.h"

/* A Llama of two layers, to which cases add members; the last of two alike counts. */
#define SIZES                                                                                      \
    "'num_hidden_layers': 2, 'hidden_size': 64, 'num_attention_heads': 4, "                        \
    "'num_key_value_heads': 2, 'intermediate_size': 96, 'max_position_embeddings': 256"
#define BASE SIZES ", 'rms_norm_eps': 1e-6"

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
    const struct qn_model_type *type;
    const struct qn_family *const family = qn_family_of_model_type(model_type, &type);
    cr_assert(family, "no family for %s", model_type);
    json_t *const config = config_of(text);
    const enum qn_status status = qn_hparams_from_config(config, family, type, h, err);
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
    h = accepted("qwen2", BASE ", 'sliding_window': 8, 'use_sliding_window': true");
    cr_assert(qn_hparams_window(&h, 1) == 0, "from layer 28 on where the file does not say");
    static const char *const on_request[] = {"qwen2", "qwen3", "qwen3_moe", "smollm3"};
    for (int i = 0; i < 4; i++) {
        h = accepted(on_request[i], BASE ", 'sliding_window': 8");
        cr_assert(qn_hparams_window(&h, 1) == 0, "%s asks for its window", on_request[i]);
    }
    h = accepted("gemma2", BASE ", 'sliding_window': 8");
    cr_assert(qn_hparams_window(&h, 0) == 8 && qn_hparams_window(&h, 1) == 0);
    h = accepted("gemma2", BASE ", 'sliding_window': 8, "
                                "'layer_types': ['full_attention', 'sliding_attention']");
    cr_assert(qn_hparams_window(&h, 0) == 0 && qn_hparams_window(&h, 1) == 8);
}

Test(config, windows_count_only_where_the_class_reads_them) {
    static const char *const without[] = {"llama", "olmo2", "gpt2", "gpt_neox", "opt"};
    static const char *const with[] = {"mistral", "mixtral", "phi3", "starcoder2"};
    for (size_t i = 0; i < sizeof without / sizeof *without; i++) {
        const struct qn_hparams h = accepted(without[i], BASE ", 'sliding_window': 8");
        cr_expect(h.window == 0 && qn_hparams_window(&h, 1) == 0, "%s", without[i]);
        accepted(without[i], BASE ", 'sliding_window': 0");
    }
    for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
        const struct qn_hparams h = accepted(with[i], BASE ", 'sliding_window': 8");
        cr_expect_eq(qn_hparams_window(&h, 1), 8, "%s", with[i]);
    }
}

Test(config, token_embeddings_of_another_width_are_projected) {
    const struct qn_hparams other = accepted("opt", BASE ", 'word_embed_proj_dim': 32");
    cr_assert(other.n_token_embd == 32 && other.features & QN_WITH_PROJECTION);
    const struct qn_hparams same = accepted("llama", BASE ", 'word_embed_proj_dim': 64");
    cr_assert(same.n_token_embd == 64 && !(same.features & QN_WITH_PROJECTION));
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
    cr_assert_float_eq(accepted("gemma2", BASE).attn_scale, 1.0 / 16, 1e-7);
    cr_assert_float_eq(accepted("gemma3_text", BASE).attn_scale, 1.0 / 16, 1e-7);
}

Test(config, what_a_file_leaves_out_is_the_familys) {
    cr_assert_eq(accepted("smollm3", BASE).rope[0].base, 2e6f);
    const struct qn_hparams capped = accepted("gemma2", BASE);
    cr_assert(capped.attn_softcap == 50 && capped.final_softcap == 30);
    const struct qn_hparams h = accepted(
        "gemma2", BASE ", 'attn_logit_softcapping': null, 'final_logit_softcapping': null");
    cr_assert(h.attn_softcap == 0 && h.final_softcap == 0, "null is no cap");
}

/* Numbers of transformers 5.23 for these members. */
/* Defaults of the classes of transformers 5.23.0. */
Test(config, norms_have_the_epsilon_of_the_class) {
    static const struct {
        const char *type;
        float epsilon;
    } classes[] = {{"llama", 1e-6f},      {"mistral", 1e-6f},  {"mixtral", 1e-5f},
                   {"qwen2", 1e-6f},      {"qwen3", 1e-6f},    {"qwen3_moe", 1e-6f},
                   {"gemma2", 1e-6f},     {"gemma3", 1e-6f},   {"phi3", 1e-5f},
                   {"olmo2", 1e-5f},      {"smollm3", 1e-6f},  {"gpt2", 1e-5f},
                   {"starcoder2", 1e-5f}, {"gpt_neox", 1e-5f}, {"opt", 1e-5f}};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        cr_expect_eq(accepted(classes[i].type, SIZES).norm_eps, classes[i].epsilon, "%s",
                     classes[i].type);
        cr_expect_eq(accepted(classes[i].type, SIZES ", 'rms_norm_eps': 1e-3").norm_eps, 1e-3f);
    }
}

Test(config, yarn_with_weights_and_a_ramp_between_pairs) {
#define YARN                                                                                       \
    BASE ", 'rope_scaling': {'rope_type': 'yarn', 'factor': 4.0, "                                 \
         "'original_max_position_embeddings': 64"
    double frequency[8];
    struct qn_hparams h = accepted("llama", YARN "}");
    cr_assert_float_eq(qn_hparams_rope(&h, 0, NULL, 256, frequency), 1.13862944, 1e-6);
    cr_assert_float_eq(frequency[1], 0.237170815, 1e-7);
    cr_assert_float_eq(frequency[2], 0.05, 1e-7);
    h = accepted("llama", YARN ", 'mscale': 0.707, 'mscale_all_dim': 1.0}");
    cr_assert_float_eq(qn_hparams_rope(&h, 0, NULL, 256, frequency), 0.964326915, 1e-6);
    h = accepted("llama", YARN ", 'mscale': 0.0, 'mscale_all_dim': 1.0}");
    cr_assert_float_eq(qn_hparams_rope(&h, 0, NULL, 256, frequency), 1.13862944, 1e-6);
    h = accepted("llama", YARN ", 'truncate': false}");
    qn_hparams_rope(&h, 0, NULL, 256, frequency);
    cr_assert_float_eq(frequency[1], 0.198583528, 1e-7);
    cr_assert_float_eq(frequency[2], 0.0255952496, 1e-7);
#undef YARN
}

/* What a GGUF of a Llama says, of scaling above all; NULL or 0: without the key. */
struct gguf_scaling {
    float old, new; /* its factor's two names */
    const char *type;
    float attn_factor;
    bool no_epsilon;      /* of norms */
    uint32_t token_width; /* of embeddings */
};

static enum qn_status read_gguf(const struct gguf_scaling *scaling, struct qn_hparams *h,
                                struct qn_error *err) {
    struct gguf_writer writer;
    gguf_writer_init(&writer);
    gguf_key_string(&writer, "general.architecture", "llama");
    gguf_key_u32(&writer, "llama.block_count", 2);
    gguf_key_u32(&writer, "llama.embedding_length", 64);
    gguf_key_u32(&writer, "llama.feed_forward_length", 96);
    gguf_key_u32(&writer, "llama.context_length", 256);
    gguf_key_u32(&writer, "llama.attention.head_count", 4);
    if (!scaling->no_epsilon)
        gguf_key_float(&writer, "llama.attention.layer_norm_rms_epsilon", 2e-6f);
    if (scaling->token_width)
        gguf_key_u32(&writer, "llama.token_embedding_length", scaling->token_width);
    const struct {
        const char *key;
        float value;
    } floats[] = {{"llama.rope.scale_linear", scaling->old},
                  {"llama.rope.scaling.factor", scaling->new},
                  {"llama.rope.scaling.attn_factor", scaling->attn_factor}};
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
        if (floats[i].value > 0) gguf_key_float(&writer, floats[i].key, floats[i].value);
    if (scaling->type) gguf_key_string(&writer, "llama.rope.scaling.type", scaling->type);
    struct bytes file = gguf_writer_finish(&writer);
    struct qn_gguf *gguf;
    cr_assert_eq(qn_gguf_open_memory(file.data, file.size, "memory", &gguf, err), QN_OK, "%s",
                 err->message);
    const enum qn_status status = qn_hparams_from_gguf(gguf, qn_family_find("llama", 5), h, err);
    qn_gguf_close(gguf);
    bytes_free(&file);
    return status;
}

static struct qn_hparams of_gguf(struct gguf_scaling scaling) {
    struct qn_hparams h;
    struct qn_error err = {0};
    cr_assert_eq(read_gguf(&scaling, &h, &err), QN_OK, "%s", err.message);
    return h;
}

Test(gguf, linear_scaling_under_both_names) {
    cr_assert_eq(of_gguf((struct gguf_scaling){0}).rope[0].scaling, QN_ROPE_SCALING_NONE);
    const struct qn_hparams old = of_gguf((struct gguf_scaling){.old = 8});
    const struct qn_hparams both = of_gguf((struct gguf_scaling){.old = 8, .new = 4});
    cr_assert(old.rope[0].scaling == QN_ROPE_SCALING_LINEAR && old.rope[0].factor == 8);
    cr_assert(both.rope[0].scaling == QN_ROPE_SCALING_LINEAR && both.rope[0].factor == 4);
}

/* GGUF files must say it, whatever the family's default. */
Test(gguf, norms_have_the_epsilon_of_the_file) {
    cr_expect_eq(of_gguf((struct gguf_scaling){0}).norm_eps, 2e-6f);
    struct qn_hparams h;
    struct qn_error err = {0};
    cr_expect_eq(read_gguf(&(struct gguf_scaling){.no_epsilon = true}, &h, &err), QN_NOT_FOUND);
    cr_expect(strstr(err.message, "layer_norm_rms_epsilon") != NULL, "%s", err.message);
}

Test(gguf, token_embeddings_have_the_width_of_the_model) {
    cr_expect_eq(of_gguf((struct gguf_scaling){.token_width = 64}).n_token_embd, 64);
    struct qn_hparams h;
    struct qn_error err = {0};
    cr_expect_eq(read_gguf(&(struct gguf_scaling){.token_width = 96}, &h, &err), QN_UNSUPPORTED);
    cr_expect(strstr(err.message, "width 96 in a model of width 64") != NULL, "%s", err.message);
}

static bool adds_bos(const char *pre, bool has_bos) {
    static const char *const tokens[] = {"a", "<s>"};
    struct gguf_writer writer;
    gguf_writer_init(&writer);
    gguf_key_string(&writer, "tokenizer.ggml.model", "gpt2");
    gguf_key_string(&writer, "tokenizer.ggml.pre", pre);
    gguf_key_strings(&writer, "tokenizer.ggml.tokens", tokens, 2);
    gguf_key_strings(&writer, "tokenizer.ggml.merges", NULL, 0);
    if (has_bos) gguf_key_u32(&writer, "tokenizer.ggml.bos_token_id", 1);
    struct bytes file = gguf_writer_finish(&writer);
    struct qn_gguf *gguf;
    struct qn_tokenizer *tokenizer;
    struct qn_error err = {0};
    cr_assert_eq(qn_gguf_open_memory(file.data, file.size, "memory", &gguf, &err), QN_OK, "%s",
                 err.message);
    cr_assert_eq(qn_vocab_gguf_read(gguf, &tokenizer, &err), QN_OK, "%s", err.message);
    const bool adds = qn_tokenizer_vocab(tokenizer)->add_bos;
    qn_tokenizer_free(tokenizer);
    qn_gguf_close(gguf);
    bytes_free(&file);
    return adds;
}

/* As llama.cpp does for files that do not say whether. */
Test(gguf, texts_start_with_bos_by_the_pre_tokenizer) {
    static const char *const with[] = {"llama-bpe", "llama3",  "llama-v3",
                                       "falcon3",   "pixtral", "tekken"};
    static const char *const without[] = {"default", "gpt-2", "qwen2", "dbrx", "deepseek-v3"};
    for (size_t i = 0; i < sizeof with / sizeof *with; i++) {
        cr_expect(adds_bos(with[i], true), "%s", with[i]);
        cr_expect_not(adds_bos(with[i], false), "%s", with[i]);
    }
    for (size_t i = 0; i < sizeof without / sizeof *without; i++)
        cr_expect_not(adds_bos(without[i], true), "%s", without[i]);
}

/* Of LongRoPE a GGUF file has the divisors as tensors, so frequencies stay as they are. */
Test(gguf, longrope_comes_as_tensors) {
    const struct qn_hparams h =
        of_gguf((struct gguf_scaling){.new = 32, .type = "longrope", .attn_factor = 1.19f});
    double frequency[8];
    cr_expect_float_eq(qn_hparams_rope(&h, 0, NULL, 512, frequency), 1.19f, 1e-6);
    cr_expect_float_eq(frequency[4], 0.01, 1e-9);
    static const float factors[8] = {1, 1, 1, 1, 4, 1, 1, 1};
    qn_hparams_rope(&h, 0, factors, 512, frequency);
    cr_expect_float_eq(frequency[4], 0.0025, 1e-9);
    struct qn_hparams other;
    struct qn_error err = {0};
    cr_expect_eq(read_gguf(&(struct gguf_scaling){.type = "ntk"}, &other, &err), QN_UNSUPPORTED);
    cr_expect(strstr(err.message, "'ntk'; expected none, linear, yarn or longrope") != NULL, "%s",
              err.message);
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
        {"llama", BASE ", 'word_embed_proj_dim': 32", "width 32", "width 64"},
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

/* ---- weights -------------------------------------------------------------------------------- */

enum { HEAD = 16, Q8_0 = 8, Q8_0_BLOCK = 32, Q8_0_SIZE = 34 };

/* A vector whose block b of 32 is all b + 1. */
static void put_q8_0(struct gguf_writer *writer, const char *name, uint64_t n) {
    uint8_t blocks[8 * Q8_0_SIZE];
    const size_t n_blocks = (size_t)n / Q8_0_BLOCK;
    cr_assert_leq(n_blocks, 8);
    for (size_t b = 0; b < n_blocks; b++) {
        uint8_t *const block = blocks + b * Q8_0_SIZE;
        memcpy(block, "\x00\x3C", 2); /* the scale, one */
        memset(block + 2, (int)b + 1, Q8_0_BLOCK);
    }
    gguf_tensor(writer, name, 1, &n, Q8_0, blocks, n_blocks * Q8_0_SIZE);
}

static void put_floats(struct gguf_writer *writer, const char *name, uint64_t k, uint64_t n) {
    const uint64_t shape[2] = {k, n};
    gguf_tensor(writer, name, n > 1 ? 2 : 1, shape, 0, NULL, (size_t)(k * n) * sizeof(float));
}

/* A GPT-2 of one layer, zeros but for the bias of Q, K and V, which is of Q8_0. */
static struct bytes biased_gpt2(uint32_t n_heads, uint32_t n_kv_heads) {
    static const char *const tokens[] = {"a", "b"};
    const uint64_t width = n_heads * HEAD, fused = width + 2 * n_kv_heads * HEAD;
    struct gguf_writer writer;
    gguf_writer_init(&writer);
    gguf_key_string(&writer, "general.architecture", "gpt2");
    gguf_key_u32(&writer, "gpt2.block_count", 1);
    gguf_key_u32(&writer, "gpt2.embedding_length", (uint32_t)width);
    gguf_key_u32(&writer, "gpt2.feed_forward_length", 32);
    gguf_key_u32(&writer, "gpt2.context_length", 8);
    gguf_key_u32(&writer, "gpt2.attention.head_count", n_heads);
    gguf_key_u32(&writer, "gpt2.attention.head_count_kv", n_kv_heads);
    gguf_key_float(&writer, "gpt2.attention.layer_norm_epsilon", 1e-5f);
    gguf_key_string(&writer, "tokenizer.ggml.model", "gpt2");
    gguf_key_strings(&writer, "tokenizer.ggml.tokens", tokens, 2);
    gguf_key_strings(&writer, "tokenizer.ggml.merges", NULL, 0);
    put_floats(&writer, "token_embd.weight", width, 2);
    put_floats(&writer, "position_embd.weight", width, 8);
    put_floats(&writer, "blk.0.attn_qkv.weight", width, fused);
    put_q8_0(&writer, "blk.0.attn_qkv.bias", fused);
    put_floats(&writer, "blk.0.attn_output.weight", width, width);
    put_floats(&writer, "blk.0.ffn_up.weight", width, 32);
    put_floats(&writer, "blk.0.ffn_up.bias", 32, 1);
    put_floats(&writer, "blk.0.ffn_down.weight", 32, width);
    static const char *const vectors[] = {"output_norm.weight",     "output_norm.bias",
                                          "blk.0.attn_norm.weight", "blk.0.attn_norm.bias",
                                          "blk.0.ffn_norm.weight",  "blk.0.ffn_norm.bias",
                                          "blk.0.ffn_down.bias",    "blk.0.attn_output.bias"};
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++)
        put_floats(&writer, vectors[i], width, 1);
    return gguf_writer_finish(&writer);
}

static enum qn_status open_biased(uint32_t n_heads, uint32_t n_kv_heads, struct qn_model **model,
                                  struct qn_error *err) {
    const struct qn_model_options options = {.n_threads = 1, .bundles = qn_cpu_default_bundles()};
    const struct temp_folder folder = temp_folder_make();
    struct bytes file = biased_gpt2(n_heads, n_kv_heads);
    temp_folder_put(&folder, "biased.gguf", file.data, file.size);
    bytes_free(&file);
    const enum qn_status status =
        qn_model_open(temp_folder_path(&folder, "biased.gguf"), &options, model, err);
    temp_folder_remove(&folder);
    return status;
}

Test(gguf, fused_biases_of_blocks_are_taken_apart) {
    static const enum qn_role roles[] = {QN_ROLE_ATTN_Q_BIAS, QN_ROLE_ATTN_K_BIAS,
                                         QN_ROLE_ATTN_V_BIAS};
    struct qn_model *model = NULL;
    struct qn_error err = {0};
    cr_assert_eq(open_biased(4, 4, &model, &err), QN_OK, "%s", err.message);
    for (int part = 0; part < 3; part++) {
        const float *const bias = qn_model_weight(model, roles[part], 0);
        for (int i = 0; i < 4 * HEAD; i++)
            cr_assert_eq(bias[i], (float)(2 * part + i / Q8_0_BLOCK + 1), "part %d [%d]", part, i);
    }
    qn_model_close(model);
}

/* V starts 48 elements behind Q, in the middle of a block. */
Test(gguf, fused_biases_that_share_a_block_are_refused) {
    struct qn_model *model = NULL;
    struct qn_error err = {0};
    cr_expect_eq(open_biased(2, 1, &model, &err), QN_UNSUPPORTED);
    cr_expect(strstr(err.message, "blk.0.attn_qkv.bias") && strstr(err.message, "blocks of 32"),
              "%s", err.message);
    qn_model_close(model);
}
