/* SPDX-License-Identifier: Apache-2.0
 *
 * Which experts work on which tokens. A token chooses n_used of n_experts; each choice is a slot,
 * a row of the experts' products. Slots are numbered so that those of one expert are consecutive,
 * and an expert multiplies all its tokens at once.
 */
#ifndef QN_RUN_SLOTS_H
#define QN_RUN_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The n_used largest of the probabilities p [n_experts], 1 <= n_used <= n_experts: their experts to
 * ids [n_used], rising, and their probabilities to weights [n_used]; divided by their sum where
 * renormalize is set. Of equal ones the lower expert is taken (transformers leaves that open).
 * Whatever p holds, the ids are valid and differ. */
void qn_slots_choose(const float *p, int n_experts, int n_used, bool renormalize, int32_t *ids,
                     float *weights);

struct qn_slots {
    int32_t *starts; /* [n_experts + 1] expert x has the slots [starts[x], starts[x + 1]) */
    int32_t *tokens; /* [M * n_used] the token of a slot; rising within an expert */
    int32_t *places; /* [M][n_used] the slot of a token's choice */
};

/* The arrays one behind the other in data, int32 [n_experts + 1 + 2 * m * n_used]. */
struct qn_slots qn_slots_at(void *data, int m, int n_experts, int n_used);

/* Numbers the slots of m tokens; the choices of token t are ids[t * ids_ld + i], i < n_used. */
void qn_slots_number(const int32_t *ids, size_t ids_ld, int m, int n_experts, int n_used,
                     const struct qn_slots *slots);

#endif
