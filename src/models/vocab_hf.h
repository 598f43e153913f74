/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a tokenizer from the files of a Hugging Face folder: tokenizer.json; else vocab.json and
 * merges.txt; else tokenizer.model; with tokenizer_config.json, generation_config.json and the
 * like beside them.
 */
#ifndef QN_MODELS_VOCAB_HF_H
#define QN_MODELS_VOCAB_HF_H

#include <jansson.h>

#include "text/tokenizer.h"

/* config: the object of the folder's config.json, borrowed, or NULL. n_rows: as for qn_vocab_read.
 * Errors name file and
 * component: QN_NOT_FOUND (the folder has no tokenizer), QN_BAD_FILE, QN_UNSUPPORTED (something
 * that this build would do otherwise than Hugging Face's tokenizers), QN_IO, QN_NO_MEMORY. */
enum qn_status qn_vocab_hf_read(const char *folder, const json_t *config, int n_rows,
                                struct qn_tokenizer **out, struct qn_error *err);

#endif
