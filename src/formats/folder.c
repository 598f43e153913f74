/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/json_file.h"
#include "formats/safetensors.h"
#include "formats/shard_index.h"
#include "formats/torch_file.h"

enum { MAX_CONFIG_SIZE = 16 << 20 }; /* real ones have a few KB */

struct format {
    const char *name, *suffix;
    const char *file, *index; /* weights in one file; the index of weights in several */
    enum qn_status (*read)(struct qn_tensor_file *file, struct qn_error *err);
};

/* In the order in which they are looked for. */
static const struct format formats[] = {
    {"safetensors", ".safetensors", "model.safetensors", "model.safetensors.index.json",
     qn_safetensors_read},
    {"PyTorch", ".bin", "pytorch_model.bin", "pytorch_model.bin.index.json", qn_torch_read},
};
enum { N_FORMATS = sizeof formats / sizeof *formats };

struct qn_folder {
    char *path;
    json_t *config;
    const struct format *format; /* NULL: opened without weights */
    size_t n_files;
    struct qn_tensor_file *files; /* [n_files] */
    size_t n_tensors;
    const struct qn_tensor **tensors; /* [n_tensors], in the order of the files; none left out */
    size_t n_left_out;
    const struct qn_stored_tensor **left_out; /* [n_left_out], in the order of the files */
    size_t n_stored;
    const struct qn_stored_tensor **by_name; /* [n_stored], both kinds */
};

/* ---- paths ---- */

static bool ends_in(const char *path, const char *suffix) {
    const size_t length = strlen(path), size = strlen(suffix);
    return length > size && strcmp(path + length - size, suffix) == 0;
}

bool qn_folder_is(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return false;
    if (S_ISDIR(info.st_mode)) return true;
    for (int i = 0; i < N_FORMATS; i++)
        if (ends_in(path, formats[i].suffix)) return true;
    return false;
}

/* Splits a path into folder (allocated) and file: what follows the last slash of a path that is
 * not a folder's, else "". */
static enum qn_status split_path(const char *path, char **folder, const char **file,
                                 struct qn_error *err) {
    struct stat info;
    size_t size = strlen(path);
    *file = path + size;
    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode)) {
        const char *const slash = strrchr(path, '/');
        *file = slash ? slash + 1 : path;
        size = (size_t)(*file - path);
    }
    while (size > 1 && path[size - 1] == '/') size--;
    *folder = size ? strndup(path, size) : strdup(".");
    return *folder ? QN_OK : qn_fail(err, QN_NO_MEMORY, "no memory for a path");
}

/* ---- opening files ---- */

static enum qn_status open_file(struct qn_folder *folder, const char *name,
                                struct qn_tensor_file *file, struct qn_error *err) {
    char *path;
    if (asprintf(&path, "%s/%s", folder->path, name) < 0)
        return qn_fail(err, QN_NO_MEMORY, "no memory for a path");
    enum qn_status status = qn_tensor_file_open(path, file, err);
    free(path);
    if (status == QN_OK) status = folder->format->read(file, err);
    return status;
}

static enum qn_status open_files(struct qn_folder *folder, const char *const *names, size_t n,
                                 struct qn_error *err) {
    folder->files = calloc(n, sizeof *folder->files);
    if (!folder->files) return qn_fail(err, QN_NO_MEMORY, "no memory for %zu files", n);
    for (; folder->n_files < n; folder->n_files++) {
        struct qn_tensor_file *const file = &folder->files[folder->n_files];
        const enum qn_status status = open_file(folder, names[folder->n_files], file, err);
        if (status == QN_OK) continue;
        qn_tensor_file_close(file);
        return status;
    }
    return QN_OK;
}

/* ---- joining the tensors ---- */

static int compare_names(const void *a, const void *b) {
    const struct qn_stored_tensor *const *x = a, *const *y = b;
    return strcmp((*x)->tensor.name, (*y)->tensor.name);
}

static const struct qn_stored_tensor *find(const struct qn_folder *folder, const char *name) {
    const struct qn_stored_tensor wanted = {.tensor.name = name}, *const pointer = &wanted;
    if (folder->n_stored == 0) return NULL;
    const struct qn_stored_tensor *const *const found =
        bsearch(&pointer, folder->by_name, folder->n_stored, sizeof(*found), compare_names);
    return found ? *found : NULL;
}

/* Of shards, a tensor is the one in the file that the index gives it to. */
static bool is_listed(const struct qn_shard_index *index, size_t file, const char *name) {
    const char *const found = qn_shard_index_find(index, name);
    return found && strcmp(found, index->files[file]) == 0;
}

