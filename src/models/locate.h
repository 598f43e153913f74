/* SPDX-License-Identifier: Apache-2.0
 *
 * Finds the tensors of a family's rules in a checkpoint, whatever its container calls them.
 */
#ifndef QN_MODELS_LOCATE_H
#define QN_MODELS_LOCATE_H

#include "models/spec.h"

/* Where one rule's weight lies: sources[0 .. parts) are filled, parts being the number of experts
 * for an expert's role and otherwise 1. *found is false when there is no such tensor and the
 * caller may go on. prefix: of names in Hugging Face files.
 * Errors: QN_BAD_FILE when the tensor is missing though needed, or of another shape or type than
 * the others of the role. */
enum qn_status qn_locate(const struct qn_spec *spec, const char *prefix, const struct qn_rule *rule,
                         int layer, bool needed, struct qn_source *sources, bool *found,
                         struct qn_error *err);

/* The prefix under which the checkpoint has the family's embedding; "" for GGUF files. NULL when
 * there is none. */
const char *qn_locate_prefix(const struct qn_checkpoint *checkpoint,
                             const struct qn_family *family);

/* A tensor for images or sound, which models of more than text have beside the language model. */
bool qn_locate_is_other(const char *name);

/* A tensor that holds no weight: a mask or a table that older files carry along. */
bool qn_locate_is_buffer(const char *name);

#endif
