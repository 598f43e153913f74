/* SPDX-License-Identifier: Apache-2.0
 *
 * Choice of the next token from logits: repeat penalty, top-k, top-p, min-p, temperature.
 *
 * Everything is allocated when the sampler is made. The vocabulary is never sorted: top-k keeps a
 * heap of k candidates, and top-p takes candidates off a heap until their mass suffices. A NaN
 * logit counts as -infinity. Among equal logits the lowest id comes first, so that a choice
 * depends on logits, options and seed alone.
 */
#include "run/sampler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/maxima.h"
#include "run/random.h"

struct candidate {
    float logit;
    int32_t id;
    double weight; /* exp(logit - largest): probability before it is divided by the sum */
};

struct quern_sampler {
    struct quern_sampler_options options;
    struct qn_random random;
    int n_vocab;
    float *penalised;             /* [n_vocab], or NULL when there is no penalty */
    float *largest;               /* [qn_n_maxima(n_vocab)] of each block's logits */
    struct candidate *candidates; /* [capacity] */
    int capacity;                 /* top_k, or n_vocab */
    int32_t *recent;              /* [repeat_last] ring of tokens */
    int n_recent, next_recent;
};

void quern_sampler_defaults(struct quern_sampler_options *options) {
    *options = (struct quern_sampler_options){.temperature = 0.8f,
                                              .top_k = 40,
                                              .top_p = 0.95f,
                                              .min_p = 0.05f,
                                              .repeat_penalty = 1.0f,
                                              .repeat_last = 64};
}

/* ---- heap of candidates ----------------------------------------------------------------- */

static bool better(const struct candidate *a, const struct candidate *b) {
    return a->logit != b->logit ? a->logit > b->logit : a->id < b->id;
}

/* A parent is at least as far towards the root's side as its children: the root is the best
 * candidate (best_first) or the worst. Moves entry i down until that holds again. */
static void heap_sift(struct candidate *heap, int n, int i, bool best_first) {
    const struct candidate moved = heap[i];
    for (;;) {
        int child = 2 * i + 1;
        if (child >= n) break;
        if (child + 1 < n && better(&heap[child + 1], &heap[child]) == best_first) child++;
        if (better(&heap[child], &moved) != best_first) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

static void heap_make(struct candidate *heap, int n, bool best_first) {
    for (int i = n / 2; i-- > 0;) heap_sift(heap, n, i, best_first);
}

/* ---- steps of a choice ------------------------------------------------------------------ */

static float number(float logit) {
    return isnan(logit) ? -INFINITY : logit;
}

static int block_end(const struct quern_sampler *sampler, int block) {
    const int end = (block + 1) * QN_LOGITS_BLOCK;
    return end < sampler->n_vocab ? end : sampler->n_vocab;
}

/* Fills sampler->largest, from the maxima of what logits were before penalties where these are
 * known; returns the id of the largest logit, the lowest of equals. */
static int32_t survey(const struct quern_sampler *sampler, const float *logits,
                      const float *maxima) {
    const int n = qn_n_maxima(sampler->n_vocab);
    if (maxima)
        memcpy(sampler->largest, maxima, (size_t)n * sizeof *maxima);
    else
        qn_maxima_find(logits, sampler->n_vocab, sampler->largest);
    for (int i = 0; maxima && sampler->penalised && i < sampler->n_recent; i++) {
        const int block = sampler->recent[i] / QN_LOGITS_BLOCK, start = block * QN_LOGITS_BLOCK;
        qn_maxima_find(logits + start, block_end(sampler, block) - start, sampler->largest + block);
    }
    int best = 0;
    for (int b = 1; b < n; b++)
        if (sampler->largest[b] > sampler->largest[best]) best = b;
    for (int32_t id = best * QN_LOGITS_BLOCK; id < block_end(sampler, best); id++)
        if (logits[id] == sampler->largest[best]) return id;
    return 0; /* all are NaN */
}

/* Each recent token once, whatever its count: the result is written from the untouched logit. */
static const float *penalise(const struct quern_sampler *sampler, const float *logits) {
    if (sampler->penalised == NULL) return logits;
    memcpy(sampler->penalised, logits, (size_t)sampler->n_vocab * sizeof *logits);
    const float penalty = sampler->options.repeat_penalty;
    for (int i = 0; i < sampler->n_recent; i++) {
        const int32_t id = sampler->recent[i];
        const float logit = logits[id];
        sampler->penalised[id] = logit > 0 ? logit / penalty : logit * penalty;
    }
    return sampler->penalised;
}

/* Fills candidates with the best `capacity` tokens; returns how many there are. Ids rise, so a
 * later token of equal logit never replaces an earlier one. */
static int select_top_k(const struct quern_sampler *sampler, const float *logits) {
    struct candidate *const kept = sampler->candidates;
    const int capacity = sampler->capacity, n_vocab = sampler->n_vocab;
    for (int32_t id = 0; id < capacity; id++)
        kept[id] = (struct candidate){.logit = number(logits[id]), .id = id};
    if (capacity == n_vocab) return capacity;
    heap_make(kept, capacity, false);
    for (int b = capacity / QN_LOGITS_BLOCK; b < qn_n_maxima(n_vocab); b++) {
        if (!(sampler->largest[b] > kept[0].logit)) continue;
        const int start = b * QN_LOGITS_BLOCK;
        int32_t id = start > capacity ? start : capacity;
        for (; id < block_end(sampler, b); id++) {
            if (!(logits[id] > kept[0].logit)) continue;
            kept[0] = (struct candidate){.logit = logits[id], .id = id};
            heap_sift(kept, capacity, 0, false);
        }
    }
    return capacity;
}

/* Sets weights; returns their sum. An infinite largest logit has weight 1, all others 0. */
static double weigh(struct candidate *candidates, int n, float largest, float temperature) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const float logit = candidates[i].logit;
        candidates[i].weight =
            logit == largest ? 1 : exp(((double)logit - (double)largest) / (double)temperature);
        sum += candidates[i].weight;
    }
    return sum;
}

