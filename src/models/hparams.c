/* SPDX-License-Identifier: Apache-2.0 */
#include "models/hparams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEY_SIZE = 128, MAX_HEAD_SIZE = 256 };

/* Integer hyperparameters: the key behind "<family>.", where it goes, what is allowed. An absent
 * key keeps the field's default; a default of -1 means that the file must say. */
static const struct int_rule {
    const char *key;
    size_t offset;
    int min, max;
} int_rules[] = {
#define FIELD(name) offsetof(struct qn_hparams, name)
    {"block_count", FIELD(n_layers), 1, 1024},
    {"embedding_length", FIELD(n_embd), 2, 1 << 17},
    {"feed_forward_length", FIELD(n_ff), 1, 1 << 20},
    {"context_length", FIELD(n_ctx_train), 1, 1 << 27},
    {"attention.head_count", FIELD(n_heads), 1, 4096},
    {"attention.head_count_kv", FIELD(n_kv_heads), 1, 4096},
    {"attention.key_length", FIELD(head_size), 2, MAX_HEAD_SIZE},
    {"attention.sliding_window", FIELD(window), 0, 1 << 27},
    {"rope.dimension_count", FIELD(n_rot), 2, MAX_HEAD_SIZE},
    {"rope.scaling.original_context_length", FIELD(rope_ctx_orig), 1, 1 << 27},
};

static const struct float_rule {
    const char *key;
    size_t offset;
    float min, max;
} float_rules[] = {
    {"rope.freq_base", FIELD(rope_base), 1.0f, 1e12f},
    {"rope.scaling.factor", FIELD(rope_factor), 1e-3f, 1e6f},
    {"rope.scaling.attn_factor", FIELD(rope_attn_factor), 1e-3f, 1e3f},
    {"rope.scaling.yarn_beta_fast", FIELD(yarn_beta_fast), 1e-6f, 1e6f},
    {"rope.scaling.yarn_beta_slow", FIELD(yarn_beta_slow), 1e-6f, 1e6f},
#undef FIELD
};

static enum qn_status read_int(const struct qn_gguf *gguf, const char *family,
                               const struct int_rule *rule, struct qn_hparams *hparams,
                               struct qn_error *err) {
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.%s", family, rule->key);
    int *const field = (int *)(void *)((char *)hparams + rule->offset);
    if (!qn_gguf_find(gguf, key)) {
        if (*field >= 0) return QN_OK;
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

static enum qn_status read_norm_eps(const struct qn_gguf *gguf, const struct qn_family *family,
                                    struct qn_hparams *hparams, struct qn_error *err) {
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.attention.layer_norm%s_epsilon", family->name,
             family->norm == QN_NORM_RMS ? "_rms" : "");
    QN_TRY(qn_gguf_get_float(gguf, key, &hparams->norm_eps, err));
    if (!(hparams->norm_eps >= 0 && hparams->norm_eps < 1))
        return qn_fail(err, QN_BAD_FILE, "metadata key %s is %g; expected 0 to 1", key,
                       (double)hparams->norm_eps);
    return QN_OK;
}

static enum qn_status read_rope_scaling(const struct qn_gguf *gguf, const char *family,
                                        struct qn_hparams *hparams, struct qn_error *err) {
    static const struct {
        const char *name;
        enum qn_rope_scaling scaling;
    } kinds[] = {{"none", QN_ROPE_SCALING_NONE},
                 {"linear", QN_ROPE_SCALING_LINEAR},
                 {"yarn", QN_ROPE_SCALING_YARN}};
    char key[KEY_SIZE];
    snprintf(key, sizeof key, "%s.rope.scaling.type", family);
    if (!qn_gguf_find(gguf, key)) {
        hparams->rope_scaling =
            hparams->rope_factor != 1 ? QN_ROPE_SCALING_LINEAR : QN_ROPE_SCALING_NONE;
        return QN_OK;
    }
    struct qn_string name;
    QN_TRY(qn_gguf_get_string(gguf, key, &name, err));
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) != name.size || memcmp(kinds[i].name, name.data, name.size) != 0)
            continue;
        hparams->rope_scaling = kinds[i].scaling;
        return QN_OK;
    }
    return qn_fail(err, QN_UNSUPPORTED, "metadata key %s is '%.*s'; expected none, linear or yarn",
                   key, (int)(name.size < 64 ? name.size : 64), name.data);
}

