/* SPDX-License-Identifier: Apache-2.0
 *
 * Hyperparameters from config.json, by tables of its members. Families name the same thing
 * differently, but never two things alike, so one table serves all; of several names the first that
 * is present counts. An absent member leaves the family's default.
 */
#include <math.h>
#include <string.h>

#include "formats/json_file.h"
#include "models/hparams_read.h"

static const char file[] = "config.json";

enum { MAX_NAMES = 4 };
#define FIELD(name) offsetof(struct qn_hparams, name)

static const struct int_rule {
    const char *names[MAX_NAMES];
    size_t offset;
    int min, max;
    bool needed;
} int_rules[] = {
    {{"num_hidden_layers", "n_layer"}, FIELD(n_layers), 1, QN_MAX_LAYERS, true},
    {{"hidden_size", "n_embd"}, FIELD(n_embd), 2, 1 << 17, true},
    {{"num_attention_heads", "n_head"}, FIELD(n_heads), 1, 4096, true},
    {{"max_position_embeddings", "n_positions"}, FIELD(n_ctx_train), 1, 1 << 27, true},
    {{"num_key_value_heads"}, FIELD(n_kv_heads), 1, 4096, false},
    {{"head_dim"}, FIELD(head_size), 2, QN_HEAD_SIZE_MAX, false},
    {{"intermediate_size", "ffn_dim", "n_inner"}, FIELD(n_ff), 1, 1 << 20, false},
    {{"word_embed_proj_dim"}, FIELD(n_token_embd), 2, 1 << 17, false},
    {{"sliding_window"}, FIELD(window), 1, 1 << 27, false},
    {{"sliding_window_pattern", "_sliding_window_pattern"}, FIELD(window_pattern), 1, 1024, false},
    {{"no_rope_layer_interval"}, FIELD(nope_interval), 1, 1024, false},
    {{"num_local_experts", "num_experts"}, FIELD(n_experts), 0, 4096, false},
    {{"num_experts_per_tok"}, FIELD(n_experts_used), 1, 4096, false},
    {{"moe_intermediate_size"}, FIELD(n_expert_ff), 1, 1 << 20, false},
    {{"decoder_sparse_step"}, FIELD(expert_step), 1, 1024, false},
};

static const struct float_rule {
    const char *names[MAX_NAMES];
    size_t offset;
    double min, max;
} float_rules[] = {
    {{"rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps", "norm_epsilon"},
     FIELD(norm_eps),
     0,
     0.99},
    {{"partial_rotary_factor", "rotary_pct"}, FIELD(rotary_part), 1e-3, 1},
    {{"rope_theta", "rotary_emb_base"}, FIELD(rope[QN_ROPE_GLOBAL].base), 1, 1e12},
    {{"rope_local_base_freq"}, FIELD(rope[QN_ROPE_LOCAL].base), 1, 1e12},
    {{"attn_logit_softcapping"}, FIELD(attn_softcap), 0, 1e6},
    {{"final_logit_softcapping"}, FIELD(final_softcap), 0, 1e6},
};

static const struct bool_rule {
    const char *name;
    size_t offset;
} bool_rules[] = {
    {"tie_word_embeddings", FIELD(tied)},
    {"use_parallel_residual", FIELD(parallel)},
    {"norm_topk_prob", FIELD(renormalize_experts)},
};
#undef FIELD

static const struct feature_rule {
    const char *name;
    unsigned features;
} feature_rules[] = {
    {"attention_bias", QN_WITH_ATTN_BIAS},
    {"mlp_bias", QN_WITH_MLP_BIAS},
    {"enable_bias", QN_WITH_ATTN_BIAS | QN_WITH_MLP_BIAS},
    {"use_bias", QN_WITH_ATTN_BIAS | QN_WITH_MLP_BIAS},
};

/* Switches that would change the arithmetic in a way that this build does not know. */
static const struct {
    const char *name;
    bool allowed;
} fixed_rules[] = {
    {"scale_attn_weights", true},           {"scale_attn_by_inverse_layer_idx", false},
    {"add_cross_attention", false},         {"layer_norm_elementwise_affine", true},
    {"use_bidirectional_attention", false},
};

