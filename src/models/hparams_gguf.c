/* SPDX-License-Identifier: Apache-2.0
 *
 * Hyperparameters from the metadata of a GGUF file, by tables of keys. An absent key leaves the
 * family's default.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/hparams_read.h"

enum { KEY_SIZE = 128 };

#define FIELD(name) offsetof(struct qn_hparams, name)

/* The key behind "<family>.", where it goes, what is allowed, and whether the file must say it. */
static const struct int_rule {
    const char *key;
    size_t offset;
    int min, max;
    bool needed;
} int_rules[] = {
    {"block_count", FIELD(n_layers), 1, QN_MAX_LAYERS, true},
    {"embedding_length", FIELD(n_embd), 2, 1 << 17, true},
    {"feed_forward_length", FIELD(n_ff), 1, 1 << 20, false},
    {"context_length", FIELD(n_ctx_train), 1, 1 << 27, true},
    {"attention.head_count", FIELD(n_heads), 1, 4096, true},
    {"attention.head_count_kv", FIELD(n_kv_heads), 1, 4096, false},
    {"attention.key_length", FIELD(head_size), 2, QN_HEAD_SIZE_MAX, false},
    {"attention.sliding_window", FIELD(window), 0, 1 << 27, false},
    {"rope.dimension_count", FIELD(n_rot), 2, QN_HEAD_SIZE_MAX, false},
    {"rope.scaling.original_context_length", FIELD(rope[QN_ROPE_GLOBAL].ctx_orig), 1, 1 << 27,
     false},
    {"expert_count", FIELD(n_experts), 0, 4096, false},
    {"expert_used_count", FIELD(n_experts_used), 0, 4096, false},
    {"expert_feed_forward_length", FIELD(n_expert_ff), 1, 1 << 20, false},
    {"token_embedding_length", FIELD(n_token_embd), 2, 1 << 17, false},
    {"position_offset", FIELD(position_offset), 0, 1 << 10, false},
};

static const struct float_rule {
    const char *key;
    size_t offset;
    float min, max;
} float_rules[] = {
    {"rope.freq_base", FIELD(rope[QN_ROPE_GLOBAL].base), 1.0f, 1e12f},
    {"rope.freq_base_swa", FIELD(rope[QN_ROPE_LOCAL].base), 1.0f, 1e12f},
    /* The second name is today's, and counts where a file has both. */
    {"rope.scale_linear", FIELD(rope[QN_ROPE_GLOBAL].factor), 1e-3f, 1e6f},
    {"rope.scaling.factor", FIELD(rope[QN_ROPE_GLOBAL].factor), 1e-3f, 1e6f},
    {"rope.scaling.attn_factor", FIELD(rope[QN_ROPE_GLOBAL].attn_factor), 1e-3f, 1e3f},
    {"rope.scaling.yarn_beta_fast", FIELD(rope[QN_ROPE_GLOBAL].beta_fast), 1e-6f, 1e6f},
    {"rope.scaling.yarn_beta_slow", FIELD(rope[QN_ROPE_GLOBAL].beta_slow), 1e-6f, 1e6f},
    {"attention.scale", FIELD(attn_scale), 1e-6f, 1e3f},
    {"attn_logit_softcapping", FIELD(attn_softcap), 0, 1e6f},
    {"final_logit_softcapping", FIELD(final_softcap), 0, 1e6f},
};

static enum qn_status read_int(const struct qn_gguf *gguf, const char *family,
                               const struct int_rule *rule, struct qn_hparams *hparams,
                               struct qn_error *err) {
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.%s", family, rule->key);
    int *const field = (int *)(void *)((char *)hparams + rule->offset);
    if (!qn_gguf_find(gguf, key)) {
        if (!rule->needed) return QN_OK;
        return qn_fail(err, QN_BAD_FILE, "metadata key %s is missing", key);
    }
    uint64_t value = 0;
    QN_TRY(qn_gguf_get_u64(gguf, key, &value, err));
    if (value < (uint64_t)rule->min || value > (uint64_t)rule->max)
        return qn_fail(err, QN_BAD_FILE, "metadata key %s is %llu; expected %d to %d", key,
                       (unsigned long long)value, rule->min, rule->max);
    *field = (int)value;
    return QN_OK;
}

static enum qn_status read_float(const struct qn_gguf *gguf, const char *family,
                                 const struct float_rule *rule, struct qn_hparams *hparams,
                                 struct qn_error *err) {
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.%s", family, rule->key);
    if (!qn_gguf_find(gguf, key)) return QN_OK;
    float value = 0;
    QN_TRY(qn_gguf_get_float(gguf, key, &value, err));
    if (!(value >= rule->min && value <= rule->max))
        return qn_fail(err, QN_BAD_FILE, "metadata key %s is %g; expected %g to %g", key,
                       (double)value, (double)rule->min, (double)rule->max);
    *(float *)(void *)((char *)hparams + rule->offset) = value;
    return QN_OK;
}

