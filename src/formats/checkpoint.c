/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/checkpoint.h"

#include <stdlib.h>

struct qn_checkpoint {
    struct qn_gguf *gguf;
};

enum qn_status qn_checkpoint_open(const char *path, struct qn_checkpoint **out,
                                  struct qn_error *err) {
    *out = NULL;
    struct qn_checkpoint *const checkpoint = calloc(1, sizeof *checkpoint);
    if (!checkpoint) return qn_fail(err, QN_NO_MEMORY, "no memory for the model's files");
    const enum qn_status status = qn_gguf_open(path, &checkpoint->gguf, err);
    if (status == QN_OK)
        *out = checkpoint;
    else
        free(checkpoint);
    return status;
}

enum qn_status qn_checkpoint_open_vocab(const char *path, struct qn_checkpoint **out,
                                        struct qn_error *err) {
    return qn_checkpoint_open(path, out, err);
}

void qn_checkpoint_close(struct qn_checkpoint *checkpoint) {
    if (!checkpoint) return;
    qn_gguf_close(checkpoint->gguf);
    free(checkpoint);
}

const struct qn_gguf *qn_checkpoint_gguf(const struct qn_checkpoint *checkpoint) {
    return checkpoint->gguf;
}

const char *qn_checkpoint_folder(const struct qn_checkpoint *checkpoint) {
    (void)checkpoint;
    return NULL;
}

const json_t *qn_checkpoint_config(const struct qn_checkpoint *checkpoint) {
    (void)checkpoint;
    return NULL;
}

const char *qn_checkpoint_format(const struct qn_checkpoint *checkpoint) {
    return qn_gguf_version(checkpoint->gguf) == 2 ? "GGUF v2" : "GGUF v3";
}

size_t qn_checkpoint_n_tensors(const struct qn_checkpoint *checkpoint) {
    return qn_gguf_n_tensors(checkpoint->gguf);
}

const struct qn_tensor *qn_checkpoint_tensor_at(const struct qn_checkpoint *checkpoint, size_t i) {
    return qn_gguf_tensor_at(checkpoint->gguf, i);
}

const struct qn_tensor *qn_checkpoint_find_tensor(const struct qn_checkpoint *checkpoint,
                                                  const char *name) {
    return qn_gguf_find_tensor(checkpoint->gguf, name);
}

size_t qn_checkpoint_n_files(const struct qn_checkpoint *checkpoint) {
    return qn_gguf_n_files(checkpoint->gguf);
}

size_t qn_checkpoint_file_size(const struct qn_checkpoint *checkpoint) {
    return qn_gguf_file_size(checkpoint->gguf);
}

enum qn_status qn_checkpoint_check_unchanged(const struct qn_checkpoint *checkpoint,
                                             struct qn_error *err) {
    return qn_gguf_check_unchanged(checkpoint->gguf, err);
}

void qn_checkpoint_prefetch(const struct qn_checkpoint *checkpoint, const void *data, size_t size) {
    qn_gguf_prefetch(checkpoint->gguf, data, size);
}

void qn_checkpoint_release(const struct qn_checkpoint *checkpoint, const void *data, size_t size) {
    qn_gguf_release(checkpoint->gguf, data, size);
}