static const struct {
    const char *name;
    enum qn_activation activation;
} activations[] = {
    {"silu", QN_ACTIVATION_SILU},           {"swish", QN_ACTIVATION_SILU},
    {"gelu", QN_ACTIVATION_GELU},           {"gelu_new", QN_ACTIVATION_GELU_TANH},
    {"gelu_fast", QN_ACTIVATION_GELU_TANH}, {"gelu_pytorch_tanh", QN_ACTIVATION_GELU_TANH},
    {"relu", QN_ACTIVATION_RELU},
};

/* The first of the names that is present, or the first. */
static const char *choose(const json_t *config, const char *const *names) {
    for (int i = 0; i < MAX_NAMES && names[i]; i++) {
        const json_t *const value = json_object_get(config, names[i]);
        if (value && !json_is_null(value)) return names[i];
    }
    return names[0];
}

static enum qn_status read_numbers(const json_t *config, const struct qn_model_type *type,
                                   struct qn_hparams *h, struct qn_error *err) {
    char *const base = (char *)h;
    for (size_t i = 0; i < sizeof int_rules / sizeof *int_rules; i++) {
        const struct int_rule *const rule = &int_rules[i];
        if (type->ignores_window && rule->offset == offsetof(struct qn_hparams, window)) continue;
        int *const field = (int *)(void *)(base + rule->offset);
        const char *const name = choose(config, rule->names);
        QN_TRY(qn_json_get_int(config, file, name, rule->min, rule->max, field, err));
        if (rule->needed && *field == 0)
            return qn_fail(err, QN_BAD_FILE, "%s: %s is missing", file, name);
    }
    for (size_t i = 0; i < sizeof float_rules / sizeof *float_rules; i++) {
        const struct float_rule *const rule = &float_rules[i];
        float *const field = (float *)(void *)(base + rule->offset);
        QN_TRY(qn_json_get_float(config, file, choose(config, rule->names), rule->min, rule->max,
                                 field, err));
    }
    /* Where a family has a cap, null is none. */
    if (json_is_null(json_object_get(config, "attn_logit_softcapping"))) h->attn_softcap = 0;
    if (json_is_null(json_object_get(config, "final_logit_softcapping"))) h->final_softcap = 0;
    for (size_t i = 0; i < sizeof bool_rules / sizeof *bool_rules; i++)
        QN_TRY(qn_json_get_bool(config, file, bool_rules[i].name,
                                (bool *)(void *)(base + bool_rules[i].offset), err));
    return QN_OK;
}

static enum qn_status read_features(const json_t *config, struct qn_hparams *h,
                                    struct qn_error *err) {
    for (size_t i = 0; i < sizeof feature_rules / sizeof *feature_rules; i++) {
        const unsigned bits = feature_rules[i].features;
        bool on = (h->features & bits) == bits;
        if (!json_object_get(config, feature_rules[i].name)) continue;
        QN_TRY(qn_json_get_bool(config, file, feature_rules[i].name, &on, err));
        h->features = on ? h->features | bits : h->features & ~bits;
    }
    for (size_t i = 0; i < sizeof fixed_rules / sizeof *fixed_rules; i++) {
        bool value = fixed_rules[i].allowed;
        QN_TRY(qn_json_get_bool(config, file, fixed_rules[i].name, &value, err));
        if (value != fixed_rules[i].allowed)
            return qn_fail(err, QN_UNSUPPORTED, "%s: %s is %s; this build runs models with %s",
                           file, fixed_rules[i].name, value ? "true" : "false",
                           value ? "false" : "true");
    }
    const json_t *const quantized = json_object_get(config, "quantization_config");
    if (quantized && !json_is_null(quantized))
        return qn_fail(err, QN_UNSUPPORTED,
                       "%s: quantization_config is set; this build reads float weights and "
                       "quantizes them itself",
                       file);
    return QN_OK;
}

