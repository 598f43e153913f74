/* SPDX-License-Identifier: Apache-2.0
 *
 * Fills a model's arena: matrices are packed into tiles for the chosen kernels, vectors become
 * floats. Each thread packs the tiles that it will multiply when decoding, so that their pages
 * are first touched on its memory node.
 */
#ifndef QN_MODELS_WEIGHTS_H
#define QN_MODELS_WEIGHTS_H

#include "models/model.h"

/* Errors: QN_CANCELLED when progress returned false. */
enum qn_status qn_weights_load(struct qn_model *model, bool (*progress)(void *, double),
                               void *context, struct qn_error *err);

#endif
