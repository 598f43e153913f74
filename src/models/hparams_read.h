/* SPDX-License-Identifier: Apache-2.0
 *
 * Where hyperparameters come from.
 */
#ifndef QN_MODELS_HPARAMS_READ_H
#define QN_MODELS_HPARAMS_READ_H

#include <jansson.h>

#include "formats/gguf.h"
#include "models/family.h"

/* Everything but n_vocab, which the embedding's shape gives. Errors name the key, what was found
 * and what is allowed. */
enum qn_status qn_hparams_from_gguf(const struct qn_gguf *gguf, const struct qn_family *family,
                                    struct qn_hparams *hparams, struct qn_error *err);
/* The same from the object in config.json, of a type of the family's. */
enum qn_status qn_hparams_from_config(const json_t *config, const struct qn_family *family,
                                      const struct qn_model_type *type, struct qn_hparams *hparams,
                                      struct qn_error *err);

/* The first step of both: the family's defaults. */
void qn_hparams_start(const struct qn_family *family, struct qn_hparams *hparams);
/* The last step of both: fills what files may leave out and checks what belongs together. */
enum qn_status qn_hparams_check(const struct qn_family *family, struct qn_hparams *hparams,
                                struct qn_error *err);

#endif
