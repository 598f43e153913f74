/* SPDX-License-Identifier: Apache-2.0
 *
 * From the public handles to what is behind them, for reports and programs of this project
 * that look inside.
 */
#ifndef QN_RUN_ACCESS_H
#define QN_RUN_ACCESS_H

#include "models/model.h"
#include "quern.h"
#include "run/session.h"

/* Valid as long as the handles. */
struct qn_model *qn_model_of(struct quern_model *model);
struct qn_session *qn_session_of(struct quern_session *session);

#endif
