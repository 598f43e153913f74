/* SPDX-License-Identifier: Apache-2.0 */
#include "models/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/pack.h"
#include "models/hparams_read.h"
#include "models/locate.h"
#include "models/quantize.h"

enum { ALIGNMENT = 64, N_LAYER_ROLES = QN_ROLE_COUNT - QN_ROLE_LAYER };

static size_t weight_index(enum qn_role role, int layer) {
    if (role < QN_ROLE_LAYER) return role;
    return QN_ROLE_LAYER + (size_t)layer * N_LAYER_ROLES + (role - QN_ROLE_LAYER);
}

const struct qn_weight *qn_spec_weight(const struct qn_spec *spec, enum qn_role role, int layer) {
    return &spec->weights[weight_index(role, layer)];
}

int qn_weight_n_tiles(const struct qn_weight *weight, int tile_rows) {
    return (weight->n + tile_rows - 1) / tile_rows;
}

/* ---- family and hyperparameters --------------------------------------------------------- */

static int shown(size_t size) {
    return (int)(size < 64 ? size : 64);
}

static enum qn_status read_gguf(struct qn_spec *spec, const struct qn_gguf *gguf,
                                struct qn_error *err) {
    struct qn_string name;
    char names[256];
    QN_TRY(qn_gguf_get_string(gguf, "general.architecture", &name, err));
    spec->family = qn_family_find(name.data, name.size);
    if (spec->family) return qn_hparams_from_gguf(gguf, spec->family, &spec->hparams, err);
    qn_family_names(names, sizeof names);
    return qn_fail(err, QN_UNSUPPORTED, "architecture '%.*s'; this build runs %s", shown(name.size),
                   name.data, names);
}

/* Models that also see or hear keep the text model's members in an object of their own. */
static enum qn_status read_config(struct qn_spec *spec, const json_t *config,
                                  struct qn_error *err) {
    const json_t *const text = json_object_get(config, "text_config");
    const char *const name = json_string_value(json_object_get(config, "model_type"));
    const struct qn_model_type *type;
    char names[256];
    if (!name) return qn_fail(err, QN_BAD_FILE, "config.json: model_type is missing");
    spec->family = qn_family_of_model_type(name, &type);
    if (spec->family)
        return qn_hparams_from_config(json_is_object(text) ? text : config, spec->family, type,
                                      &spec->hparams, err);
    qn_model_type_names(names, sizeof names);
    return qn_fail(err, QN_UNSUPPORTED, "config.json: model_type '%.*s'; this build runs %s",
                   shown(strlen(name)), name, names);
}

/* Its messages begin with the file's name, to which the folder is put. */
static enum qn_status read_folder(struct qn_spec *spec, struct qn_error *err) {
    struct qn_error inner = {0};
    const enum qn_status status = read_config(spec, qn_checkpoint_config(spec->checkpoint), &inner);
    if (status == QN_OK) return QN_OK;
    return qn_fail(err, status, "%s/%s", qn_checkpoint_folder(spec->checkpoint), inner.message);
}

/* ---- placing ---------------------------------------------------------------------------- */

/* Takes size bytes at *end, which stays aligned. */
static enum qn_status take(size_t *end, size_t size, size_t *offset, struct qn_error *err) {
    *offset = *end;
    if (qn_checked_add(*end, size, end) && qn_checked_align(*end, ALIGNMENT, end)) return QN_OK;
    return qn_fail(err, QN_NO_MEMORY, "the weights exceed the address space");
}

/* A matrix is packed into tiles, a vector becomes floats. */
static enum qn_status place_packed(const struct qn_spec *spec, struct qn_weight *weight,
                                   bool vector, size_t *end, struct qn_error *err) {
    size_t size;
    weight->part_size = (size_t)weight->k * sizeof(float);
    if (!vector) {
        weight->tile_size = qn_pack_tile_size(weight->packed, spec->tile_rows, weight->k);
        weight->part_size = weight->tile_size * (size_t)qn_weight_n_tiles(weight, spec->tile_rows);
    }
    if (!qn_checked_mul(weight->part_size, (size_t)weight->n_parts, &size))
        return qn_fail(err, QN_NO_MEMORY, "the weights exceed the address space");
    return take(end, size, &weight->offset, err);
}

static void set_types(const struct qn_spec *spec, enum qn_role role, struct qn_weight *weight) {
    const enum qn_type stored = weight->sources->tensor->type;
    weight->type = qn_quantize_type(spec->quantize, role, stored, weight->k);
    weight->packed = qn_packed_type(weight->type, role, weight->k, spec->bundles);
}

