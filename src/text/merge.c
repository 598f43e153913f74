/* SPDX-License-Identifier: Apache-2.0
 *
 * Merging: short words by repeated search, long ones with a queue.
 */
#include "text/merge.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

/* Up to here searching all ranks again after each merge is faster than keeping a queue: the ranks
 * are one or two cache lines. */
enum { SHORT_WORD = 32 };

enum { DEAD = -1 }; /* a position inside a merged token */

void qn_merger_free(struct qn_merger *merger) {
    free(merger->symbols);
    free(merger->lengths);
    free(merger->queue.run);
    free(merger->queue.heap);
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

/* ---- queue -------------------------------------------------------------------------------- */

/* Children a node: half a cache line of keys, which halves the depth of a binary heap. */
enum { ARITY = 4 };

static enum qn_status append(uint64_t **keys, size_t *n, size_t *capacity, uint64_t key,
                             struct qn_error *err) {
    void *data = *keys;
    const enum qn_status status = grow(&data, capacity, *n + 1, sizeof key, err);
    *keys = data;
    if (status != QN_OK) return status;
    (*keys)[(*n)++] = key;
    return QN_OK;
}

/* Moves what is left of the run to its start once the rest is the larger part. */
static void compact_run(struct qn_merge_queue *queue) {
    if (queue->run_at < queue->n_run - queue->run_at) return;
    queue->n_run -= queue->run_at;
    memmove(queue->run, queue->run + queue->run_at, queue->n_run * sizeof *queue->run);
    queue->run_at = 0;
}

static enum qn_status push(struct qn_merge_queue *queue, uint64_t key, struct qn_error *err) {
    if (queue->n_run == queue->run_at || key >= queue->run[queue->n_run - 1]) {
        if (queue->n_run == queue->run_capacity && queue->n_run > 0) compact_run(queue);
        return append(&queue->run, &queue->n_run, &queue->run_capacity, key, err);
    }
    QN_TRY(append(&queue->heap, &queue->n_heap, &queue->heap_capacity, key, err));
    size_t at = queue->n_heap - 1;
    while (at > 0) {
        const size_t parent = (at - 1) / ARITY;
        if (queue->heap[parent] <= key) break;
        queue->heap[at] = queue->heap[parent];
        at = parent;
    }
    queue->heap[at] = key;
    return QN_OK;
}

static uint64_t pop_heap(struct qn_merge_queue *queue) {
    uint64_t *heap = queue->heap;
    const uint64_t least = heap[0], key = heap[--queue->n_heap];
    const size_t n = queue->n_heap;
    size_t at = 0;
    for (size_t first = 1; first < n; first = at * ARITY + 1) {
        const size_t stop = n - first < ARITY ? n : first + ARITY;
        size_t child = first;
        for (size_t other = first + 1; other < stop; other++) {
            if (heap[other] < heap[child]) child = other;
        }
        if (heap[child] >= key) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = key;
    return least;
}

/* Takes the least key out; false when there is none. */
static bool pop(struct qn_merge_queue *queue, uint64_t *key) {
    const bool run = queue->run_at < queue->n_run;
    if (!run && queue->n_heap == 0) return false;
    if (run && (queue->n_heap == 0 || queue->run[queue->run_at] <= queue->heap[0])) {
        *key = queue->run[queue->run_at++];
    } else {
        *key = pop_heap(queue);
    }
    return true;
}

static uint64_t key_of(const struct qn_merge *merge, size_t position) {
    return (uint64_t)merge->rank << 32 | (uint32_t)position;
}

/* Queues the pair of the tokens at two neighbouring positions, if it has a merge. */
static enum qn_status queue_pair(struct qn_merger *merger, const struct qn_pair_map *pairs,
                                 size_t left, size_t right, struct qn_error *err) {
    const struct qn_merge *merge =
        qn_pair_map_find(pairs, merger->symbols[left], merger->symbols[right]);
    return merge == NULL ? QN_OK : push(&merger->queue, key_of(merge, left), err);
}

/* Positions whose token or neighbour has changed since they were queued are recognised because
 * they are dead or their pair has another rank; the new pair was queued itself. */
static enum qn_status merge_long(struct qn_merger *merger, const struct qn_pair_map *pairs,
                                 size_t n, struct qn_error *err) {
    int32_t *symbols = merger->symbols;
    uint32_t *lengths = merger->lengths;
    for (size_t i = 0; i < n; i++) lengths[i] = 1;
    merger->queue.run_at = merger->queue.n_run = merger->queue.n_heap = 0;
    for (size_t i = 0; i + 1 < n; i++) QN_TRY(queue_pair(merger, pairs, i, i + 1, err));
    uint64_t key;
    while (pop(&merger->queue, &key)) {
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
