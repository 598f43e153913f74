/* SPDX-License-Identifier: Apache-2.0
 *
 * Merging: short words by repeated search, long ones with a heap.
 */
#include "text/merge.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* Up to here searching all ranks again after each merge is faster than keeping a heap: the ranks
 * are one or two cache lines. */
enum { SHORT_WORD = 32 };

enum { DEAD = -1 }; /* a position inside a merged token */

void qn_merger_free(struct qn_merger *merger) {
    free(merger->symbols);
    free(merger->lengths);
    free(merger->queue);
    *merger = (struct qn_merger){0};
}

/* Grows an array to hold n elements, at least doubling it. */
static enum qn_status grow(void **data, size_t *capacity, size_t n, size_t element,
                           struct qn_error *err) {
    if (n <= *capacity) return QN_OK;
    size_t wanted = *capacity < 64 ? 64 : *capacity;
    while (wanted < n) wanted = wanted > SIZE_MAX / 2 ? n : 2 * wanted;
    size_t bytes;
    void *larger;
    if (!qn_checked_mul(wanted, element, &bytes) || (larger = realloc(*data, bytes)) == NULL) {
        return qn_fail(err, QN_NO_MEMORY, "no memory to tokenize: %zu elements of %zu bytes",
                       wanted, element);
    }
    *data = larger;
    *capacity = wanted;
    return QN_OK;
}

enum qn_status qn_merger_reserve(struct qn_merger *merger, size_t n, struct qn_error *err) {
    void *data = merger->symbols;
    const enum qn_status status = grow(&data, &merger->capacity, n, sizeof(int32_t), err);
    merger->symbols = data;
    return status;
}

enum qn_status qn_ids_reserve(struct qn_ids *ids, size_t n, struct qn_error *err) {
    size_t need;
    if (!qn_checked_add(ids->n, n, &need)) return qn_fail(err, QN_NO_MEMORY, "too many tokens");
    void *data = ids->data;
    const enum qn_status status = grow(&data, &ids->capacity, need, sizeof *ids->data, err);
    ids->data = data;
    return status;
}

enum qn_status qn_ids_append(struct qn_ids *ids, const int32_t *data, size_t n,
                             struct qn_error *err) {
    QN_TRY(qn_ids_reserve(ids, n, err));
    if (n > 0) memcpy(ids->data + ids->n, data, n * sizeof *data);
    ids->n += n;
    return QN_OK;
}

static size_t merge_short(int32_t *symbols, size_t n, const struct qn_pair_map *pairs) {
    const struct qn_merge *merges[SHORT_WORD]; /* [n - 1] of the pair that starts there, or NULL */
    for (size_t i = 0; i + 1 < n; i++) {
        merges[i] = qn_pair_map_find(pairs, symbols[i], symbols[i + 1]);
    }
    for (;;) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i + 1 < n; i++) {
            if (merges[i] != NULL && (best == SIZE_MAX || merges[i]->rank < merges[best]->rank)) {
                best = i;
            }
        }
        if (best == SIZE_MAX) return n;
        symbols[best] = merges[best]->id;
        n--;
        memmove(symbols + best + 1, symbols + best + 2, (n - best - 1) * sizeof *symbols);
        if (best + 1 < n) {
            memmove(merges + best + 1, merges + best + 2, (n - best - 2) * sizeof *merges);
            merges[best] = qn_pair_map_find(pairs, symbols[best], symbols[best + 1]);
        }
        if (best > 0) merges[best - 1] = qn_pair_map_find(pairs, symbols[best - 1], symbols[best]);
    }
}

/* ---- heap --------------------------------------------------------------------------------- */

/* Children a node: half a cache line of keys, which halves the depth of a binary heap. */
enum { ARITY = 4 };

static void sift_down(uint64_t *queue, size_t n, size_t at) {
    const uint64_t key = queue[at];
    for (;;) {
        const size_t first = at * ARITY + 1;
        if (first >= n) break;
        const size_t stop = n - first < ARITY ? n : first + ARITY;
        size_t least = first;
        for (size_t child = first + 1; child < stop; child++) {
            if (queue[child] < queue[least]) least = child;
        }
        if (queue[least] >= key) break;
        queue[at] = queue[least];
        at = least;
    }
    queue[at] = key;
}

static uint64_t pop(struct qn_merger *merger) {
    const uint64_t key = merger->queue[0];
    merger->queue[0] = merger->queue[--merger->n_queue];
    if (merger->n_queue > 0) sift_down(merger->queue, merger->n_queue, 0);
    return key;
}