/* Lists the tensors of all files; index is NULL unless they are shards. */
static enum qn_status join_files(struct qn_folder *folder, const struct qn_shard_index *index,
                                 struct qn_error *err) {
    size_t n = 0;
    for (size_t f = 0; f < folder->n_files; f++) n += folder->files[f].n_tensors;
    folder->tensors = calloc(n + 1, sizeof *folder->tensors);
    folder->left_out = calloc(n + 1, sizeof *folder->left_out);
    folder->by_name = calloc(n + 1, sizeof *folder->by_name);
    if (!folder->tensors || !folder->left_out || !folder->by_name)
        return qn_fail(err, QN_NO_MEMORY, "no memory for %zu tensors", n);
    for (size_t f = 0; f < folder->n_files; f++)
        for (size_t i = 0; i < folder->files[f].n_tensors; i++) {
            const struct qn_stored_tensor *const stored = &folder->files[f].tensors[i];
            if (index && !is_listed(index, f, stored->tensor.name)) continue;
            folder->by_name[folder->n_stored++] = stored;
            if (stored->left_out)
                folder->left_out[folder->n_left_out++] = stored;
            else
                folder->tensors[folder->n_tensors++] = &stored->tensor;
        }
    qsort(folder->by_name, folder->n_stored, sizeof *folder->by_name, compare_names);
    for (size_t i = 1; i < folder->n_stored; i++)
        if (compare_names(&folder->by_name[i - 1], &folder->by_name[i]) == 0)
            return qn_fail(err, QN_BAD_FILE, "%s: holds the tensor '%.80s' twice", folder->path,
                           folder->by_name[i]->tensor.name);
    return QN_OK;
}

static enum qn_status check_shards(const struct qn_folder *folder,
                                   const struct qn_shard_index *index, struct qn_error *err) {
    const char *tensor;
    json_t *file;
    json_object_foreach(index->weight_map, tensor, file) {
        if (!find(folder, tensor))
            return qn_fail(err, QN_BAD_FILE, "%s/%s: has no tensor '%.80s', which %s says it holds",
                           folder->path, json_string_value(file), tensor, folder->format->index);
    }
    return QN_OK;
}

/* ---- opening ---- */

static enum qn_status has_file(const struct qn_folder *folder, const char *name, bool *found,
                               struct qn_error *err) {
    char *path;
    struct stat info;
    if (asprintf(&path, "%s/%s", folder->path, name) < 0)
        return qn_fail(err, QN_NO_MEMORY, "no memory for a path");
    *found = stat(path, &info) == 0;
    free(path);
    return QN_OK;
}

static enum qn_status find_weights(struct qn_folder *folder, bool *sharded, struct qn_error *err) {
    bool found;
    for (int i = 0; i < N_FORMATS; i++) {
        folder->format = &formats[i];
        *sharded = false;
        QN_TRY(has_file(folder, formats[i].file, &found, err));
        if (found) return QN_OK;
        *sharded = true;
        QN_TRY(has_file(folder, formats[i].index, &found, err));
        if (found) return QN_OK;
    }
    return qn_fail(err, QN_NOT_FOUND,
                   "%s: holds no weights: neither model.safetensors nor pytorch_model.bin, nor "
                   "either's .index.json",
                   folder->path);
}

/* A path to a file means that file, or the shards that it belongs to. */
static enum qn_status check_given(const struct qn_folder *folder, const char *given,
                                  const struct qn_shard_index *index, struct qn_error *err) {
    const char *const *const names = index ? index->files : &folder->format->file;
    for (size_t i = 0; i < folder->n_files; i++)
        if (strcmp(given, names[i]) == 0) return QN_OK;
    return qn_fail(err, QN_BAD_ARGUMENT,
                   "%s/%s: is not where the weights of its folder are read from; that is %s",
                   folder->path, given, index ? folder->format->index : folder->format->file);
}

static enum qn_status open_weights(struct qn_folder *folder, const char *given,
                                   struct qn_error *err) {
    bool sharded;
    QN_TRY(find_weights(folder, &sharded, err));
    struct qn_shard_index index = {0};
    enum qn_status status = QN_OK;
    if (sharded) status = qn_shard_index_read(folder->path, folder->format->index, &index, err);
    const struct qn_shard_index *const shards = sharded ? &index : NULL;
    if (status == QN_OK)
        status = sharded ? open_files(folder, index.files, index.n_files, err)
                         : open_files(folder, &folder->format->file, 1, err);
    if (status == QN_OK && *given) status = check_given(folder, given, shards, err);
    if (status == QN_OK) status = join_files(folder, shards, err);
    if (status == QN_OK && sharded) status = check_shards(folder, &index, err);
    qn_shard_index_free(&index);
    return status;
}

