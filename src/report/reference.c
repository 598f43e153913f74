/* SPDX-License-Identifier: Apache-2.0 */
#include "report/reference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json_file.h"

static const char format[] = "quern reference 1";

enum { MAX_MANIFEST = 64 << 20, MAX_PATH = 4096, NPY_START = 10 };

/* ---- .npy ------------------------------------------------------------------------------- */

/* Shape of a float32 array in C order, by its header: a dictionary of fixed spelling, see
 * https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html (version 1.0). */
static bool parse_header(const struct qn_file_map *map, size_t *data, unsigned long long shape[2]) {
    char text[256];
    if (map->size < NPY_START || memcmp(map->data, "\x93NUMPY\x01\x00", 8) != 0) return false;
    const size_t size = (size_t)map->data[8] | (size_t)map->data[9] << 8;
    if (size > map->size - NPY_START || size == 0) return false;
    const size_t n = size < sizeof text ? size : sizeof text - 1;
    memcpy(text, map->data + NPY_START, n);
    text[n] = '\0';
    const char *const at = strstr(text, "'shape': (");
    *data = NPY_START + size;
    return at && strstr(text, "'descr': '<f4'") && strstr(text, "'fortran_order': False") &&
           sscanf(at, "'shape': (%llu, %llu)", &shape[0], &shape[1]) == 2;
}

static enum qn_status open_array(const char *folder, struct qn_pair *pair, int n,
                                 struct qn_error *err) {
    char path[MAX_PATH];
    size_t data;
    unsigned long long shape[2];
    if (snprintf(path, sizeof path, "%s/%s.npy", folder, pair->name) >= (int)sizeof path)
        return qn_fail(err, QN_BAD_ARGUMENT, "%s: the path is too long", folder);
    QN_TRY(qn_file_map_open(path, &pair->map, err));
    if (!parse_header(&pair->map, &data, shape))
        return qn_fail(err, QN_BAD_FILE, "%s: no NumPy file 1.0 of a float32 matrix", path);
    if (shape[0] != (unsigned long long)n || shape[1] < 1 || shape[1] > 1 << 24 ||
        (pair->map.size - data) / sizeof(float) / (size_t)n != (size_t)shape[1] || data % 4)
        return qn_fail(err, QN_BAD_FILE,
                       "%s: shape (%llu, %llu) in %zu bytes; the manifest has %d ids", path,
                       shape[0], shape[1], pair->map.size, n);
    pair->columns = (int)shape[1];
    pair->theirs = (const float *)(const void *)(pair->map.data + data);
    pair->ours = calloc((size_t)n * (size_t)shape[1], sizeof(float));
    return pair->ours ? QN_OK : qn_fail(err, QN_NO_MEMORY, "no memory for %s", path);
}

/* ---- the manifest ----------------------------------------------------------------------- */

static enum qn_status read_ids(struct qn_reference *r, const char *folder, int n_vocab,
                               struct qn_error *err) {
    const json_t *const ids = json_object_get(r->manifest, "ids");
    r->n = (int)json_array_size(ids);
    if (r->n < 1 || r->n > 1 << 16)
        return qn_fail(err, QN_BAD_FILE, "%s/manifest.json: %d ids; expected 1 to 65536", folder,
                       r->n);
    r->ids = calloc((size_t)r->n, sizeof *r->ids);
    if (!r->ids) return qn_fail(err, QN_NO_MEMORY, "no memory for %d ids", r->n);
    for (int i = 0; i < r->n; i++) {
        const json_t *const id = json_array_get(ids, (size_t)i);
        const json_int_t value = json_integer_value(id);
        if (!json_is_integer(id) || value < 0 || value >= n_vocab)
            return qn_fail(err, QN_BAD_ARGUMENT,
                           "%s/manifest.json: id %lld; the model's vocabulary has %d tokens: the "
                           "reference is of another model",
                           folder, (long long)value, n_vocab);
        r->ids[i] = (int32_t)value;
    }
    return QN_OK;
}

static void split_name(struct qn_pair *pair) {
    int size = 0;
    pair->layer = -1;
    pair->module = pair->name;
    if (sscanf(pair->name, "layers.%d.%n", &pair->layer, &size) == 1 && size)
        pair->module = pair->name + size;
}

static enum qn_status read_arrays(struct qn_reference *r, const char *folder,
                                  struct qn_error *err) {
    const json_t *const taps = json_object_get(r->manifest, "taps");
    r->pairs = calloc(json_array_size(taps) + 1, sizeof *r->pairs);
    if (!r->pairs) return qn_fail(err, QN_NO_MEMORY, "no memory for the reference");
    for (size_t i = 0; i < json_array_size(taps); i++) {
        struct qn_pair *const pair = &r->pairs[r->n_pairs];
        pair->name = json_string_value(json_array_get(taps, i));
        if (!pair->name || strchr(pair->name, '/') || *pair->name == '.')
            return qn_fail(err, QN_BAD_FILE, "%s/manifest.json: a tap's name is not one", folder);
        r->n_pairs++;
        split_name(pair);
        QN_TRY(open_array(folder, pair, r->n, err));
    }
    if (r->n_pairs) return QN_OK;
    return qn_fail(err, QN_BAD_FILE, "%s/manifest.json: no taps", folder);
}