static enum qn_status read_bool(const struct qn_gguf *gguf, const char *family, const char *name,
                                bool *value, struct qn_error *err) {
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.%s", family, name);
    return qn_gguf_find(gguf, key) ? qn_gguf_get_bool(gguf, key, value, err) : QN_OK;
}

static enum qn_status read_norm_eps(const struct qn_gguf *gguf, const struct qn_family *family,
                                    struct qn_hparams *hparams, struct qn_error *err) {
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.attention.layer_norm%s_epsilon", family->name,
             hparams->norm == QN_NORM_RMS ? "_rms" : "");
    QN_TRY(qn_gguf_get_float(gguf, key, &hparams->norm_eps, err));
    if (!(hparams->norm_eps >= 0 && hparams->norm_eps < 1))
        return qn_fail(err, QN_BAD_FILE, "metadata key %s is %g; expected 0 to 1", key,
                       (double)hparams->norm_eps);
    return QN_OK;
}

static enum qn_status read_scaling(const struct qn_gguf *gguf, const char *family,
                                   struct qn_rope_params *rope, struct qn_error *err) {
    static const struct {
        const char *name;
        enum qn_rope_scaling scaling;
    } kinds[] = {{"none", QN_ROPE_SCALING_NONE},
                 {"linear", QN_ROPE_SCALING_LINEAR},
                 {"yarn", QN_ROPE_SCALING_YARN},
                 /* Its divisors come as tensors, its factor of cos and sin as attn_factor. */
                 {"longrope", QN_ROPE_SCALING_NONE}};
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.rope.scaling.type", family);
    if (!qn_gguf_find(gguf, key)) {
        rope->scaling = rope->factor != 1 ? QN_ROPE_SCALING_LINEAR : QN_ROPE_SCALING_NONE;
        return QN_OK;
    }
    struct qn_string name;
    QN_TRY(qn_gguf_get_string(gguf, key, &name, err));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) != name.size || memcmp(kinds[i].name, name.data, name.size) != 0)
            continue;
        rope->scaling = kinds[i].scaling;
        return QN_OK;
    }
    return qn_fail(err, QN_UNSUPPORTED,
                   "metadata key %s is '%.*s'; expected none, linear, yarn or longrope", key,
                   (int)(name.size < 64 ? name.size : 64), name.data);
}

/* The key's factor comes on top of YaRN's own. */
static void combine_attn_factor(struct qn_rope_params *rope) {
    if (rope->scaling == QN_ROPE_SCALING_YARN && rope->attn_factor > 0 && rope->factor > 1)
        rope->attn_factor *= (float)(0.1 * log(rope->factor) + 1);
}

static void set_attn_scale(const struct qn_family *family, struct qn_hparams *h) {
    if (h->attn_scale == 0 && h->n_layers == family->gguf_scale_layers)
        h->attn_scale = 1 / sqrtf((float)h->n_embd / (float)h->n_heads);
}

static enum qn_status read_structure(const struct qn_gguf *gguf, const char *family,
                                     struct qn_hparams *hparams, struct qn_error *err) {
    bool norm_before = !hparams->post_norm;
    hparams->renormalize_experts = true; /* converters leave out what all families here do */
    QN_TRY(read_bool(gguf, family, "expert_weights_norm", &hparams->renormalize_experts, err));
    QN_TRY(read_bool(gguf, family, "use_parallel_residual", &hparams->parallel, err));
    QN_TRY(read_bool(gguf, family, "do_layer_norm_before", &norm_before, err));
    hparams->post_norm = !norm_before;
    if (hparams->post_norm) hparams->features &= ~(unsigned)QN_WITH_FINAL_NORM;
    return QN_OK;
}

enum qn_status qn_hparams_from_gguf(const struct qn_gguf *gguf, const struct qn_family *family,
                                    struct qn_hparams *hparams, struct qn_error *err) {
    qn_hparams_start(family, hparams);
    hparams->rope_pairs = family->gguf_pairs;
    struct qn_rope_params *const rope = &hparams->rope[QN_ROPE_GLOBAL];
    for (size_t i = 0; i < sizeof int_rules / sizeof *int_rules; i++)
        QN_TRY(read_int(gguf, family->name, &int_rules[i], hparams, err));
    for (size_t i = 0; i < sizeof float_rules / sizeof *float_rules; i++)
        QN_TRY(read_float(gguf, family->name, &float_rules[i], hparams, err));
    QN_TRY(read_structure(gguf, family->name, hparams, err));
    QN_TRY(read_norm_eps(gguf, family, hparams, err));
    QN_TRY(read_scaling(gguf, family->name, rope, err));
    combine_attn_factor(rope);
    set_attn_scale(family, hparams);
    QN_TRY(qn_hparams_check(family, hparams, err));
    qn_hparams_set_layers(hparams);
    return QN_OK;
}
