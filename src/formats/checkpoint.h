/* SPDX-License-Identifier: Apache-2.0
 *
 * A model on disk, whatever its container: the tensors of a GGUF file, or of a Hugging Face folder
 * with config.json beside model.safetensors or pytorch_model.bin, whole or sharded. Who reads it
 * asks for tensors by name and need not know where they lie; hyperparameters and vocabulary differ
 * by container, and are read from gguf or from config and folder.
 */
#ifndef QN_FORMATS_CHECKPOINT_H
#define QN_FORMATS_CHECKPOINT_H

#include <jansson.h>
#include <stdbool.h>

#include "formats/gguf.h"

struct qn_checkpoint;

/* path: a GGUF file (any part of a split one), or a folder that holds config.json.
 * Errors: as qn_gguf_open and qn_folder_open. */
enum qn_status qn_checkpoint_open(const char *path, struct qn_checkpoint **out,
                                  struct qn_error *err);
/* A folder's config and vocabulary files without its weights; a GGUF file as above. */
enum qn_status qn_checkpoint_open_vocab(const char *path, struct qn_checkpoint **out,
                                        struct qn_error *err);
void qn_checkpoint_close(struct qn_checkpoint *checkpoint); /* NULL is allowed */

/* Of these one is NULL: the GGUF reader, or the folder's path. */
const struct qn_gguf *qn_checkpoint_gguf(const struct qn_checkpoint *checkpoint);
const char *qn_checkpoint_folder(const struct qn_checkpoint *checkpoint);
/* The object in a folder's config.json; NULL of a GGUF file. Borrowed. */
const json_t *qn_checkpoint_config(const struct qn_checkpoint *checkpoint);
/* "GGUF v3", "safetensors", "PyTorch"; for people. */
const char *qn_checkpoint_format(const struct qn_checkpoint *checkpoint);

size_t qn_checkpoint_n_tensors(const struct qn_checkpoint *checkpoint);
const struct qn_tensor *qn_checkpoint_tensor_at(const struct qn_checkpoint *checkpoint, size_t i);
/* NULL when there is none of that name. */
const struct qn_tensor *qn_checkpoint_find_tensor(const struct qn_checkpoint *checkpoint,
                                                  const char *name);
/* Why a folder's tensor is left out of the list: its element type ("I64", "F8_E4M3"), "no elements"
 * or "more than 4 dimensions". NULL when it is listed, or not there at all. */
const char *qn_checkpoint_left_out(const struct qn_checkpoint *checkpoint, const char *name);
size_t qn_checkpoint_n_left_out(const struct qn_checkpoint *checkpoint);
/* The name of one of them, and why. */
const char *qn_checkpoint_left_out_at(const struct qn_checkpoint *checkpoint, size_t i,
                                      const char **why);

size_t qn_checkpoint_n_files(const struct qn_checkpoint *checkpoint); /* that hold tensors */
/* One of them. */
const struct qn_file_map *qn_checkpoint_file_at(const struct qn_checkpoint *checkpoint, size_t i);
size_t qn_checkpoint_file_size(const struct qn_checkpoint *checkpoint); /* bytes of those */
/* QN_IO when a file was written since it was opened. To be asked after its data have been read. */
enum qn_status qn_checkpoint_check_unchanged(const struct qn_checkpoint *checkpoint,
                                             struct qn_error *err);
/* Tells the kernel that bytes [data, data + size), which lie in a tensor, will be read soon, or
 * will not be read again soon. */
void qn_checkpoint_prefetch(const struct qn_checkpoint *checkpoint, const void *data, size_t size);
void qn_checkpoint_release(const struct qn_checkpoint *checkpoint, const void *data, size_t size);

#endif
