/* SPDX-License-Identifier: Apache-2.0 */
#include "models/pack_cache.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cache_folder.h"
#include "base/file_map.h"
#include "base/hash.h"
#include "kernels/pack.h"

enum { GRAIN_S = 2, N_SAMPLES = 64, SAMPLE_SIZE = 4096 };

static uint64_t hash_text(const char *text, uint64_t seed) {
    return qn_hash(text, strlen(text) + 1, seed);
}

/* ---- the model's files ------------------------------------------------------------------ */

static uint64_t hash_times(const struct qn_checkpoint *checkpoint) {
    uint64_t hash = 0;
    for (size_t i = 0; i < qn_checkpoint_n_files(checkpoint); i++) {
        const struct qn_file_map *const file = qn_checkpoint_file_at(checkpoint, i);
        const uint64_t values[] = {file->inode,
                                   file->size,
                                   (uint64_t)file->modified.tv_sec,
                                   (uint64_t)file->modified.tv_nsec,
                                   (uint64_t)file->changed.tv_sec,
                                   (uint64_t)file->changed.tv_nsec};
        hash = qn_hash(values, sizeof values, hash);
    }
    return hash;
}

/* The middle of every so many tensors. */
static uint64_t hash_samples(const struct qn_spec *spec, uint64_t hash) {
    const size_t step = spec->n_sources / N_SAMPLES + 1;
    for (size_t i = 0; i < spec->n_sources; i += step) {
        const struct qn_tensor *const tensor = spec->sources[i].tensor;
        const size_t size = tensor->size < SAMPLE_SIZE ? tensor->size : SAMPLE_SIZE;
        const char *const data = (const char *)tensor->data + (tensor->size - size) / 2;
        hash = qn_hash(data, size, hash);
    }
    return hash;
}

/* A change after this moment has another time than those hashed. */
static bool is_recent(const struct qn_checkpoint *checkpoint) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (size_t i = 0; i < qn_checkpoint_n_files(checkpoint); i++)
        if (qn_checkpoint_file_at(checkpoint, i)->changed.tv_sec + GRAIN_S >= now.tv_sec)
            return true;
    return false;
}

/* ---- the arena -------------------------------------------------------------------------- */

static uint64_t hash_layout(const struct qn_spec *spec) {
    uint64_t hash = hash_text(spec->family->name, qn_checkpoint_gguf(spec->checkpoint) != NULL);
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        const uint64_t values[] = {
            i,         (uint64_t)w->n, (uint64_t)w->k, (uint64_t)w->n_parts, w->type,
            w->packed, w->offset,      w->tile_size,   w->part_size};
        hash = qn_hash(values, sizeof values, hash);
        for (int part = 0; part < w->n_parts; part++) {
            const struct qn_source *const s = &w->sources[part];
            const uint64_t place[] = {s->tensor->type, (uint64_t)s->first, (uint64_t)s->group,
                                      (uint64_t)s->stride, s->transposed};
            hash = qn_hash(place, sizeof place, hash_text(s->tensor->name, hash));
        }
    }
    return hash;
}

/* ---- all -------------------------------------------------------------------------------- */

/* What the weights are made, so that each choice of kernels and of --quantize has a file. */
static uint64_t hash_types(const struct qn_spec *spec) {
    uint64_t hash = (uint64_t)spec->tile_rows;
    for (size_t i = 0; i < spec->n_weights; i++) {
        const uint64_t types[] = {spec->weights[i].type, spec->weights[i].packed};
        hash = qn_hash(types, sizeof types, hash);
    }
    return hash;
}

/* "tinyllama.gguf-0123456789abcdef.packed"; of a long name the beginning. */
static enum qn_status set_path(const char *folder, const char *model_path,
                               const struct qn_spec *spec, struct qn_pack_cache *cache,
                               struct qn_error *err) {
    char own[PATH_MAX];
    if (!*folder) {
        if (!qn_folder_of_caches("/packed", own, sizeof own))
            return qn_fail(err, QN_IO, "packed weights are not kept: %s",
                           errno == ENAMETOOLONG
                               ? "the name of their folder is too long"
                               : "neither XDG_CACHE_HOME nor HOME names a folder");
        folder = own;
    }
    char *const real = realpath(model_path, NULL);
    if (!real)
        return qn_fail(err, QN_IO, "%s: packed weights are not kept: %s", model_path,
                       strerror(errno));
    const uint64_t hash = hash_text(real, hash_types(spec));
    const int size = snprintf(cache->path, sizeof cache->path, "%s/%.80s-%016llx.packed", folder,
                              strrchr(real, '/') + 1, (unsigned long long)hash);
    free(real);
    if (size < (int)sizeof cache->path) return QN_OK;
    return qn_fail(err, QN_IO, "packed weights are not kept: the name of their folder is too long");
}

enum qn_status qn_pack_cache_find(const char *folder, const char *model_path,
                                  const struct qn_spec *spec, struct qn_pack_cache *cache,
                                  struct qn_error *err) {
    cache->recent = is_recent(spec->checkpoint);
    cache->key = (struct qn_packed_key){
        .version = QN_PACK_VERSION,
        .tile_rows = (uint64_t)spec->tile_rows,
        .files = hash_samples(spec, hash_times(spec->checkpoint)),
        .layout = hash_layout(spec),
        .size = spec->arena_size,
    };
    return set_path(folder, model_path, spec, cache, err);
}

enum qn_status qn_pack_cache_keep(const struct qn_pack_cache *cache, struct qn_pool *pool,
                                  const char *data, struct qn_error *err) {
    if (cache->recent)
        return qn_fail(err, QN_IO,
                       "packed weights are not kept this time: the model's files were changed less "
                       "than %d seconds ago",
                       GRAIN_S);
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(cache->path, '/') - cache->path),
             cache->path);
    if (!qn_folder_make(folder))
        return qn_fail(err, QN_IO, "%s: packed weights cannot be kept: %s", folder,
                       strerror(errno));
    return qn_packed_file_write(cache->path, &cache->key, pool, data, err);
}