static enum qn_status read_config(struct qn_folder *folder, struct qn_error *err) {
    struct qn_error cause;
    const enum qn_status status =
        qn_json_read(folder->path, "config.json", MAX_CONFIG_SIZE, &folder->config, &cause);
    if (status == QN_OK) return QN_OK;
    if (status != QN_NOT_FOUND) return qn_fail(err, status, "%s", cause.message);
    return qn_fail(err, status,
                   "%s: has no config.json; a model is a GGUF file, or a folder with config.json "
                   "and model.safetensors or pytorch_model.bin",
                   folder->path);
}

enum qn_status qn_folder_open(const char *path, bool weights, struct qn_folder **out,
                              struct qn_error *err) {
    *out = NULL;
    const char *given;
    struct qn_folder *const folder = calloc(1, sizeof *folder);
    if (!folder) return qn_fail(err, QN_NO_MEMORY, "no memory for the model's files");
    enum qn_status status = split_path(path, &folder->path, &given, err);
    if (status == QN_OK) status = read_config(folder, err);
    if (status == QN_OK && weights) status = open_weights(folder, given, err);
    if (status == QN_OK)
        *out = folder;
    else
        qn_folder_close(folder);
    return status;
}

void qn_folder_close(struct qn_folder *folder) {
    if (!folder) return;
    for (size_t i = 0; i < folder->n_files; i++) qn_tensor_file_close(&folder->files[i]);
    free(folder->files);
    free(folder->tensors);
    free(folder->left_out);
    free(folder->by_name);
    json_decref(folder->config);
    free(folder->path);
    free(folder);
}

/* ---- lookups ---- */

const char *qn_folder_path(const struct qn_folder *folder) {
    return folder->path;
}

const json_t *qn_folder_config(const struct qn_folder *folder) {
    return folder->config;
}

const char *qn_folder_format(const struct qn_folder *folder) {
    return folder->format ? folder->format->name : "Hugging Face";
}

size_t qn_folder_n_tensors(const struct qn_folder *folder) {
    return folder->n_tensors;
}

const struct qn_tensor *qn_folder_tensor_at(const struct qn_folder *folder, size_t i) {
    return folder->tensors[i];
}

const struct qn_tensor *qn_folder_find_tensor(const struct qn_folder *folder, const char *name) {
    const struct qn_stored_tensor *const stored = find(folder, name);
    return stored && !stored->left_out ? &stored->tensor : NULL;
}

const char *qn_folder_left_out(const struct qn_folder *folder, const char *name) {
    const struct qn_stored_tensor *const stored = find(folder, name);
    return stored ? stored->left_out : NULL;
}

size_t qn_folder_n_left_out(const struct qn_folder *folder) {
    return folder->n_left_out;
}

const char *qn_folder_left_out_at(const struct qn_folder *folder, size_t i, const char **why) {
    *why = folder->left_out[i]->left_out;
    return folder->left_out[i]->tensor.name;
}

/* ---- files ---- */

size_t qn_folder_n_files(const struct qn_folder *folder) {
    return folder->n_files;
}

const struct qn_file_map *qn_folder_file_at(const struct qn_folder *folder, size_t i) {
    return &folder->files[i].map;
}

size_t qn_folder_file_size(const struct qn_folder *folder) {
    size_t size = 0;
    for (size_t i = 0; i < folder->n_files; i++) size += folder->files[i].size;
    return size;
}

enum qn_status qn_folder_check_unchanged(const struct qn_folder *folder, struct qn_error *err) {
    for (size_t i = 0; i < folder->n_files; i++)
        QN_TRY(qn_file_map_check(&folder->files[i].map, folder->files[i].path, err));
    return QN_OK;
}

/* The file whose mapping holds the bytes. */
static const struct qn_tensor_file *file_of(const struct qn_folder *folder, const void *data) {
    const uintptr_t at = (uintptr_t)data;
    const struct qn_tensor_file *file = folder->files;
    while (at < (uintptr_t)file->data || at >= (uintptr_t)file->data + file->size) file++;
    return file;
}

void qn_folder_prefetch(const struct qn_folder *folder, const void *data, size_t size) {
    const struct qn_tensor_file *const file = file_of(folder, data);
    qn_file_map_prefetch(&file->map, (size_t)((const uint8_t *)data - file->data), size);
}

void qn_folder_release(const struct qn_folder *folder, const void *data, size_t size) {
    const struct qn_tensor_file *const file = file_of(folder, data);
    qn_file_map_release(&file->map, (size_t)((const uint8_t *)data - file->data), size);
}
