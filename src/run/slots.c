/* SPDX-License-Identifier: Apache-2.0 */
#include "run/slots.h"

#include <string.h>

/* Insertion into a list that falls in probability; a later equal one stays behind. */
static void keep_largest(const float *p, int n_experts, int n_used, int32_t *ids, float *weights) {
    int count = 0;
    for (int32_t id = 0; id < n_experts; id++) {
        if (count == n_used && !(p[id] > weights[n_used - 1])) continue;
        int at = count < n_used ? count++ : n_used - 1;
        for (; at > 0 && p[id] > weights[at - 1]; at--) {
            weights[at] = weights[at - 1];
            ids[at] = ids[at - 1];
        }
        weights[at] = p[id];
        ids[at] = id;
    }
}

static void sort_by_id(int n_used, int32_t *ids, float *weights) {
    for (int i = 1; i < n_used; i++) {
        const int32_t id = ids[i];
        const float weight = weights[i];
        int at = i;
        for (; at > 0 && ids[at - 1] > id; at--) {
            ids[at] = ids[at - 1];
            weights[at] = weights[at - 1];
        }
        ids[at] = id;
        weights[at] = weight;
    }
}

void qn_slots_choose(const float *p, int n_experts, int n_used, bool renormalize, int32_t *ids,
                     float *weights) {
    keep_largest(p, n_experts, n_used, ids, weights);
    float sum = 0;
    for (int i = 0; i < n_used; i++) sum += weights[i];
    for (int i = 0; renormalize && i < n_used; i++) weights[i] /= sum;
    sort_by_id(n_used, ids, weights);
}

struct qn_slots qn_slots_at(void *data, int m, int n_experts, int n_used) {
    int32_t *const starts = data, *const tokens = starts + n_experts + 1;
    return (struct qn_slots){starts, tokens, tokens + (size_t)m * (size_t)n_used};
}

/* A counting sort: numbers of slots, then their running sum, which each slot taken moves on by one
 * and leaves at the start of the next expert. */
void qn_slots_number(const int32_t *ids, size_t ids_ld, int m, int n_experts, int n_used,
                     const struct qn_slots *slots) {
    int32_t *const starts = slots->starts;
    memset(starts, 0, ((size_t)n_experts + 1) * sizeof *starts);
    for (int t = 0; t < m; t++)
        for (int i = 0; i < n_used; i++) starts[ids[(size_t)t * ids_ld + (size_t)i] + 1]++;
    for (int x = 0; x < n_experts; x++) starts[x + 1] += starts[x];
    for (int t = 0; t < m; t++)
        for (int i = 0; i < n_used; i++) {
            const int32_t slot = starts[ids[(size_t)t * ids_ld + (size_t)i]]++;
            slots->tokens[slot] = t;
            slots->places[t * n_used + i] = slot;
        }
    memmove(starts + 1, starts, (size_t)n_experts * sizeof *starts);
    starts[0] = 0;
}
