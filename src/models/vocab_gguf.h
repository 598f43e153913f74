/* SPDX-License-Identifier: Apache-2.0
 *
 * Makes a tokenizer from the tokenizer.ggml.* keys of a GGUF file.
 */
#ifndef QN_MODELS_VOCAB_GGUF_H
#define QN_MODELS_VOCAB_GGUF_H

#include "formats/gguf.h"
#include "text/tokenizer.h"

/* Errors name the key. The tokenizer does not refer to the file afterwards. */
enum qn_status qn_vocab_gguf_read(const struct qn_gguf *gguf, struct qn_tokenizer **out,
                                  struct qn_error *err);

#endif
