/* SPDX-License-Identifier: Apache-2.0
 *
 * Byte-pair merging: of all adjacent pairs that have a merge, the one of lowest rank, leftmost
 * first, becomes one token, until none is left. Both models use it: BPE with the ranks of its list
 * of merges, SentencePiece with ranks made from scores.
 */
#ifndef QN_TEXT_MERGE_H
#define QN_TEXT_MERGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/maps.h"
#include "text/tokenizer.h"

/* What is to be merged, least first: a sorted run that is appended to while keys come in order, as
 * they do for text that repeats itself, and a heap for all others. Keys are rank << 32 | position.
 */
struct qn_merge_queue {
    uint64_t *run;  /* run[run_at .. n_run) is left */
    uint64_t *heap; /* [n_heap] */
    size_t run_at, n_run, run_capacity, n_heap, heap_capacity;
};

/* Work memory, reused from word to word; zero-initialise, free with qn_merger_free. */
struct qn_merger {
    int32_t *symbols;  /* ids of the word's tokens at their first positions */
    uint32_t *lengths; /* long words: of each token at its first and last position */
    size_t capacity, lengths_capacity;
    struct qn_merge_queue queue; /* long words */
};
void qn_merger_free(struct qn_merger *merger);

/* symbols[n] for the caller to fill before qn_merge_word. */
enum qn_status qn_merger_reserve(struct qn_merger *merger, size_t n, struct qn_error *err);

/* Merges symbols[0 .. n) in place; *n becomes the number of tokens left, in order. O(n log n).
 * Errors: QN_NO_MEMORY, QN_UNSUPPORTED (a word of 4 Gi symbols). */
enum qn_status qn_merge_word(struct qn_merger *merger, const struct qn_pair_map *pairs, size_t *n,
                             struct qn_error *err);

/* Room for n more in a growing list. */
enum qn_status qn_ids_reserve(struct qn_ids *ids, size_t n, struct qn_error *err);
/* Appends to it. data may lie in the list itself only after qn_ids_reserve. */
enum qn_status qn_ids_append(struct qn_ids *ids, const int32_t *data, size_t n,
                             struct qn_error *err);

#endif