/* Keeps those with at least min_p of the likeliest one's probability (its weight is 1). */
static int filter_min_p(struct candidate *candidates, int n, double min_p) {
    int kept = 0;
    for (int i = 0; i < n; i++)
        if (candidates[i].weight >= min_p) candidates[kept++] = candidates[i];
    return kept;
}

/* Keeps the likeliest that together reach `mass`, at least one. They leave the heap one by one
 * to its end, so the survivors are the last of the array: moved to the front, best last. */
static int filter_top_p(struct candidate *candidates, int n, double mass) {
    heap_make(candidates, n, true);
    double sum = 0;
    int left = n;
    do {
        const struct candidate best = candidates[0];
        candidates[0] = candidates[--left];
        if (left > 0) heap_sift(candidates, left, 0, true);
        candidates[left] = best;
        sum += best.weight;
    } while (left > 0 && sum < mass);
    memmove(candidates, candidates + left, (size_t)(n - left) * sizeof *candidates);
    return n - left;
}

static int32_t draw(struct quern_sampler *sampler, const struct candidate *candidates, int n,
                    double sum) {
    double left = qn_random_unit(&sampler->random) * sum;
    int32_t chosen = candidates[0].id;
    for (int i = 0; i < n; i++) {
        if (!(candidates[i].weight > 0)) continue;
        chosen = candidates[i].id; /* the last one if rounding leaves a rest */
        left -= candidates[i].weight;
        if (left < 0) break;
    }
    return chosen;
}

static int32_t choose(struct quern_sampler *sampler, const float *logits, const float *maxima) {
    const struct quern_sampler_options *const options = &sampler->options;
    const int32_t best = survey(sampler, logits, maxima);
    const float largest = number(logits[best]);
    if (options->temperature == 0 || largest == -INFINITY) return best;

    struct candidate *const candidates = sampler->candidates;
    int n = select_top_k(sampler, logits);
    const double sum = weigh(candidates, n, largest, 1);
    /* Both filters cut a tail of the same order, and top-p's mass is that of the candidates
     * before min-p: whichever goes first, the same tokens are left. Min-p needs no order. */
    n = filter_min_p(candidates, n, (double)options->min_p);
    if (options->top_p < 1) n = filter_top_p(candidates, n, (double)options->top_p * sum);
    return draw(sampler, candidates, n, weigh(candidates, n, largest, options->temperature));
}