static enum qn_status append_key(struct qn_merger *merger, uint64_t key, struct qn_error *err) {
    void *data = merger->queue;
    const enum qn_status status =
        grow(&data, &merger->queue_capacity, merger->n_queue + 1, sizeof key, err);
    merger->queue = data;
    if (status != QN_OK) return status;
    merger->queue[merger->n_queue++] = key;
    return QN_OK;
}

static enum qn_status push(struct qn_merger *merger, uint64_t key, struct qn_error *err) {
    QN_TRY(append_key(merger, key, err));
    size_t at = merger->n_queue - 1;
    while (at > 0) {
        const size_t parent = (at - 1) / ARITY;
        if (merger->queue[parent] <= key) break;
        merger->queue[at] = merger->queue[parent];
        at = parent;
    }
    merger->queue[at] = key;
    return QN_OK;
}

static uint64_t key_of(const struct qn_merge *merge, size_t position) {
    return (uint64_t)merge->rank << 32 | (uint32_t)position;
}

/* Queues the pair of the tokens at two neighbouring positions, if it has a merge. */
static enum qn_status queue_pair(struct qn_merger *merger, const struct qn_pair_map *pairs,
                                 size_t left, size_t right, struct qn_error *err) {
    const struct qn_merge *merge =
        qn_pair_map_find(pairs, merger->symbols[left], merger->symbols[right]);
    return merge == NULL ? QN_OK : push(merger, key_of(merge, left), err);
}

static enum qn_status start_queue(struct qn_merger *merger, const struct qn_pair_map *pairs,
                                  size_t n, struct qn_error *err) {
    merger->n_queue = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        const struct qn_merge *merge =
            qn_pair_map_find(pairs, merger->symbols[i], merger->symbols[i + 1]);
        if (merge != NULL) QN_TRY(append_key(merger, key_of(merge, i), err));
    }
    for (size_t i = merger->n_queue / ARITY + 1; i-- > 0;) {
        if (i < merger->n_queue) sift_down(merger->queue, merger->n_queue, i);
    }
    return QN_OK;
}

/* Positions whose token or neighbour has changed since they were queued are recognised because
 * they are dead or their pair has another rank; the new pair was queued itself. */
static enum qn_status merge_long(struct qn_merger *merger, const struct qn_pair_map *pairs,
                                 size_t n, struct qn_error *err) {
    int32_t *symbols = merger->symbols;
    uint32_t *lengths = merger->lengths;
    for (size_t i = 0; i < n; i++) lengths[i] = 1;
    QN_TRY(start_queue(merger, pairs, n, err));
    while (merger->n_queue > 0) {
        const uint64_t key = pop(merger);
        const size_t left = (uint32_t)key;
        if (symbols[left] == DEAD) continue;
        const size_t right = left + lengths[left];
        if (right >= n) continue;
        const struct qn_merge *merge = qn_pair_map_find(pairs, symbols[left], symbols[right]);
        if (merge == NULL || key_of(merge, left) != key) continue;
        const size_t end = right + lengths[right];
        symbols[left] = merge->id;
        symbols[right] = DEAD;
        lengths[left] = lengths[end - 1] = (uint32_t)(end - left);
        if (left > 0) QN_TRY(queue_pair(merger, pairs, left - lengths[left - 1], left, err));
        if (end < n) QN_TRY(queue_pair(merger, pairs, left, end, err));
    }
    return QN_OK;
}

enum qn_status qn_merge_word(struct qn_merger *merger, const struct qn_pair_map *pairs, size_t *n,
                             struct qn_error *err) {
    if (*n <= SHORT_WORD) {
        if (*n > 1) *n = merge_short(merger->symbols, *n, pairs);
        return QN_OK;
    }
    if (*n > UINT32_MAX) {
        return qn_fail(err, QN_UNSUPPORTED, "a word of %zu characters is too long to tokenize", *n);
    }
    void *data = merger->lengths;
    const enum qn_status grown =
        grow(&data, &merger->lengths_capacity, *n, sizeof *merger->lengths, err);
    merger->lengths = data;
    if (grown != QN_OK) return grown;
    QN_TRY(merge_long(merger, pairs, *n, err));
    size_t kept = 0;
    for (size_t i = 0; i < *n; i += merger->lengths[i])
        merger->symbols[kept++] = merger->symbols[i];
    *n = kept;
    return QN_OK;
}
