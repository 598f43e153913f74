/* SPDX-License-Identifier: Apache-2.0 */
#include "run/claims.h"

#include <stdlib.h>
#include <string.h>

const uint8_t qn_claim_bounds[QN_CLAIM_PIECES + 1] = {0, 4, 6, 7, 8};

struct qn_claims *qn_claims_new(int n_threads, const struct qn_topology *topology) {
    const size_t size = sizeof(struct qn_claims) + (size_t)n_threads * sizeof(struct qn_claim);
    struct qn_claims *const claims = aligned_alloc(alignof(struct qn_claims), size);
    if (!claims) return NULL;
    memset(claims, 0, size);
    for (int i = 0, first = 0; i < n_threads; i++) {
        const bool floats = i >= topology->n_cores;
        const bool moves = i > 0 && i <= topology->n_cores &&
                           (floats || topology->cores[i].numa != topology->cores[i - 1].numa);
        if (moves) first = i;
        claims->threads[i].first = first;
        for (int k = first; k <= i; k++) claims->threads[k].end = i + 1;
    }
    return claims;
}

/* Takes `count` pieces, or all that are left. A piece's data is ordered by barriers: only that it
 * is claimed once matters here. */
static int claim(struct qn_claim *claim, uint64_t step, int count) {
    uint64_t word = atomic_load_explicit(&claim->word, memory_order_relaxed);
    for (;;) {
        const int taken = word >> 8 == step ? (int)(word & 255) : 0;
        const int left = QN_CLAIM_PIECES - taken;
        if (left == 0) return -1;
        const int now = taken + (count < left ? count : left);
        if (atomic_compare_exchange_weak_explicit(&claim->word, &word, step << 8 | (uint64_t)now,
                                                  memory_order_relaxed, memory_order_relaxed))
            return taken;
    }
}

int qn_claim_piece(struct qn_claim *share, uint64_t step) {
    return claim(share, step, 1);
}

int qn_claim_rest(struct qn_claim *share, uint64_t step) {
    return claim(share, step, QN_CLAIM_PIECES);
}

bool qn_claims_cut(const struct qn_claims *claims, uint64_t step) {
    return step % QN_CLAIM_SAMPLE == 0 ||
           step < atomic_load_explicit(&claims->uneven_until, memory_order_relaxed);
}

void qn_claims_found(struct qn_claims *claims, int thread, uint64_t step, bool found) {
    if (step % QN_CLAIM_SAMPLE != 0) return;
    int *const n_hits = &claims->threads[thread].n_hits;
    *n_hits = !found ? 0 : *n_hits < QN_CLAIM_HITS ? *n_hits + 1 : QN_CLAIM_HITS;
    if (*n_hits == QN_CLAIM_HITS)
        atomic_store_explicit(&claims->uneven_until, step + QN_CLAIM_SAMPLE * QN_CLAIM_LASTS,
                              memory_order_relaxed);
}
