/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/checkpoint.h"

#include <stdlib.h>

#include "formats/folder.h"

struct qn_checkpoint { /* one of the two is NULL */
    struct qn_gguf *gguf;
    struct qn_folder *folder;
};

static enum qn_status open_path(const char *path, bool weights, struct qn_checkpoint **out,
                                struct qn_error *err) {
    *out = NULL;
    struct qn_checkpoint *const checkpoint = calloc(1, sizeof *checkpoint);
    if (!checkpoint) return qn_fail(err, QN_NO_MEMORY, "no memory for the model's files");
    const enum qn_status status = qn_folder_is(path)
                                      ? qn_folder_open(path, weights, &checkpoint->folder, err)
                                      : qn_gguf_open(path, &checkpoint->gguf, err);
    if (status == QN_OK)
        *out = checkpoint;
    else
        free(checkpoint);
    return status;
}

enum qn_status qn_checkpoint_open(const char *path, struct qn_checkpoint **out,
                                  struct qn_error *err) {
    return open_path(path, true, out, err);
}

enum qn_status qn_checkpoint_open_vocab(const char *path, struct qn_checkpoint **out,
                                        struct qn_error *err) {
    return open_path(path, false, out, err);
}

void qn_checkpoint_close(struct qn_checkpoint *checkpoint) {
    if (!checkpoint) return;
    qn_gguf_close(checkpoint->gguf);
    qn_folder_close(checkpoint->folder);
    free(checkpoint);
}

const struct qn_gguf *qn_checkpoint_gguf(const struct qn_checkpoint *checkpoint) {
    return checkpoint->gguf;
}

const char *qn_checkpoint_folder(const struct qn_checkpoint *checkpoint) {
    return checkpoint->folder ? qn_folder_path(checkpoint->folder) : NULL;
}

const json_t *qn_checkpoint_config(const struct qn_checkpoint *checkpoint) {
    return checkpoint->folder ? qn_folder_config(checkpoint->folder) : NULL;
}

const char *qn_checkpoint_format(const struct qn_checkpoint *checkpoint) {
    if (checkpoint->folder) return qn_folder_format(checkpoint->folder);
    return qn_gguf_version(checkpoint->gguf) == 2 ? "GGUF v2" : "GGUF v3";
}

size_t qn_checkpoint_n_tensors(const struct qn_checkpoint *checkpoint) {
    return checkpoint->folder ? qn_folder_n_tensors(checkpoint->folder)
                              : qn_gguf_n_tensors(checkpoint->gguf);
}

const struct qn_tensor *qn_checkpoint_tensor_at(const struct qn_checkpoint *checkpoint, size_t i) {
    return checkpoint->folder ? qn_folder_tensor_at(checkpoint->folder, i)
                              : qn_gguf_tensor_at(checkpoint->gguf, i);
}

const struct qn_tensor *qn_checkpoint_find_tensor(const struct qn_checkpoint *checkpoint,
                                                  const char *name) {
    return checkpoint->folder ? qn_folder_find_tensor(checkpoint->folder, name)
                              : qn_gguf_find_tensor(checkpoint->gguf, name);
}

const char *qn_checkpoint_left_out(const struct qn_checkpoint *checkpoint, const char *name) {
    return checkpoint->folder ? qn_folder_left_out(checkpoint->folder, name) : NULL;
}

size_t qn_checkpoint_n_left_out(const struct qn_checkpoint *checkpoint) {
    return checkpoint->folder ? qn_folder_n_left_out(checkpoint->folder) : 0;
}

const char *qn_checkpoint_left_out_at(const struct qn_checkpoint *checkpoint, size_t i,
                                      const char **why) {
    return qn_folder_left_out_at(checkpoint->folder, i, why);
}

size_t qn_checkpoint_n_files(const struct qn_checkpoint *checkpoint) {
    return checkpoint->folder ? qn_folder_n_files(checkpoint->folder)
                              : qn_gguf_n_files(checkpoint->gguf);
}

const struct qn_file_map *qn_checkpoint_file_at(const struct qn_checkpoint *checkpoint, size_t i) {
    return checkpoint->folder ? qn_folder_file_at(checkpoint->folder, i)
                              : qn_gguf_file_at(checkpoint->gguf, i);
}

size_t qn_checkpoint_file_size(const struct qn_checkpoint *checkpoint) {
    return checkpoint->folder ? qn_folder_file_size(checkpoint->folder)
                              : qn_gguf_file_size(checkpoint->gguf);
}

enum qn_status qn_checkpoint_check_unchanged(const struct qn_checkpoint *checkpoint,
                                             struct qn_error *err) {
    return checkpoint->folder ? qn_folder_check_unchanged(checkpoint->folder, err)
                              : qn_gguf_check_unchanged(checkpoint->gguf, err);
}

void qn_checkpoint_prefetch(const struct qn_checkpoint *checkpoint, const void *data, size_t size) {
    if (checkpoint->folder)
        qn_folder_prefetch(checkpoint->folder, data, size);
    else
        qn_gguf_prefetch(checkpoint->gguf, data, size);
}

void qn_checkpoint_release(const struct qn_checkpoint *checkpoint, const void *data, size_t size) {
    if (checkpoint->folder)
        qn_folder_release(checkpoint->folder, data, size);
    else
        qn_gguf_release(checkpoint->gguf, data, size);
}