static enum qn_status read_folder(struct qn_reference *r, const char *folder, int n_vocab,
                                  struct qn_error *err) {
    const char *found = "";
    QN_TRY(qn_json_read(folder, "manifest.json", MAX_MANIFEST, &r->manifest, err));
    QN_TRY(qn_json_get_string(r->manifest, "manifest.json", "format", &found, err));
    if (strcmp(found, format) != 0)
        return qn_fail(err, QN_BAD_FILE, "%s/manifest.json: format '%.40s'; expected '%s'", folder,
                       found, format);
    QN_TRY(read_ids(r, folder, n_vocab, err));
    return read_arrays(r, folder, err);
}

/* ---- ours ------------------------------------------------------------------------------- */

static void keep(void *context, const struct quern_tensor *tensor) {
    const struct qn_reference *const r = context;
    for (size_t i = 0; i < r->n_pairs; i++) {
        struct qn_pair *const pair = &r->pairs[i];
        if (strcmp(pair->name, tensor->name) != 0 || (size_t)pair->columns != tensor->n_columns)
            continue;
        for (size_t row = 0; row < tensor->n_rows; row++)
            memcpy(pair->ours + (size_t)tensor->positions[row] * tensor->n_columns,
                   tensor->data + row * tensor->stride, tensor->n_columns * sizeof(float));
        pair->n_seen += (int)tensor->n_rows;
    }
}

static enum qn_status evaluate(struct qn_reference *r, struct qn_model *model, enum qn_cache cache,
                               struct qn_error *err) {
    struct qn_session *session;
    bool *const all = malloc((size_t)r->n * sizeof *all);
    if (!all) return qn_fail(err, QN_NO_MEMORY, "no memory for %d positions", r->n);
    for (int i = 0; i < r->n; i++) all[i] = true;
    const struct qn_session_options options = {.n_ctx = r->n,
                                               .n_ubatch = r->n,
                                               .n_sequences = 1,
                                               .n_logits = r->n,
                                               .cache = cache,
                                               .tap = {keep, r, NULL}};
    const struct qn_batch batch = {.n = (size_t)r->n, .tokens = r->ids, .logits = all};
    enum qn_status status = qn_session_new(model, &options, &session, err);
    if (status == QN_OK) {
        status = qn_session_eval(session, &batch, err);
        qn_session_free(session);
    }
    free(all);
    return status;
}

/* Every tensor of the reference must be one of ours, of the same width. */
static enum qn_status check_seen(const struct qn_reference *r, struct qn_error *err) {
    for (size_t i = 0; i < r->n_pairs; i++)
        if (r->pairs[i].n_seen != r->n)
            return qn_fail(err, QN_BAD_ARGUMENT,
                           "the reference has %s of %d columns, the model has none: the reference "
                           "is of another model",
                           r->pairs[i].name, r->pairs[i].columns);
    return QN_OK;
}

/* Components 2i and 2i + 1 of a head's rotated part go to i and half + i. */
static void order_pairs(struct qn_pair *pair, int n, int head_size, int n_rot) {
    float head[QN_HEAD_SIZE_MAX];
    for (float *x = pair->ours; x < pair->ours + (size_t)n * (size_t)pair->columns;
         x += head_size) {
        memcpy(head, x, (size_t)n_rot * sizeof *x);
        for (int i = 0; i < n_rot / 2; i++) {
            x[i] = head[2 * i];
            x[n_rot / 2 + i] = head[2 * i + 1];
        }
    }
}

static bool is_query_or_key(const char *module) {
    return strcmp(module, "q") == 0 || strcmp(module, "k") == 0 || strcmp(module, "q_rope") == 0 ||
           strcmp(module, "k_rope") == 0;
}

enum qn_status qn_reference_open(const char *folder, struct qn_model *model, enum qn_cache cache,
                                 struct qn_reference *out, struct qn_error *err) {
    const struct qn_hparams *const hp = &model->spec.hparams;
    *out = (struct qn_reference){.n = 0};
    enum qn_status status = read_folder(out, folder, hp->n_vocab, err);
    if (status == QN_OK) status = evaluate(out, model, cache, err);
    if (status == QN_OK) status = check_seen(out, err);
    if (status != QN_OK) {
        qn_reference_close(out);
        return status;
    }
    for (size_t i = 0; hp->rope_pairs == QN_ROPE_ADJACENT && i < out->n_pairs; i++)
        if (is_query_or_key(out->pairs[i].module))
            order_pairs(&out->pairs[i], out->n, hp->head_size, hp->n_rot);
    return QN_OK;
}

void qn_reference_close(struct qn_reference *reference) {
    for (size_t i = 0; i < reference->n_pairs; i++) {
        qn_file_map_close(&reference->pairs[i].map);
        free(reference->pairs[i].ours);
    }
    free(reference->pairs);
    free(reference->ids);
    json_decref(reference->manifest);
    *reference = (struct qn_reference){.n = 0};
}

const struct qn_pair *qn_reference_find(const struct qn_reference *reference, int layer,
                                        const char *module) {
    for (size_t i = 0; i < reference->n_pairs; i++)
        if (reference->pairs[i].layer == layer && strcmp(reference->pairs[i].module, module) == 0)
            return &reference->pairs[i];
    return NULL;
}