static enum qn_status read_activation(const json_t *config, struct qn_hparams *h,
                                      struct qn_error *err) {
    static const char *const names[MAX_NAMES] = {"hidden_activation", "hidden_act",
                                                 "activation_function"};
    const char *const key = choose(config, names), *name = NULL;
    QN_TRY(qn_json_get_string(config, file, key, &name, err));
    if (!name) return QN_OK;
    for (size_t i = 0; i < sizeof activations / sizeof *activations; i++) {
        if (strcmp(activations[i].name, name) != 0) continue;
        h->activation = activations[i].activation;
        return QN_OK;
    }
    return qn_fail(err, QN_UNSUPPORTED,
                   "%s: %s is '%.40s'; expected silu, gelu, gelu_new, gelu_pytorch_tanh or relu",
                   file, key, name);
}

/* OPT says where its norms are; the 350m one has them behind the sum, and none at the end. */
static enum qn_status read_norm_place(const json_t *config, struct qn_hparams *h,
                                      struct qn_error *err) {
    bool before = !h->post_norm, removed = false;
    QN_TRY(qn_json_get_bool(config, file, "do_layer_norm_before", &before, err));
    QN_TRY(qn_json_get_bool(config, file, "_remove_final_layer_norm", &removed, err));
    h->post_norm = !before;
    if (h->post_norm || removed) h->features &= ~(unsigned)QN_WITH_FINAL_NORM;
    return QN_OK;
}

static enum qn_status read_attn_scale(const json_t *config, const struct qn_family *family,
                                      struct qn_hparams *h, struct qn_error *err) {
    float scalar = family->config_attn_scalar;
    QN_TRY(qn_json_get_float(config, file, "query_pre_attn_scalar", 1e-3, 1e6, &scalar, err));
    if (scalar > 0) h->attn_scale = 1.0f / sqrtf(scalar);
    return QN_OK;
}

/* ---- rotation --------------------------------------------------------------------------- */

static enum qn_status read_factors(const json_t *scaling, const char *key, int n, float *factors,
                                   struct qn_error *err) {
    const json_t *const list = json_object_get(scaling, key);
    if (!json_is_array(list) || json_array_size(list) != (size_t)n)
        return qn_fail(err, QN_BAD_FILE, "%s: %s has %zu numbers; expected %d, one a rotated pair",
                       file, key, json_array_size(list), n);
    for (int i = 0; i < n; i++) {
        const json_t *const value = json_array_get(list, (size_t)i);
        factors[i] = (float)json_number_value(value);
        if (!json_is_number(value) || !(factors[i] > 0 && factors[i] < 1e6f))
            return qn_fail(err, QN_BAD_FILE,
                           "%s: number %d of %s is out of range; expected 0 to 1e6", file, i, key);
    }
    return QN_OK;
}

static enum qn_status read_scaling_kind(const json_t *scaling, struct qn_rope_params *rope,
                                        struct qn_error *err) {
    static const struct {
        const char *name;
        enum qn_rope_scaling scaling;
    } kinds[] = {{"default", QN_ROPE_SCALING_NONE},      {"linear", QN_ROPE_SCALING_LINEAR},
                 {"yarn", QN_ROPE_SCALING_YARN},         {"llama3", QN_ROPE_SCALING_LLAMA3},
                 {"longrope", QN_ROPE_SCALING_LONGROPE}, {"su", QN_ROPE_SCALING_LONGROPE}};
    const char *name = "default";
    QN_TRY(qn_json_get_string(scaling, file, "type", &name, err));
    QN_TRY(qn_json_get_string(scaling, file, "rope_type", &name, err));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) != 0) continue;
        rope->scaling = kinds[i].scaling;
        return QN_OK;
    }
    return qn_fail(err, QN_UNSUPPORTED,
                   "%s: rope_type is '%.40s'; expected default, linear, yarn, llama3 or longrope",
                   file, name);
}

