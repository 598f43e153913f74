/* SPDX-License-Identifier: Apache-2.0
 *
 * Which types weights get while they are loaded: that of their values, which may be quantized, and
 * that they are packed as.
 */
#ifndef QN_MODELS_QUANTIZE_H
#define QN_MODELS_QUANTIZE_H

#include "base/status.h"
#include "models/roles.h"

/* A type's name in lower case; NULL, which leaves weights as they are stored, gives QN_TYPE_COUNT.
 * Error: QN_BAD_ARGUMENT, naming the types there are. */
enum qn_status qn_quantize_parse(const char *name, enum qn_type *type, struct qn_error *err);

/* The type that a weight of the role, stored as `stored` in rows of k, gets: `wanted` if it can be;
 * what is not quantized, or is already, stays as stored:
 *   vectors, embeddings (rows are looked up in the file) and the router of a mixture of experts,
 *   whose choices a small error can turn; rows that no block divides.
 * The head is not made smaller than Q6_K: its errors reach the logits directly. (SmolLM2-135M with
 * all else in Q4_0: KL to float weights 0.38 with a head of Q4_0, 0.265 of Q8_0, 0.263 of F16.)
 * Super-blocks need rows of a multiple of 256. Where they are not, a type with blocks of 32 takes
 * their place whose error is no larger (RMSE of normal weights over their deviation):
 *   Q2_K .260, Q3_K .143 -> Q4_0 .081; IQ4_XS .074 -> Q4_1 .070;
 *   Q4_K .070 -> Q5_0 .040; Q5_K .0343 -> Q5_1 .0336; Q6_K .0166 -> Q8_0 .0054.
 * Q4_1 would do for Q4_K, but models of such rows are small, where a tenth more bytes is little and
 * the error much: Qwen2.5-Coder-0.5B as Q4_K is 0.050 from its float logits by it, 0.022 by Q5_0.
 */
enum qn_type qn_quantize_type(enum qn_type wanted, enum qn_role role, enum qn_type stored, int k);

/* What it is packed as for the kernels of these bundles (1 << enum qn_isa): qn_type_at_load of what
 * may be quantized, else the type itself. */
enum qn_type qn_packed_type(enum qn_type type, enum qn_role role, int k, uint32_t bundles);

#endif