/* ---- public ----------------------------------------------------------------------------- */

int32_t qn_sampler_next(struct quern_sampler *sampler, const float *logits, const float *maxima) {
    const int32_t token = choose(sampler, penalise(sampler, logits), maxima);
    quern_sampler_accept(sampler, token);
    return token;
}

int32_t quern_sampler_next(struct quern_sampler *sampler, const float *logits) {
    return qn_sampler_next(sampler, logits, NULL);
}

void quern_sampler_accept(struct quern_sampler *sampler, int32_t token) {
    const int capacity = sampler->options.repeat_last;
    if (capacity == 0 || token < 0 || token >= sampler->n_vocab) return;
    sampler->recent[sampler->next_recent] = token;
    sampler->next_recent = (sampler->next_recent + 1) % capacity;
    if (sampler->n_recent < capacity) sampler->n_recent++;
}

enum { MAX_REPEAT_LAST = 1 << 20 };

static enum qn_status options_check(const struct quern_sampler_options *options,
                                    struct qn_error *err) {
    const struct {
        const char *name;
        double value, min, max;
    } ranges[] = {
        {"temperature", (double)options->temperature, 0, 1e6},
        {"top-k", options->top_k, 0, INT32_MAX},
        {"top-p", (double)options->top_p, 0, 1},
        {"min-p", (double)options->min_p, 0, 1},
        {"repeat penalty", (double)options->repeat_penalty, 1e-3, 1e3},
        {"repeat length", options->repeat_last, 0, MAX_REPEAT_LAST},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (ranges[i].value >= ranges[i].min && ranges[i].value <= ranges[i].max) continue;
        return qn_fail(err, QN_BAD_ARGUMENT, "the sampler's %s is %g, expected %g to %g",
                       ranges[i].name, ranges[i].value, ranges[i].min, ranges[i].max);
    }
    return QN_OK;
}

enum qn_status qn_sampler_new(int n_vocab, const struct quern_sampler_options *options,
                              struct quern_sampler **out, struct qn_error *err) {
    struct quern_sampler_options chosen;
    *out = NULL;
    quern_sampler_defaults(&chosen);
    if (options != NULL) chosen = *options;
    QN_TRY(options_check(&chosen, err));
    if (n_vocab < 1)
        return qn_fail(err, QN_BAD_ARGUMENT, "the sampler's vocabulary has %d tokens", n_vocab);

    struct quern_sampler *sampler = calloc(1, sizeof *sampler);
    if (sampler == NULL) return qn_fail(err, QN_NO_MEMORY, "no memory for a sampler");
    sampler->options = chosen;
    sampler->n_vocab = n_vocab;
    sampler->capacity = chosen.top_k > 0 && chosen.top_k < n_vocab ? chosen.top_k : n_vocab;
    qn_random_seed(&sampler->random, chosen.seed);
    const bool penalty = chosen.repeat_penalty != 1.0f && chosen.repeat_last > 0;
    sampler->candidates = malloc((size_t)sampler->capacity * sizeof *sampler->candidates);
    sampler->recent = calloc((size_t)chosen.repeat_last + 1, sizeof *sampler->recent);
    if (penalty) sampler->penalised = malloc((size_t)n_vocab * sizeof *sampler->penalised);
    sampler->largest = malloc((size_t)qn_n_maxima(n_vocab) * sizeof *sampler->largest);
    if (sampler->candidates == NULL || sampler->recent == NULL || sampler->largest == NULL ||
        (penalty && sampler->penalised == NULL)) {
        quern_sampler_free(sampler);
        return qn_fail(err, QN_NO_MEMORY, "no memory for a sampler of %d tokens", n_vocab);
    }
    *out = sampler;
    return QN_OK;
}

void quern_sampler_free(struct quern_sampler *sampler) {
    if (sampler == NULL) return;
    free(sampler->penalised);
    free(sampler->largest);
    free(sampler->candidates);
    free(sampler->recent);
    free(sampler);
}