/* The members of rope_scaling, or of rope_parameters. */
static enum qn_status read_rope(const json_t *scaling, struct qn_rope_params *rope,
                                struct qn_hparams *h, struct qn_error *err) {
    const struct {
        const char *name;
        float *field;
        double min, max;
    } rules[] = {{"rope_theta", &rope->base, 1, 1e12},
                 {"factor", &rope->factor, 1e-3, 1e6},
                 {"attention_factor", &rope->attn_factor, 1e-3, 1e3},
                 {"beta_fast", &rope->beta_fast, 1e-6, 1e6},
                 {"beta_slow", &rope->beta_slow, 1e-6, 1e6},
                 {"mscale", &rope->mscale, 0, 1e3},
                 {"mscale_all_dim", &rope->mscale_all, 0, 1e3},
                 {"low_freq_factor", &rope->low_freq_factor, 1e-6, 1e6},
                 {"high_freq_factor", &rope->high_freq_factor, 1e-6, 1e6},
                 {"partial_rotary_factor", &h->rotary_part, 1e-3, 1}};
    bool whole_pairs = !rope->between_pairs;
    QN_TRY(read_scaling_kind(scaling, rope, err));
    QN_TRY(qn_json_get_bool(scaling, file, "truncate", &whole_pairs, err));
    rope->between_pairs = !whole_pairs;
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        QN_TRY(qn_json_get_float(scaling, file, rules[i].name, rules[i].min, rules[i].max,
                                 rules[i].field, err));
    QN_TRY(qn_json_get_int(scaling, file, "original_max_position_embeddings", 1, 1 << 27,
                           &rope->ctx_orig, err));
    if (rope->scaling == QN_ROPE_SCALING_LLAMA3 &&
        !(rope->high_freq_factor > rope->low_freq_factor))
        return qn_fail(
            err, QN_BAD_FILE,
            "%s: high_freq_factor is %g and low_freq_factor %g; expected the first to be "
            "larger",
            file, (double)rope->high_freq_factor, (double)rope->low_freq_factor);
    return QN_OK;
}

/* LongRoPE's lists are as long as the rotation, which is known only after the other members. */
static enum qn_status read_longrope(const json_t *config, const json_t *scaling,
                                    struct qn_hparams *h, struct qn_error *err) {
    struct qn_rope_params *const rope = &h->rope[QN_ROPE_GLOBAL];
    if (rope->scaling != QN_ROPE_SCALING_LONGROPE) return QN_OK;
    QN_TRY(qn_json_get_int(config, file, "original_max_position_embeddings", 1, 1 << 27,
                           &rope->ctx_orig, err));
    if (!json_object_get(scaling, "factor"))
        rope->factor = (float)h->n_ctx_train / (float)rope->ctx_orig;
    QN_TRY(read_factors(scaling, "long_factor", h->n_rot / 2, rope->long_factors, err));
    return read_factors(scaling, "short_factor", h->n_rot / 2, rope->short_factors, err);
}

/* rope_parameters of today, one object or one for each kind of layer; or rope_scaling of before. */
static enum qn_status read_rotation(const json_t *config, struct qn_hparams *h,
                                    const json_t **scaling, struct qn_error *err) {
    const json_t *const today = json_object_get(config, "rope_parameters");
    const json_t *const full = json_object_get(today, "full_attention");
    const json_t *const local = json_object_get(today, "sliding_attention");
    *scaling = full ? full : today;
    if (!json_is_object(*scaling)) *scaling = json_object_get(config, "rope_scaling");
    if (json_is_object(*scaling)) QN_TRY(read_rope(*scaling, &h->rope[QN_ROPE_GLOBAL], h, err));
    if (json_is_object(local)) QN_TRY(read_rope(local, &h->rope[QN_ROPE_LOCAL], h, err));
    return QN_OK;
}

/* ---- layers ----------------------------------------------------------------------------- */

static void set_kind(struct qn_hparams *h, int layer, enum qn_layer_kind kind, bool on) {
    const unsigned kinds = h->layers[layer];
    h->layers[layer] = (uint8_t)(on ? kinds | kind : kinds & ~(unsigned)kind);
}

/* A list with an entry for each layer, or NULL. */
static enum qn_status find_list(const json_t *config, const char *key, const struct qn_hparams *h,
                                const json_t **list, struct qn_error *err) {
    *list = json_object_get(config, key);
    if (!*list || json_is_null(*list)) {
        *list = NULL;
        return QN_OK;
    }
    if (json_is_array(*list) && json_array_size(*list) == (size_t)h->n_layers) return QN_OK;
    return qn_fail(err, QN_BAD_FILE, "%s: %s has %zu entries; expected one for each of %d layers",
                   file, key, json_array_size(*list), h->n_layers);
}

