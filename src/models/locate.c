/* SPDX-License-Identifier: Apache-2.0 */
#include "models/locate.h"

#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 192 };

/* Writes number in place of the first %d, if there is one. */
static void fill_hole(char *name, int number) {
    char rest[NAME_SIZE];
    char *const hole = strstr(name, "%d");
    if (!hole || number < 0) return;
    snprintf(rest, sizeof rest, "%s", hole + 2);
    snprintf(hole, NAME_SIZE - (size_t)(hole - name), "%d%s", number, rest);
}

static bool is_fused(const struct qn_rule *rule) {
    return rule->part == QN_PART_FUSED || rule->part == QN_PART_FUSED_TRANSPOSED ||
           rule->part == QN_PART_FUSED_BY_HEAD;
}

/* Whether all experts of a layer lie in one tensor. */
static bool is_merged(const struct qn_spec *spec, const struct qn_rule *rule, int layer) {
    const struct qn_role_info *const role = &qn_role_infos[rule->role];
    if (!role->per_expert || !qn_checkpoint_gguf(spec->checkpoint)) return false;
    char first[NAME_SIZE];
    snprintf(first, sizeof first, "%s", role->gguf_apart);
    fill_hole(first, layer);
    fill_hole(first, 0);
    return !qn_checkpoint_find_tensor(spec->checkpoint, first);
}

static const char *gguf_name(const struct qn_spec *spec, const struct qn_rule *rule, int layer) {
    const struct qn_role_info *const role = &qn_role_infos[rule->role];
    if (role->per_expert && !is_merged(spec, rule, layer)) return role->gguf_apart;
    return is_fused(rule) && role->gguf_fused ? role->gguf_fused : role->gguf;
}

/* The name of the rule's tensor in the container at hand. */
static void make_name(const struct qn_spec *spec, const char *prefix, const struct qn_rule *rule,
                      int layer, int expert, char name[NAME_SIZE]) {
    if (qn_checkpoint_gguf(spec->checkpoint))
        snprintf(name, NAME_SIZE, "%s", gguf_name(spec, rule, layer));
    else /* the head stands outside what the prefix names */
        snprintf(name, NAME_SIZE, "%s%s", rule->role == QN_ROLE_OUTPUT ? "" : prefix, rule->name);
    fill_hole(name, layer);
    fill_hole(name, expert);
}

/* ---- shapes ----------------------------------------------------------------------------- */

/* The roles that lie in one fused tensor, in this order. */
static const enum qn_role fused_roles[][3] = {
    {QN_ROLE_ATTN_Q, QN_ROLE_ATTN_K, QN_ROLE_ATTN_V},
    {QN_ROLE_ATTN_Q_BIAS, QN_ROLE_ATTN_K_BIAS, QN_ROLE_ATTN_V_BIAS},
    {QN_ROLE_FFN_GATE, QN_ROLE_FFN_UP, QN_ROLE_COUNT},
};

/* Rows of a matrix, elements of a vector. */
static int length_of(const struct qn_spec *spec, enum qn_role role) {
    const struct qn_role_info *const info = &qn_role_infos[role];
    return qn_hparams_dim(&spec->hparams, info->n == QN_DIM_ONE ? info->k : info->n);
}

/* Where a fused role starts, and how long the whole is. */
static void place_fused(const struct qn_spec *spec, enum qn_role role, int *first, int *total) {
    *first = *total = 0;
    for (size_t set = 0; set < sizeof fused_roles / sizeof *fused_roles; set++) {
        int sum = 0, at = -1;
        for (int i = 0; i < 3 && fused_roles[set][i] != QN_ROLE_COUNT; i++) {
            if (fused_roles[set][i] == role) at = sum;
            sum += length_of(spec, fused_roles[set][i]);
        }
        if (at < 0) continue;
        *first = at;
        *total = sum;
        return;
    }
}

struct expected {
    uint64_t shape[4]; /* contiguous dimension first */
};

/* Where the rule's weight lies, and the shape that its tensor must have for that. */
static struct expected place(const struct qn_spec *spec, const struct qn_rule *rule, int layer,
                             int expert, struct qn_source *source) {
    const struct qn_role_info *const info = &qn_role_infos[rule->role];
    const bool gguf = qn_checkpoint_gguf(spec->checkpoint) != NULL;
    const int length = length_of(spec, rule->role), head = spec->hparams.head_size;
    const bool vector = info->n == QN_DIM_ONE;
    int total = length;
    *source = (struct qn_source){.group = length, .stride = length};
    if (is_fused(rule)) place_fused(spec, rule->role, &source->first, &total);
    if (rule->part == QN_PART_FUSED_BY_HEAD && !gguf) {
        source->first = source->first / length * head;
        source->group = head;
        source->stride = 3 * head;
    }
    source->transposed =
        !gguf && (rule->part == QN_PART_TRANSPOSED || rule->part == QN_PART_FUSED_TRANSPOSED);
    struct expected e = {{1, 1, 1, 1}};
    const uint64_t k = (uint64_t)qn_hparams_dim(&spec->hparams, info->k);
    e.shape[0] = vector || source->transposed ? (uint64_t)total : k;
    if (!vector) e.shape[1] = source->transposed ? k : (uint64_t)total;
    if (is_merged(spec, rule, layer)) {
        e.shape[2] = (uint64_t)spec->hparams.n_experts;
        source->first = expert * length;
    }
    return e;
}

