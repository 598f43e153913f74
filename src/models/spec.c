/* SPDX-License-Identifier: Apache-2.0 */
#include "models/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "kernels/pack.h"

enum { NAME_SIZE = 96, ALIGNMENT = 64, N_LAYER_ROLES = QN_ROLE_COUNT - QN_ROLE_LAYER };

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

static enum qn_status check_shape(const struct qn_tensor *tensor, int n, int k,
                                  struct qn_error *err) {
    const bool right = tensor->shape[0] == (uint64_t)k && tensor->shape[1] == (uint64_t)n &&
                       tensor->shape[2] == 1 && tensor->shape[3] == 1;
    if (right) return QN_OK;
    return qn_fail(err, QN_BAD_FILE,
                   "tensor %s has shape [%llu, %llu, %llu, %llu]; expected [%d, %d, 1, 1] from the "
                   "hyperparameters",
                   tensor->name, (unsigned long long)tensor->shape[0],
                   (unsigned long long)tensor->shape[1], (unsigned long long)tensor->shape[2],
                   (unsigned long long)tensor->shape[3], k, n);
}

static bool is_vector(const struct qn_tensor_rule *rule) {
    return rule->n == QN_DIM_ONE;
}

/* Finds the rule's tensor, checks it and gives it a place behind *end. */
static enum qn_status place_tensor(struct qn_spec *spec, const struct qn_tensor_rule *rule,
                                   int layer, size_t *end, struct qn_error *err) {
    char name[NAME_SIZE];
    const char *const hole = strstr(rule->name, "%d");
    if (hole)
        snprintf(name, sizeof name, "%.*s%d%s", (int)(hole - rule->name), rule->name, layer,
                 hole + 2);
    else
        snprintf(name, sizeof name, "%s", rule->name);
    const struct qn_tensor *const tensor = qn_gguf_find_tensor(spec->gguf, name);
    if (!tensor) {
        if (rule->optional) return QN_OK;
        return qn_fail(err, QN_BAD_FILE, "tensor %s is missing; architecture %s needs it", name,
                       spec->family->name);
    }
    struct qn_weight *const weight = &spec->weights[weight_index(rule->role, layer)];
    weight->tensor = tensor;
    weight->n = qn_hparams_dim(&spec->hparams, rule->n);
    weight->k = qn_hparams_dim(&spec->hparams, rule->k);
    QN_TRY(check_shape(tensor, weight->n, weight->k, err));
    spec->n_params += (uint64_t)weight->n * (uint64_t)weight->k;
    if (rule->role == QN_ROLE_TOKEN_EMBD) return QN_OK; /* read in place */

    size_t size = (size_t)weight->k * sizeof(float);
    if (!is_vector(rule)) {
        weight->tile_size = qn_pack_tile_size(tensor->type, spec->tile_rows, weight->k);
        size = weight->tile_size * (size_t)qn_weight_n_tiles(weight, spec->tile_rows);
    }
    weight->offset = *end;
    if (!qn_checked_add(*end, size, end) || !qn_checked_align(*end, ALIGNMENT, end))
        return qn_fail(err, QN_NO_MEMORY, "the weights exceed the address space");
    return QN_OK;
}

/* A model without a head of its own multiplies by its embedding. */
static void tie_head(struct qn_spec *spec, size_t *end) {
    struct qn_weight *const head = &spec->weights[QN_ROLE_OUTPUT];
    spec->tied = !head->tensor;
    if (!spec->tied) return;
    *head = spec->weights[QN_ROLE_TOKEN_EMBD];
    head->tile_size = qn_pack_tile_size(head->tensor->type, spec->tile_rows, head->k);
    head->offset = *end;
    *end += head->tile_size * (size_t)qn_weight_n_tiles(head, spec->tile_rows);
}