static bool is_gguf(const struct qn_spec *spec) {
    return qn_checkpoint_gguf(spec->checkpoint) != NULL;
}

enum presence { NOT_LOOKED_FOR, TAKEN_IF_THERE, NEEDED };

/* A file need not hold what the rule's features rule out; those that GGUF metadata does not tell
 * are asked of the file. */
static enum presence presence_of(const struct qn_spec *spec, const struct qn_rule *rule,
                                 int layer) {
    const unsigned untold = is_gguf(spec) ? QN_WITH_ATTN_BIAS | QN_WITH_MLP_BIAS : 0;
    const unsigned told = qn_hparams_features(&spec->hparams, layer) & ~untold;
    if (rule->role == QN_ROLE_OUTPUT) {
        if (is_gguf(spec)) return TAKEN_IF_THERE;
        return spec->hparams.tied ? NOT_LOOKED_FOR : NEEDED;
    }
    if (!rule->features || rule->features & told) return NEEDED;
    return rule->features & (QN_IF_PRESENT | untold) ? TAKEN_IF_THERE : NOT_LOOKED_FOR;
}

static enum qn_status place_rule(struct qn_spec *spec, const char *prefix,
                                 const struct qn_rule *rule, int layer, size_t *end,
                                 struct qn_error *err) {
    const struct qn_role_info *const info = &qn_role_infos[rule->role];
    struct qn_source *const sources = spec->sources + spec->n_sources;
    const enum presence presence = presence_of(spec, rule, layer);
    bool found;
    if (presence == NOT_LOOKED_FOR) return QN_OK;
    QN_TRY(qn_locate(spec, prefix, rule, layer, presence == NEEDED, sources, &found, err));
    if (!found) return QN_OK;
    struct qn_weight *const weight = &spec->weights[weight_index(rule->role, layer)];
    *weight = (struct qn_weight){.n = qn_hparams_dim(&spec->hparams, info->n),
                                 .k = qn_hparams_dim(&spec->hparams, info->k),
                                 .n_parts = info->per_expert ? spec->hparams.n_experts : 1,
                                 .sources = sources,
                                 .plus_one = info->is_norm && spec->family->norm_plus_one &&
                                             !is_gguf(spec)};
    set_types(spec, rule->role, weight);
    spec->n_sources += (size_t)weight->n_parts;
    spec->n_params += (uint64_t)weight->n * (uint64_t)weight->k * (uint64_t)weight->n_parts;
    return info->by_row ? QN_OK : place_packed(spec, weight, info->n == QN_DIM_ONE, end, err);
}

/* A model without a head of its own multiplies by its embedding. */
static enum qn_status tie_head(struct qn_spec *spec, size_t *end, struct qn_error *err) {
    struct qn_weight *const head = &spec->weights[QN_ROLE_OUTPUT];
    spec->tied = head->n_parts == 0;
    if (!spec->tied) return QN_OK;
    *head = spec->weights[QN_ROLE_TOKEN_EMBD];
    set_types(spec, QN_ROLE_OUTPUT, head);
    return place_packed(spec, head, false, end, err);
}

static enum qn_status place_all(struct qn_spec *spec, const char *prefix, struct qn_error *err) {
    const struct qn_family *const family = spec->family;
    size_t end = 0;
    for (int layer = -1; layer < spec->hparams.n_layers; layer++)
        for (int i = 0; i < family->n_rules; i++)
            if ((family->rules[i].role >= QN_ROLE_LAYER) == (layer >= 0))
                QN_TRY(place_rule(spec, prefix, &family->rules[i], layer, &end, err));
    QN_TRY(tie_head(spec, &end, err));
    spec->arena_size = end;
    return QN_OK;
}

/* ---- what is left ----------------------------------------------------------------------- */

static int compare_tensors(const void *a, const void *b) {
    const struct qn_tensor *const x = *(const struct qn_tensor *const *)a;
    const struct qn_tensor *const y = *(const struct qn_tensor *const *)b;
    return (x > y) - (x < y);
}

/* A tied model may come with a head all the same. */
static bool is_spare_head(const struct qn_spec *spec, const char *name) {
    for (int i = 0; i < spec->family->n_rules; i++)
        if (spec->family->rules[i].role == QN_ROLE_OUTPUT)
            return spec->tied && strcmp(spec->family->rules[i].name, name) == 0;
    return false;
}

/* Tensors that no rule names: the files hold more than this build understands, or, of images and
 * sound, than a language model has. */