static enum qn_status check_shape(const struct qn_tensor *tensor, const struct expected *expected,
                                  struct qn_error *err) {
    if (memcmp(tensor->shape, expected->shape, sizeof expected->shape) == 0) return QN_OK;
    return qn_fail(
        err, QN_BAD_FILE,
        "tensor %s has shape [%llu, %llu, %llu, %llu]; expected [%llu, %llu, %llu, %llu] "
        "from the hyperparameters",
        tensor->name, (unsigned long long)tensor->shape[0], (unsigned long long)tensor->shape[1],
        (unsigned long long)tensor->shape[2], (unsigned long long)tensor->shape[3],
        (unsigned long long)expected->shape[0], (unsigned long long)expected->shape[1],
        (unsigned long long)expected->shape[2], (unsigned long long)expected->shape[3]);
}

/* Head by head, each query has a key and a value of its own. */
static enum qn_status check_heads(const struct qn_spec *spec, const struct qn_rule *rule,
                                  const struct qn_tensor *tensor, struct qn_error *err) {
    const struct qn_hparams *const h = &spec->hparams;
    if (rule->part != QN_PART_FUSED_BY_HEAD || qn_checkpoint_gguf(spec->checkpoint) ||
        h->n_kv_heads == h->n_heads)
        return QN_OK;
    return qn_fail(err, QN_UNSUPPORTED,
                   "tensor %s holds queries, keys and values head by head, but the model has %d "
                   "heads and %d key/value heads; expected equal numbers",
                   tensor->name, h->n_heads, h->n_kv_heads);
}

/* A part of a vector becomes floats by whole blocks. */
static enum qn_status check_blocks(const struct qn_spec *spec, enum qn_role role,
                                   const struct qn_source *source, struct qn_error *err) {
    const struct qn_type_info *const type = &qn_type_infos[source->tensor->type];
    const int length = length_of(spec, role);
    if (qn_role_infos[role].n != QN_DIM_ONE ||
        (source->first % type->block == 0 && length % type->block == 0))
        return QN_OK;
    return qn_fail(err, QN_UNSUPPORTED,
                   "tensor %s is %s, in blocks of %d, but elements %d to %d of it are a weight; "
                   "expected whole blocks",
                   source->tensor->name, type->name, type->block, source->first,
                   source->first + length - 1);
}

/* ---- finding ---------------------------------------------------------------------------- */

enum qn_status qn_locate(const struct qn_spec *spec, const char *prefix, const struct qn_rule *rule,
                         int layer, bool needed, struct qn_source *sources, bool *found,
                         struct qn_error *err) {
    const bool per_expert = qn_role_infos[rule->role].per_expert;
    const int n_parts = per_expert ? spec->hparams.n_experts : 1;
    *found = false;
    for (int part = 0; part < n_parts; part++) {
        char name[NAME_SIZE];
        make_name(spec, prefix, rule, layer, per_expert ? part : -1, name);
        const struct qn_tensor *const tensor = qn_checkpoint_find_tensor(spec->checkpoint, name);
        if (!tensor) {
            const char *const why = qn_checkpoint_left_out(spec->checkpoint, name);
            if (why)
                return qn_fail(err, QN_UNSUPPORTED,
                               "tensor %s is not one to compute with: %s; of a folder F32, F16 and "
                               "BF16 are read",
                               name, why);
            if (!needed && part == 0) return QN_OK;
            return qn_fail(err, QN_BAD_FILE, "tensor %s is missing; architecture %s needs it", name,
                           spec->family->name);
        }
        const struct expected expected = place(spec, rule, layer, part, &sources[part]);
        QN_TRY(check_heads(spec, rule, tensor, err));
        QN_TRY(check_shape(tensor, &expected, err));
        sources[part].tensor = tensor;
        QN_TRY(check_blocks(spec, rule->role, &sources[part], err));
        if (tensor->type != sources[0].tensor->type)
            return qn_fail(err, QN_UNSUPPORTED,
                           "tensor %s is %s and that of the first expert %s; expected one type",
                           name, qn_type_infos[tensor->type].name,
                           qn_type_infos[sources[0].tensor->type].name);
    }
    *found = true;
    return QN_OK;
}

const char *qn_locate_prefix(const struct qn_checkpoint *checkpoint,
                             const struct qn_family *family) {
    if (qn_checkpoint_gguf(checkpoint))
        return qn_checkpoint_find_tensor(checkpoint, qn_role_infos[QN_ROLE_TOKEN_EMBD].gguf) ? ""
                                                                                             : NULL;
    const char *embedding = "";
    for (int i = 0; i < family->n_rules; i++)
        if (family->rules[i].role == QN_ROLE_TOKEN_EMBD) embedding = family->rules[i].name;
    for (const char *const *prefix = family->prefixes; *prefix; prefix++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "%s%s", *prefix, embedding);
        if (qn_checkpoint_find_tensor(checkpoint, name)) return *prefix;
    }
    return NULL;
}

bool qn_locate_is_other(const char *name) {
    static const char *const parts[] = {"vision", "visual", "image", "audio", "multi_modal"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(name, parts[i])) return true;
    return false;
}

bool qn_locate_is_buffer(const char *name) {
    static const char *const endings[] = {".attn.bias", ".attn.masked_bias", ".attention.bias",
                                          ".attention.masked_bias", ".rotary_emb.inv_freq"};
    const size_t size = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t length = strlen(endings[i]);
        if (size > length && strcmp(name + size - length, endings[i]) == 0) return true;
    }
    return false;
}