static enum qn_status place_all(struct qn_spec *spec, struct qn_error *err) {
    const struct qn_family *const family = spec->family;
    size_t end = 0;
    for (int layer = -1; layer < spec->hparams.n_layers; layer++) {
        for (int i = 0; i < family->n_rules; i++) {
            const bool in_layer = family->rules[i].role >= QN_ROLE_LAYER;
            if (in_layer == (layer >= 0))
                QN_TRY(place_tensor(spec, &family->rules[i], layer, &end, err));
        }
    }
    tie_head(spec, &end);
    spec->arena_size = end;
    return QN_OK;
}

/* Tensors that no rule names: the file holds more than this build understands. */
static void count_unused(struct qn_spec *spec) {
    size_t used = 0;
    for (size_t i = 0; i < spec->n_weights; i++) used += spec->weights[i].tensor != NULL;
    if (spec->tied) used--;
    spec->n_unused = qn_gguf_n_tensors(spec->gguf) - used;
    for (size_t t = 0; spec->n_unused && t < qn_gguf_n_tensors(spec->gguf); t++) {
        const struct qn_tensor *const tensor = qn_gguf_tensor_at(spec->gguf, t);
        bool found = false;
        for (size_t i = 0; !found && i < spec->n_weights; i++)
            found = spec->weights[i].tensor == tensor;
        if (found) continue;
        spec->unused = tensor->name;
        return;
    }
}

static enum qn_status find_family(const struct qn_gguf *gguf, const struct qn_family **family,
                                  struct qn_error *err) {
    struct qn_string name;
    QN_TRY(qn_gguf_get_string(gguf, "general.architecture", &name, err));
    *family = qn_family_find(name.data, name.size);
    if (*family) return QN_OK;
    char names[128];
    qn_family_names(names, sizeof names);
    return qn_fail(err, QN_UNSUPPORTED, "architecture '%.*s'; this build runs %s",
                   (int)(name.size < 64 ? name.size : 64), name.data, names);
}

static enum qn_status read_spec(struct qn_spec *spec, struct qn_error *err) {
    QN_TRY(find_family(spec->gguf, &spec->family, err));
    QN_TRY(qn_hparams_read(spec->gguf, spec->family, &spec->hparams, err));
    const struct qn_tensor *const embedding = qn_gguf_find_tensor(spec->gguf, "token_embd.weight");
    if (!embedding)
        return qn_fail(err, QN_BAD_FILE, "tensor token_embd.weight is missing%s",
                       qn_gguf_n_tensors(spec->gguf) ? "" : ": the file holds a vocabulary only");
    if (embedding->shape[1] > 1 << 22)
        return qn_fail(err, QN_BAD_FILE,
                       "tensor token_embd.weight has %llu rows; expected a "
                       "vocabulary of at most %d",
                       (unsigned long long)embedding->shape[1], 1 << 22);
    spec->hparams.n_vocab = (int)embedding->shape[1];
    spec->n_weights = QN_ROLE_LAYER + (size_t)spec->hparams.n_layers * N_LAYER_ROLES;
    spec->weights = calloc(spec->n_weights, sizeof *spec->weights);
    if (!spec->weights) return qn_fail(err, QN_NO_MEMORY, "no memory for the list of weights");
    QN_TRY(place_all(spec, err));
    for (size_t i = 0; i < spec->n_weights; i++)
        spec->decode_size += spec->weights[i].tile_size *
                             (size_t)qn_weight_n_tiles(&spec->weights[i], spec->tile_rows);
    count_unused(spec);
    return QN_OK;
}

enum qn_status qn_spec_read(const struct qn_gguf *gguf, int tile_rows, struct qn_spec *spec,
                            struct qn_error *err) {
    *spec = (struct qn_spec){.gguf = gguf, .tile_rows = tile_rows};
    const enum qn_status status = read_spec(spec, err);
    if (status != QN_OK) qn_spec_free(spec);
    return status;
}

void qn_spec_free(struct qn_spec *spec) {
    free(spec->weights);
    *spec = (struct qn_spec){0};
}
