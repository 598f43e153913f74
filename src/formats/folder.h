/* SPDX-License-Identifier: Apache-2.0
 *
 * A Hugging Face folder: config.json, and beside it the weights as model.safetensors, as
 * pytorch_model.bin, or as shards that an index names. Files may be links, as in the hub's cache.
 */
#ifndef QN_FORMATS_FOLDER_H
#define QN_FORMATS_FOLDER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "formats/tensor.h"

struct qn_folder;

/* Whether qn_folder_open is to be asked: path is a folder, or a file named *.safetensors or
 * *.bin. */
bool qn_folder_is(const char *path);
/* path: the folder, or a file of its weights. Of the weights the first of these is read:
 * model.safetensors, model.safetensors.index.json, pytorch_model.bin,
 * pytorch_model.bin.index.json; none when `weights` is false. Of shards, a tensor is the one in
 * the file that the index gives it to; what else the shards hold is no part of the model.
 * Errors: QN_NOT_FOUND (config.json, weights or a shard), QN_BAD_ARGUMENT (path is a file, but not
 * of the weights that the folder's are read from), QN_IO, QN_BAD_FILE, QN_UNSUPPORTED,
 * QN_NO_MEMORY. */
enum qn_status qn_folder_open(const char *path, bool weights, struct qn_folder **out,
                              struct qn_error *err);
void qn_folder_close(struct qn_folder *folder); /* NULL is allowed */

const char *qn_folder_path(const struct qn_folder *folder);     /* no slash at its end */
const json_t *qn_folder_config(const struct qn_folder *folder); /* borrowed */
/* "safetensors", "PyTorch"; "Hugging Face" without weights. */
const char *qn_folder_format(const struct qn_folder *folder);

size_t qn_folder_n_tensors(const struct qn_folder *folder);
const struct qn_tensor *qn_folder_tensor_at(const struct qn_folder *folder, size_t i);
/* NULL when there is none of that name, or it is left out. */
const struct qn_tensor *qn_folder_find_tensor(const struct qn_folder *folder, const char *name);
/* As of struct qn_checkpoint. */
const char *qn_folder_left_out(const struct qn_folder *folder, const char *name);
size_t qn_folder_n_left_out(const struct qn_folder *folder);
const char *qn_folder_left_out_at(const struct qn_folder *folder, size_t i, const char **why);

size_t qn_folder_n_files(const struct qn_folder *folder);
const struct qn_file_map *qn_folder_file_at(const struct qn_folder *folder, size_t i);
size_t qn_folder_file_size(const struct qn_folder *folder); /* bytes of all */
/* As of struct qn_checkpoint. */
enum qn_status qn_folder_check_unchanged(const struct qn_folder *folder, struct qn_error *err);
void qn_folder_prefetch(const struct qn_folder *folder, const void *data, size_t size);
void qn_folder_release(const struct qn_folder *folder, const void *data, size_t size);

#endif
