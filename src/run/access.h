/* SPDX-License-Identifier: Apache-2.0
 *
 * From the public handle of a model to what is behind it, for reports and programs of this project
 * that look inside.
 */
#ifndef QN_RUN_ACCESS_H
#define QN_RUN_ACCESS_H

#include "models/model.h"
#include "quern.h"

/* Valid as long as the handle. */
struct qn_model *qn_model_of(struct quern_model *model);

#endif