static enum qn_status count_unused(struct qn_spec *spec, struct qn_error *err) {
    const struct qn_tensor **const used = malloc((spec->n_sources + 1) * sizeof *used);
    if (!used) return qn_fail(err, QN_NO_MEMORY, "no memory for the list of tensors");
    for (size_t i = 0; i < spec->n_sources; i++) used[i] = spec->sources[i].tensor;
    qsort(used, spec->n_sources, sizeof *used, compare_tensors);
    for (size_t t = 0; t < qn_checkpoint_n_tensors(spec->checkpoint); t++) {
        const struct qn_tensor *const tensor = qn_checkpoint_tensor_at(spec->checkpoint, t);
        if (bsearch(&tensor, used, spec->n_sources, sizeof *used, compare_tensors) ||
            qn_locate_is_buffer(tensor->name) || is_spare_head(spec, tensor->name))
            continue;
        const bool other = qn_locate_is_other(tensor->name);
        spec->n_unused++;
        spec->n_other += other;
        if (!other && !spec->unused) spec->unused = tensor->name;
    }
    free(used);
    return QN_OK;
}

/* ---- reading ---------------------------------------------------------------------------- */

static enum qn_status count_tokens(struct qn_spec *spec, const char *prefix, struct qn_error *err) {
    const struct qn_rule *rule = spec->family->rules;
    while (rule->role != QN_ROLE_TOKEN_EMBD) rule++;
    const bool gguf = qn_checkpoint_gguf(spec->checkpoint) != NULL;
    char name[192];
    snprintf(name, sizeof name, "%s%s", prefix ? prefix : spec->family->prefixes[0],
             gguf ? qn_role_infos[rule->role].gguf : rule->name);
    if (!prefix)
        return qn_fail(
            err, QN_BAD_FILE, "tensor %s is missing%s",
            gguf ? qn_role_infos[rule->role].gguf : name,
            qn_checkpoint_n_tensors(spec->checkpoint) ? "" : ": the file holds a vocabulary only");
    const uint64_t rows = qn_checkpoint_find_tensor(spec->checkpoint, name)->shape[1];
    if (rows > 1 << 22)
        return qn_fail(err, QN_BAD_FILE,
                       "tensor %s has %llu rows; expected a vocabulary of at most %d", name,
                       (unsigned long long)rows, 1 << 22);
    spec->hparams.n_vocab = (int)rows;
    return QN_OK;
}

static enum qn_status allocate(struct qn_spec *spec, struct qn_error *err) {
    const size_t layers = (size_t)spec->hparams.n_layers;
    size_t n_sources = 0;
    spec->n_weights = QN_ROLE_LAYER + layers * N_LAYER_ROLES;
    for (int i = 0; i < spec->family->n_rules; i++)
        n_sources += qn_role_infos[spec->family->rules[i].role].per_expert
                         ? layers * (size_t)spec->hparams.n_experts
                         : layers;
    spec->weights = calloc(spec->n_weights, sizeof *spec->weights);
    spec->sources = calloc(n_sources, sizeof *spec->sources);
    if (spec->weights && spec->sources) return QN_OK;
    return qn_fail(err, QN_NO_MEMORY, "no memory for the list of weights");
}

static enum qn_status read_spec(struct qn_spec *spec, struct qn_error *err) {
    const struct qn_gguf *const gguf = qn_checkpoint_gguf(spec->checkpoint);
    if (gguf)
        QN_TRY(read_gguf(spec, gguf, err));
    else
        QN_TRY(read_folder(spec, err));
    const char *const prefix = qn_locate_prefix(spec->checkpoint, spec->family);
    QN_TRY(count_tokens(spec, prefix, err));
    QN_TRY(allocate(spec, err));
    QN_TRY(place_all(spec, prefix, err));
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const weight = &spec->weights[i];
        const int parts = weight->n_parts > 1 ? spec->hparams.n_experts_used : 1;
        if (weight->tile_size) spec->decode_size += weight->part_size * (size_t)parts;
    }
    return count_unused(spec, err);
}

enum qn_status qn_spec_read(const struct qn_checkpoint *checkpoint,
                            const struct qn_kernels *kernels, const char *quantize,
                            struct qn_spec *spec, struct qn_error *err) {
    *spec = (struct qn_spec){
        .checkpoint = checkpoint, .tile_rows = kernels->tile_rows, .bundles = kernels->bundles};
    QN_TRY(qn_quantize_parse(quantize, &spec->quantize, err));
    const enum qn_status status = read_spec(spec, err);
    if (status != QN_OK) qn_spec_free(spec);
    return status;
}

void qn_spec_free(struct qn_spec *spec) {
    free(spec->weights);
    free(spec->sources);
    *spec = (struct qn_spec){0};
}
