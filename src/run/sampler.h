/* SPDX-License-Identifier: Apache-2.0
 *
 * Choice of the next token. The public face is in quern.h; here is the constructor that needs no
 * model, only the size of its vocabulary.
 */
#ifndef QN_RUN_SAMPLER_H
#define QN_RUN_SAMPLER_H

#include "base/status.h"
#include "quern.h"

/* options: NULL for the defaults. Errors: QN_BAD_ARGUMENT (an option out of its range, named),
 * QN_NO_MEMORY. Free with quern_sampler_free. */
enum qn_status qn_sampler_new(int n_vocab, const struct quern_sampler_options *options,
                              struct quern_sampler **out, struct qn_error *err);

/* quern_sampler_next; maxima: those of the logits (maxima.h), or NULL. */
int32_t qn_sampler_next(struct quern_sampler *sampler, const float *logits, const float *maxima);

#endif
