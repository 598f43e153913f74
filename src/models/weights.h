/* SPDX-License-Identifier: Apache-2.0
 *
 * Fills a model's arena: matrices are packed into tiles for the chosen kernels, vectors become
 * floats. Each thread packs the tiles that it will multiply when decoding, so that their pages
 * are first touched on its memory node.
 */
#ifndef QN_MODELS_WEIGHTS_H
#define QN_MODELS_WEIGHTS_H

#include "models/model.h"

/* Offsets in the arena at which the node changes of the thread that touches it, rising; cuts as
 * below. Returns how many there are, and fills the first `capacity`. */
size_t qn_weights_seams(const struct qn_spec *spec, const struct qn_topology *topology,
                        int n_threads, const int *cuts, size_t *offsets, size_t capacity);

/* cuts [n_weights][model->n_threads + 1]: as of qn_model_options.divide; NULL: each thread of the
 * pool packs an even part. Errors: QN_CANCELLED when progress returned false. */
enum qn_status qn_weights_load(struct qn_model *model, const int *cuts,
                               bool (*progress)(void *, double), void *context,
                               struct qn_error *err);

#endif
