/* SPDX-License-Identifier: Apache-2.0
 *
 * What the numbers of a model's tensors look like, as the files hold them: one pass over all bytes
 * by all threads.
 */
#ifndef QN_REPORT_TENSOR_STATS_H
#define QN_REPORT_TENSOR_STATS_H

#include "models/model.h"

struct qn_tensor_stats {
    uint64_t n, n_zero, n_bad; /* elements; those that are 0; those that are NaN or infinite */
    uint64_t first_bad;        /* index of the first of these; of no meaning when n_bad is 0 */
    double min, max, sum, sum_squares; /* of the finite elements */
    uint64_t hash;                     /* of the bytes */
};

double qn_tensor_mean(const struct qn_tensor_stats *stats);
double qn_tensor_deviation(const struct qn_tensor_stats *stats);

/* stats [number of the checkpoint's tensors], in its order; the same for any number of threads.
 * Error: QN_NO_MEMORY. */
enum qn_status qn_tensor_stats_read(struct qn_model *model, struct qn_tensor_stats *stats,
                                    void (*progress)(void *context, double done), void *context,
                                    struct qn_error *err);

/* Tensors of the model's files. */
size_t qn_model_n_tensors(const struct qn_model *model);
const struct qn_tensor *qn_model_tensor_at(const struct qn_model *model, size_t i);

#endif
