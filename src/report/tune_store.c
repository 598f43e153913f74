/* SPDX-License-Identifier: Apache-2.0 */
#include "report/tune_store.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/pool.h"
#include "report/cache_file.h"

/* ---- the key ---- */

static uint64_t mix(uint64_t hash, uint64_t value) {
    for (int i = 0; i < 8; i++) hash = (hash ^ (value >> 8 * i & 255)) * 0x100000001b3u;
    return hash;
}

void qn_tune_key_read(const char *root, const struct qn_kernels *kernels,
                      const struct qn_topology *topology, const struct qn_spec *spec,
                      struct qn_tune_key *key) {
    const struct qn_hparams *const hp = &spec->hparams;
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        hash = mix(mix(hash, (uint64_t)w->n), (uint64_t)w->k);
        hash = mix(mix(hash, (uint64_t)w->n_parts), w->n_parts ? (uint64_t)w->packed : 0);
    }
    qn_machine_key_read(root, kernels, topology, topology->n_default, &key->machine);
    snprintf(key->model, sizeof key->model, "%s %dx%d heads %d/%d of %d vocabulary %d %llu %016llx",
             spec->family->name, hp->n_layers, hp->n_embd, hp->n_heads, hp->n_kv_heads,
             hp->head_size, hp->n_vocab,
             (unsigned long long)qn_checkpoint_file_size(spec->checkpoint),
             (unsigned long long)hash);
}

static bool file_name(const char *folder, const struct qn_machine_key *machine, char *path,
                      size_t size) {
    char text[256];
    qn_machine_key_text(machine, text, sizeof text);
    return qn_cache_path(folder, "tune", text, path, size);
}

bool qn_tune_store_has_machine(const char *folder, const struct qn_machine_key *machine) {
    char path[PATH_MAX];
    return file_name(folder, machine, path, sizeof path) && access(path, R_OK) == 0;
}

/* ---- the file ---- */

static bool same_text(const json_t *object, const char *name, const char *text) {
    const char *const found = json_string_value(json_object_get(object, name));
    return found && strcmp(found, text) == 0;
}

/* The whole file, or NULL when there is none of this machine. */
static json_t *load(const char *path, const struct qn_machine_key *machine) {
    json_t *const file = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    if (file && same_text(file, "cpu", machine->cpu) &&
        same_text(file, "microcode", machine->microcode) &&
        json_is_object(json_object_get(file, "models")))
        return file;
    json_decref(file);
    return NULL;
}

static bool within(int value, int least, int most) {
    return least <= value && value <= most;
}

bool qn_tune_store_read(const char *folder, const struct qn_tune_key *key, struct qn_tuned *tuned) {
    char path[PATH_MAX];
    if (!file_name(folder, &key->machine, path, sizeof path)) return false;
    json_t *const file = load(path, &key->machine);
    json_t *const model = json_object_get(json_object_get(file, "models"), key->model);
    json_int_t when = 0;
    *tuned = (struct qn_tuned){0};
    const bool read =
        model &&
        json_unpack(model, "{s:i, s:i, s:i, s:i, s:F, s:F, s:I}", "threads", &tuned->n_threads,
                    "threads_batch", &tuned->n_threads_batch, "ubatch", &tuned->n_ubatch, "spin_us",
                    &tuned->spin_us, "prefill", &tuned->prefill, "decode", &tuned->decode,
                    "measured_at", &when) == 0 &&
        within(tuned->n_threads, 1, QN_POOL_MAX_THREADS) &&
        within(tuned->n_threads_batch, 1, QN_POOL_MAX_THREADS) &&
        within(tuned->n_ubatch, 1, 1 << 16) && within(tuned->spin_us, 0, 1000000);
    tuned->measured_at = when;
    json_decref(file);
    return read;
}

static enum qn_status fail(const char *folder, int reason, struct qn_error *err) {
    return qn_fail(err, QN_IO, "what tuning found cannot be kept in %s: %s", folder,
                   strerror(reason));
}

enum qn_status qn_tune_store_check(const char *folder, struct qn_error *err) {
    return qn_cache_is_writable(folder) ? QN_OK : fail(folder, errno, err);
}

/* value: stolen; NULL: the model is taken out. */
static enum qn_status change(const char *folder, const struct qn_tune_key *key, json_t *value,
                             bool *found, struct qn_error *err) {
    char path[PATH_MAX];
    const bool named = file_name(folder, &key->machine, path, sizeof path);
    json_t *file = named ? load(path, &key->machine) : NULL;
    *found = json_object_get(json_object_get(file, "models"), key->model) != NULL;
    if (!value && !*found) {
        json_decref(file);
        return QN_OK;
    }
    if (!file)
        file = json_pack("{s:s, s:s, s:{}}", "cpu", key->machine.cpu, "microcode",
                         key->machine.microcode, "models");
    json_t *const models = json_object_get(file, "models");
    if (value)
        json_object_set_new(models, key->model, value);
    else
        json_object_del(models, key->model);
    errno = named ? 0 : ENAMETOOLONG;
    const bool done = named && (json_object_size(models) ? qn_cache_write(folder, path, file)
                                                         : unlink(path) == 0);
    const int reason = errno;
    json_decref(file);
    return done ? QN_OK : fail(folder, reason, err);
}

enum qn_status qn_tune_store_write(const char *folder, const struct qn_tune_key *key,
                                   const struct qn_tuned *tuned, struct qn_error *err) {
    json_t *const value = json_pack(
        "{s:i, s:i, s:i, s:i, s:f, s:f, s:I}", "threads", tuned->n_threads, "threads_batch",
        tuned->n_threads_batch, "ubatch", tuned->n_ubatch, "spin_us", tuned->spin_us, "prefill",
        tuned->prefill, "decode", tuned->decode, "measured_at", (json_int_t)tuned->measured_at);
    bool found;
    if (!value) return qn_fail(err, QN_NO_MEMORY, "no memory for what tuning found");
    return change(folder, key, value, &found, err);
}

enum qn_status qn_tune_store_forget(const char *folder, const struct qn_tune_key *key, bool *found,
                                    struct qn_error *err) {
    return change(folder, key, NULL, found, err);
}
