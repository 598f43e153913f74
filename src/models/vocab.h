/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes the tokenizer of a checkpoint, from whatever its container keeps the vocabulary in.
 */
#ifndef QN_MODELS_VOCAB_H
#define QN_MODELS_VOCAB_H

#include "formats/checkpoint.h"
#include "text/tokenizer.h"

/* n_rows: of the embedding, INT_MAX where none is read. A folder's added tokens beyond it are left
 * out; tokens of the model itself, and those of GGUF files, are the caller's to compare. The
 * tokenizer does not refer to the files afterwards. Errors name the file and the entry. */
enum qn_status qn_vocab_read(const struct qn_checkpoint *checkpoint, int n_rows,
                             struct qn_tokenizer **out, struct qn_error *err);

#endif
