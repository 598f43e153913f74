/* SPDX-License-Identifier: Apache-2.0
 *
 * Work that threads own and may take from each other. Of a step, each thread has a share; a share
 * is cut into pieces, and every piece is claimed once. A thread claims those of its own share
 * first, which lie on its memory node; then what others on that node have left, so that a core that
 * is slower than the rest, or has less of a processor, holds them up by one piece and not by its
 * whole share. Who computes a piece changes no bit of it.
 *
 * Cutting shares costs some percent, so threads do it at few steps, as a sample, until one finds
 * in several samples in a row that others had work left; then at each step, as long as it helps.
 */
#ifndef QN_RUN_CLAIMS_H
#define QN_RUN_CLAIMS_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "host/topology.h"

/* Pieces of a share: a half, a quarter, two eighths. A thread of half the others' speed has its
 * first piece done when they have their shares. */
enum { QN_CLAIM_PIECES = 4, QN_CLAIM_PARTS = 8 };

/* In QN_CLAIM_PARTS-ths of a share, where piece i begins; i up to QN_CLAIM_PIECES. */
extern const uint8_t qn_claim_bounds[QN_CLAIM_PIECES + 1];

/* One step in QN_CLAIM_SAMPLE is a sample: a prime, so that each step of a model has its turn.
 * After QN_CLAIM_HITS in a row in which a thread could help, all steps are cut until
 * QN_CLAIM_SAMPLE * QN_CLAIM_LASTS steps have passed in which nobody could. */
enum { QN_CLAIM_SAMPLE = 31, QN_CLAIM_HITS = 3, QN_CLAIM_LASTS = 4 };

struct qn_claim {
    /* Which step's share this counts, and how many of its pieces are taken. It says so of itself,
     * so that others may begin the share of a thread that has not come to the step yet, and nobody
     * has to reset it. 128: two cache lines, see host/barrier.h. */
    alignas(128) _Atomic uint64_t word;
    alignas(128) int first; /* and end: threads on its node */
    int end;
    int n_hits; /* samples in a row; the thread's own */
};

struct qn_claims {
    alignas(128) _Atomic uint64_t uneven_until; /* the step until which all steps are cut */
    struct qn_claim threads[];
};

/* For n_threads threads on the cores of the topology; NULL: no memory. To be freed with free(). */
struct qn_claims *qn_claims_new(int n_threads, const struct qn_topology *topology);

/* The next piece of a share in a step, or -1. Steps are numbered from 1 in the order in which
 * threads come to them. */
int qn_claim_piece(struct qn_claim *claim, uint64_t step);
/* All pieces that are left, from the one returned; -1: none. */
int qn_claim_rest(struct qn_claim *claim, uint64_t step);

/* Whether threads should cut their shares in this step and look at the others'. */
bool qn_claims_cut(const struct qn_claims *claims, uint64_t step);
/* What came of looking. */
void qn_claims_found(struct qn_claims *claims, int thread, uint64_t step, bool found);

#endif
