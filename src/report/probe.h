/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions that are looked into: small ones made for a measurement, and what their caches hold.
 */
#ifndef QN_REPORT_PROBE_H
#define QN_REPORT_PROBE_H

#include "run/session.h"

/* A session of one sequence. */
enum qn_status qn_probe_new(struct qn_model *model, enum qn_cache cache, int n_ctx, int n_ubatch,
                            int n_logits, struct qn_session **out, struct qn_error *err);

/* Evaluates ids [n] where sequence 0 ends, `step` a call (0: all in one). Of each call the logits
 * of its last token are computed. */
enum qn_status qn_probe_eval(struct qn_session *session, const int32_t *ids, int n, int step,
                             struct qn_error *err);

/* What sequence 0 has cached of one KV head at a position: k, v float [D]. */
void qn_probe_cached(const struct qn_session *session, int layer, int kv_head, int position,
                     float *k, float *v);
/* Hash of what a layer holds at positions [0, n). */
uint64_t qn_probe_digest(const struct qn_session *session, int layer, int n);

/* Log probability of a token by logits [n_vocab]. */
double qn_probe_log_probability(const float *logits, int n_vocab, int32_t token);
int32_t qn_probe_argmax(const float *logits, int n_vocab);

#endif
