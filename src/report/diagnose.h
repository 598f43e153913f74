/* SPDX-License-Identifier: Apache-2.0
 *
 * Why do two tensors differ? Tries the ways in which models are commonly put together wrongly and
 * says which of them would make ours the reference's.
 */
#ifndef QN_REPORT_DIAGNOSE_H
#define QN_REPORT_DIAGNOSE_H

#include "report/reference.h"

/* Cosine of two vectors; 1 where both are zero, 0 where one is. NaN where they hold one. */
double qn_cosine(const float *a, const float *b, size_t n);

/* One sentence into text[capacity], or nothing when no guess fits. pair: the first that differs,
 * in the order of the forward pass. */
void qn_diagnose(const struct qn_model *model, const struct qn_reference *reference,
                 const struct qn_pair *pair, char *text, size_t capacity);

#endif