/* Fills what files may leave out and checks what belongs together. */
static enum qn_status derive(const struct qn_family *family, struct qn_hparams *h,
                             struct qn_error *err) {
    if (h->n_kv_heads == 0) h->n_kv_heads = h->n_heads;
    if (h->n_heads % h->n_kv_heads != 0)
        return qn_fail(err, QN_BAD_FILE,
                       "%s.attention.head_count is %d and head_count_kv %d; the first must be a "
                       "multiple of the second",
                       family->name, h->n_heads, h->n_kv_heads);
    if (h->head_size == 0) {
        if (h->n_embd % h->n_heads != 0)
            return qn_fail(err, QN_BAD_FILE,
                           "%s.embedding_length is %d, not a multiple of head_count %d",
                           family->name, h->n_embd, h->n_heads);
        h->head_size = h->n_embd / h->n_heads;
    }
    if (h->head_size % 2 != 0 || h->head_size > MAX_HEAD_SIZE)
        return qn_fail(err, QN_UNSUPPORTED, "head size %d; this build runs even sizes up to %d",
                       h->head_size, MAX_HEAD_SIZE);
    if (h->n_rot == 0) h->n_rot = h->head_size;
    if (h->n_rot % 2 != 0 || h->n_rot > h->head_size)
        return qn_fail(err, QN_BAD_FILE,
                       "%s.rope.dimension_count is %d; expected an even number up to the head "
                       "size %d",
                       family->name, h->n_rot, h->head_size);
    if (h->rope_ctx_orig == 0) h->rope_ctx_orig = h->n_ctx_train;
    h->attn_scale = 1.0f / sqrtf((float)h->head_size);
    return QN_OK;
}

enum qn_status qn_hparams_read(const struct qn_gguf *gguf, const struct qn_family *family,
                               struct qn_hparams *hparams, struct qn_error *err) {
    *hparams = (struct qn_hparams){.n_layers = -1,
                                   .n_embd = -1,
                                   .n_ff = -1,
                                   .n_ctx_train = -1,
                                   .n_heads = -1,
                                   .rope_base = 10000,
                                   .rope_factor = 1,
                                   .rope_attn_factor = 1,
                                   .yarn_beta_fast = 32,
                                   .yarn_beta_slow = 1};
    for (size_t i = 0; i < sizeof int_rules / sizeof *int_rules; i++)
        QN_TRY(read_int(gguf, family->name, &int_rules[i], hparams, err));
    for (size_t i = 0; i < sizeof float_rules / sizeof *float_rules; i++)
        QN_TRY(read_float(gguf, family->name, &float_rules[i], hparams, err));
    QN_TRY(read_norm_eps(gguf, family, hparams, err));
    QN_TRY(read_rope_scaling(gguf, family->name, hparams, err));
    return derive(family, hparams, err);
}

int qn_hparams_dim(const struct qn_hparams *hparams, enum qn_dim dim) {
    const int sizes[QN_DIM_COUNT] = {
        [QN_DIM_ONE] = 1,
        [QN_DIM_EMBD] = hparams->n_embd,
        [QN_DIM_Q] = hparams->n_heads * hparams->head_size,
        [QN_DIM_KV] = hparams->n_kv_heads * hparams->head_size,
        [QN_DIM_FF] = hparams->n_ff,
        [QN_DIM_VOCAB] = hparams->n_vocab,
        [QN_DIM_HALF_ROT] = hparams->n_rot / 2,
    };
    return sizes[dim];
}

/* The pair whose wave turns `rotations` times over the original context (YaRN, section 3.2). */
static double yarn_pair(const struct qn_hparams *hparams, double rotations) {
    const double two_pi = 6.283185307179586;
    return hparams->n_rot * log(hparams->rope_ctx_orig / (rotations * two_pi)) /
           (2 * log(hparams->rope_base));
}

float qn_hparams_rope(const struct qn_hparams *hparams, const float *factors, double *frequency) {
    const double factor = hparams->rope_factor;
    double low = 0, high = 0;
    if (hparams->rope_scaling == QN_ROPE_SCALING_YARN) {
        low = fmax(floor(yarn_pair(hparams, hparams->yarn_beta_fast)), 0);
        high = fmin(ceil(yarn_pair(hparams, hparams->yarn_beta_slow)), hparams->n_rot - 1);
        if (low == high) high += 0.001; /* a step rather than a division by zero */
    }
    for (int i = 0; i < hparams->n_rot / 2; i++) {
        double f = pow(hparams->rope_base, -2.0 * i / hparams->n_rot);
        if (factors) f /= factors[i];
        if (hparams->rope_scaling == QN_ROPE_SCALING_LINEAR) f /= factor;
        if (hparams->rope_scaling == QN_ROPE_SCALING_YARN) {
            const double ramp = fmin(fmax((i - low) / (high - low), 0), 1);
            f = f / factor * ramp + f * (1 - ramp);
        }
        frequency[i] = f;
    }
    if (hparams->rope_scaling != QN_ROPE_SCALING_YARN || factor <= 1)
        return hparams->rope_attn_factor;
    return (float)((0.1 * log(factor) + 1) * hparams->rope_attn_factor);
}
