/* SPDX-License-Identifier: Apache-2.0
 *
 * Norms, and what becomes of heads of Q, K and V between their product and attention.
 */
#ifndef QN_RUN_HEADS_H
#define QN_RUN_HEADS_H

#include "run/executor.h"

/* y [k] <- norm of x [k], which may be y: the role's weight, and for LayerNorm the bias behind it.
 */
void qn_norm(const struct qn_executor *e, enum qn_role role, int layer, const float *x, int k,
             float *y);

/* Heads of Q or K that lie one behind the other at x [n_heads][D] become what attention multiplies:
 * normalized one by one where the family does so (norm: role of the weight), then rotated by the
 * angles of token m where the layer does so. */
void qn_finish_heads(const struct qn_executor *e, enum qn_role norm, int layer, float *x,
                     int n_heads, int m);

/* Heads [h0, h1) of token m's row [Hkv D] of K or V (id) go to the cache; those of K are finished
 * before. */
void qn_store_heads(const struct qn_executor *e, int layer, enum qn_buffer_id id, float *row,
                    int h0, int h1, int m);

/* Attention of a layer by query heads [h0, h1), which share a KV head, over what a sequence has
 * cached; the caller adds the tokens: q, out, their strides, pos and m. */
struct qn_attention qn_attention_of(const struct qn_executor *e, int layer, int sequence, int h0,
                                    int h1);

#endif
