/* SPDX-License-Identifier: Apache-2.0 */
#include "models/vocab.h"

#include "models/vocab_gguf.h"
#include "models/vocab_hf.h"

enum qn_status qn_vocab_read(const struct qn_checkpoint *checkpoint, int n_rows,
                             struct qn_tokenizer **out, struct qn_error *err) {
    const struct qn_gguf *const gguf = qn_checkpoint_gguf(checkpoint);
    if (gguf) return qn_vocab_gguf_read(gguf, out, err);
    return qn_vocab_hf_read(qn_checkpoint_folder(checkpoint), qn_checkpoint_config(checkpoint),
                            n_rows, out, err);
}
