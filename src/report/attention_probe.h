/* SPDX-License-Identifier: Apache-2.0
 *
 * The weights that attention gives to positions, measured: the session's own kernel runs on the
 * queries and keys of a real pass, with values that are rows of the identity matrix, so that its
 * output is the weights themselves. Nothing is computed a second way.
 */
#ifndef QN_REPORT_ATTENTION_PROBE_H
#define QN_REPORT_ATTENTION_PROBE_H

#include "run/session.h"

struct qn_attention_probe {
    struct qn_session *session; /* has cached n positions */
    int n, n_slots;             /* positions; whole blocks of them */
    float *q;                   /* [n_layers][n][H D] what attention multiplied with the keys */
    int32_t *positions;         /* [n] 0, 1, ... */
};

/* Evaluates ids [n]. Error: QN_NO_MEMORY, and those of sessions. */
enum qn_status qn_attention_probe_open(struct qn_model *model, enum qn_cache cache,
                                       const int32_t *ids, int n, struct qn_attention_probe *out,
                                       struct qn_error *err);
void qn_attention_probe_close(struct qn_attention_probe *probe); /* idempotent when zeroed */

/* Bytes that qn_attention_weights needs at scratch, 64-byte aligned; each thread its own. */
size_t qn_attention_scratch_size(const struct qn_attention_probe *probe);
/* weights [n][n_slots]: of row m, what position m gives to each position of the cache, those after
 * it and those behind the last one included. */
void qn_attention_weights(const struct qn_attention_probe *probe, int layer, int head,
                          void *scratch, float *weights);

/* The same by the definition and the hyperparameters, in double, from the same queries and keys:
 * weights [n][n_slots], and by how much a kernel that works in float may be off: bounds [n] of row
 * m, relative to a weight.
 */
void qn_attention_expected(const struct qn_attention_probe *probe, int layer, int head,
                           double *weights, double *bounds);

/* Share of a weight by which the cache's type alone may change the identity matrix. */
double qn_attention_value_error(enum qn_cache cache);
/* Share of a row's largest weight by which each may be off because weights became integers, and of
 * their sum by which that may be. */
double qn_attention_weight_error(enum qn_cache cache);
double qn_attention_sum_error(enum qn_cache cache);

#endif