static enum qn_status read_layer_types(const json_t *config, struct qn_hparams *h,
                                       struct qn_error *err) {
    const json_t *types, *rotated;
    QN_TRY(find_list(config, "layer_types", h, &types, err));
    QN_TRY(find_list(config, "no_rope_layers", h, &rotated, err));
    for (int i = 0; i < h->n_layers; i++) {
        const char *const type = json_string_value(json_array_get(types, (size_t)i));
        if (types &&
            !(type && (!strcmp(type, "full_attention") || !strcmp(type, "sliding_attention"))))
            return qn_fail(err, QN_UNSUPPORTED,
                           "%s: layer_types has '%.40s' for layer %d; expected full_attention or "
                           "sliding_attention",
                           file, type ? type : "", i);
        if (types) set_kind(h, i, QN_LAYER_WINDOW, h->window && !strcmp(type, "sliding_attention"));
        if (rotated) /* 1 where the layer has rotation, despite the name */
            set_kind(h, i, QN_LAYER_NO_ROPE,
                     !json_integer_value(json_array_get(rotated, (size_t)i)));
    }
    return QN_OK;
}

/* Qwen: a window is set but counts only when asked for, and only from some layer on. */
static enum qn_status read_window(const json_t *config, const struct qn_family *family,
                                  struct qn_hparams *h, struct qn_error *err) {
    bool used = !family->window_on_request;
    int first = family->window_first_layer;
    QN_TRY(qn_json_get_bool(config, file, "use_sliding_window", &used, err));
    if (!used) h->window = 0;
    if (json_is_null(json_object_get(config, "sliding_window"))) h->window = 0;
    qn_hparams_set_layers(h);
    if (json_object_get(config, "use_sliding_window"))
        QN_TRY(qn_json_get_int(config, file, "max_window_layers", 0, QN_MAX_LAYERS, &first, err));
    for (int i = 0; i < first && i < h->n_layers; i++) set_kind(h, i, QN_LAYER_WINDOW, false);
    return QN_OK;
}

static enum qn_status read_dense_layers(const json_t *config, struct qn_hparams *h,
                                        struct qn_error *err) {
    const json_t *const dense = json_object_get(config, "mlp_only_layers");
    for (size_t i = 0; i < json_array_size(dense); i++) {
        const json_int_t layer = json_integer_value(json_array_get(dense, i));
        if (layer < 0 || layer >= h->n_layers)
            return qn_fail(err, QN_BAD_FILE,
                           "%s: mlp_only_layers names layer %lld; expected 0 to %d", file,
                           (long long)layer, h->n_layers - 1);
        set_kind(h, (int)layer, QN_LAYER_EXPERTS, false);
    }
    return QN_OK;
}

/* What does not fit together; of files of other kinds it is said by itself. */
static enum qn_status check(const struct qn_family *family, struct qn_hparams *h,
                            struct qn_error *err) {
    struct qn_error inner = {0};
    const enum qn_status status = qn_hparams_check(family, h, &inner);
    return status == QN_OK ? QN_OK : qn_fail(err, status, "%s: %s", file, inner.message);
}

enum qn_status qn_hparams_from_config(const json_t *config, const struct qn_family *family,
                                      const struct qn_model_type *type, struct qn_hparams *hparams,
                                      struct qn_error *err) {
    const json_t *scaling;
    qn_hparams_start(family, hparams);
    if (type->norm_eps > 0) hparams->norm_eps = type->norm_eps;
    QN_TRY(read_numbers(config, type, hparams, err));
    QN_TRY(read_features(config, hparams, err));
    QN_TRY(read_activation(config, hparams, err));
    QN_TRY(read_norm_place(config, hparams, err));
    QN_TRY(read_attn_scale(config, family, hparams, err));
    QN_TRY(read_rotation(config, hparams, &scaling, err));
    QN_TRY(check(family, hparams, err));
    QN_TRY(read_longrope(config, scaling, hparams, err));
    QN_TRY(read_window(config, family, hparams, err));
    QN_TRY(read_layer_types(config, hparams, err));
    return read_dense_layers(config, hparams, err);
}
