/* SPDX-License-Identifier: Apache-2.0
 *
 * The sampler against a reference that sorts everything, and its edges.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "run/maxima.h"
#include "run/random.h"
#include "run/sampler.h"
#include "tests/statistics.h"

enum { VOCAB = 300, DRAWS = 4000 };

/* Neutral: the whole distribution at temperature 1. */
static struct quern_sampler_options plain(void) {
    return (struct quern_sampler_options){
        .temperature = 1, .top_p = 1, .repeat_penalty = 1, .seed = 7};
}

static struct quern_sampler *make(int n_vocab, struct quern_sampler_options options) {
    struct quern_sampler *sampler = NULL;
    struct qn_error err;
    cr_assert_eq(qn_sampler_new(n_vocab, &options, &sampler, &err), QN_OK, "%s", err.message);
    return sampler;
}

/* Logits of a model's kind: a few large, a long tail; bell-shaped by a sum of uniform numbers. */
static void fill(float *logits, int n, uint64_t seed) {
    struct qn_random random;
    qn_random_seed(&random, seed);
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < 12; j++) sum += qn_random_unit(&random);
        logits[i] = (float)((sum - 6) * 2.5);
    }
}

/* ---- reference -------------------------------------------------------------------------- */

struct ranked {
    double logit;
    int id;
};

static int by_rank(const void *left, const void *right) {
    const struct ranked *const a = left, *const b = right;
    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->id - b->id;
}

/* The definition, step by step: sort, cut to k, cut to mass p, cut to min p, temper. */
static void reference(const float *logits, int n, const struct quern_sampler_options *options,
                      double *probabilities) {
    struct ranked *ranked = calloc((size_t)n, sizeof *ranked);
    double *p = calloc((size_t)n, sizeof *p);
    for (int i = 0; i < n; i++) ranked[i] = (struct ranked){(double)logits[i], i};
    qsort(ranked, (size_t)n, sizeof *ranked, by_rank);

    int kept = options->top_k > 0 && options->top_k < n ? options->top_k : n;
    double sum = 0;
    for (int i = 0; i < kept; i++) sum += p[i] = exp(ranked[i].logit - ranked[0].logit);
    double mass = 0;
    int in_mass = 0;
    while (in_mass < kept && (in_mass == 0 || mass < (double)options->top_p * sum))
        mass += p[in_mass++];
    if (options->top_p < 1) kept = in_mass;
    while (kept > 1 && p[kept - 1] < (double)options->min_p * p[0]) kept--;

    sum = 0;
    for (int i = 0; i < kept; i++)
        sum += p[i] = exp((ranked[i].logit - ranked[0].logit) / (double)options->temperature);
    memset(probabilities, 0, (size_t)n * sizeof *probabilities);
    for (int i = 0; i < kept; i++) probabilities[ranked[i].id] = p[i] / sum;
    free(p);
    free(ranked);
}

static void expect_distribution(const float *logits, int n, struct quern_sampler_options options) {
    double *probabilities = calloc((size_t)n, sizeof *probabilities);
    size_t *counts = calloc((size_t)n, sizeof *counts);
    reference(logits, n, &options, probabilities);
    struct quern_sampler *sampler = make(n, options);
    for (int i = 0; i < DRAWS; i++) counts[quern_sampler_next(sampler, logits)]++;
    int freedom;
    const double statistic = chi_square(counts, probabilities, (size_t)n, &freedom);
    cr_expect(statistic <= chi_square_limit(freedom),
              "chi-square %g with %d degrees of freedom, limit %g: temperature %g, top-k %d, "
              "top-p %g, min-p %g",
              statistic, freedom, chi_square_limit(freedom), (double)options.temperature,
              options.top_k, (double)options.top_p, (double)options.min_p);
    quern_sampler_free(sampler);
    free(counts);
    free(probabilities);
}

Test(sampler, distributions) {
    static float logits[VOCAB];
    static const float temperatures[] = {0.3f, 1, 1.7f};
    static const int top_ks[] = {0, 1, 2, 40, VOCAB - 1, VOCAB, VOCAB + 1};
    static const float top_ps[] = {0, 0.5f, 0.95f, 1};
    static const float min_ps[] = {0, 0.05f, 1};
    fill(logits, VOCAB, 1);
    for (size_t t = 0; t < 3; t++)
        for (size_t k = 0; k < 7; k++)
            for (size_t p = 0; p < 4; p++)
                for (size_t m = 0; m < 3; m++) {
                    struct quern_sampler_options options = plain();
                    options.temperature = temperatures[t];
                    options.top_k = top_ks[k];
                    options.top_p = top_ps[p];
                    options.min_p = min_ps[m];
                    options.seed = t * 1000 + k * 100 + p * 10 + m;
                    expect_distribution(logits, VOCAB, options);
                }
}

/* What is known of the logits changes no choice, with penalties neither, and with NaNs, infinities
 * and equals among them. */
Test(sampler, maxima_change_nothing) {
    enum { N = 1000, TOKENS = 60 };
    static float logits[N], maxima[(N + QN_LOGITS_BLOCK - 1) / QN_LOGITS_BLOCK];
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct quern_sampler_options options = plain();
        options.temperature = seed % 3 ? 1 : 0;
        options.top_k = seed % 2 ? 0 : 20;
        options.repeat_penalty = seed % 5 < 2 ? 1.5f : 1;
        options.repeat_last = 40;
        struct quern_sampler *const with = make(N, options), *const without = make(N, options);
        for (int t = 0; t < TOKENS; t++) {
            fill(logits, N, seed * 1000 + (uint64_t)t / 7);
            for (int i = 0; i < N && seed % 4 == 1; i++) logits[i] = roundf(logits[i]);
            for (int i = (int)seed; i < N && seed % 4 == 2; i += 9) logits[i] = NAN;
            for (int i = 0; i < N && seed % 4 == 3; i++)
                if (i != t) logits[i] = -INFINITY;
            qn_maxima_find(logits, N, maxima);
            const int32_t token = quern_sampler_next(without, logits);
            cr_assert_eq(qn_sampler_next(with, logits, maxima), token, "seed %lu, token %d", seed,
                         t);
        }
        quern_sampler_free(with);
        quern_sampler_free(without);
    }
}

/* Many equal logits: the cut falls among them, and the lowest ids stay. */
Test(sampler, equal_logits_cut_by_id) {
    static float logits[VOCAB];
    for (int i = 0; i < VOCAB; i++) logits[i] = (float)(i % 4);
    struct quern_sampler_options options = plain();
    options.top_k = 40;
    expect_distribution(logits, VOCAB, options);
    options.top_p = 0.1f;
    expect_distribution(logits, VOCAB, options);
}

Test(sampler, one_token_vocabulary) {
    const float logit = -3;
    struct quern_sampler *sampler = make(1, plain());
    cr_expect_eq(quern_sampler_next(sampler, &logit), 0);
    quern_sampler_free(sampler);
}

/* ---- greedy and edges ------------------------------------------------------------------- */

static int32_t once(const float *logits, int n, struct quern_sampler_options options) {
    struct quern_sampler *sampler = make(n, options);
    const int32_t token = quern_sampler_next(sampler, logits);
    quern_sampler_free(sampler);
    return token;
}

Test(sampler, greedy_takes_the_largest_and_the_lowest_of_equals) {
    struct quern_sampler_options options = plain();
    options.temperature = 0;
    cr_expect_eq(once((const float[]){-5, 2, 9, 9, 1}, 5, options), 2);
    cr_expect_eq(once((const float[]){4, 4, 4}, 3, options), 0);
    cr_expect_eq(once((const float[]){-INFINITY, -1e30f}, 2, options), 1);
}

Test(sampler, infinities_and_nan) {
    const float one[] = {-INFINITY, -INFINITY, -2, -INFINITY};
    const float none[] = {-INFINITY, -INFINITY, -INFINITY};
    const float nans[] = {NAN, NAN, 1, NAN};
    const float only_nans[] = {NAN, NAN};
    const float up[] = {1, INFINITY, 2, NAN};
    for (int greedily = 0; greedily < 2; greedily++)
        for (int top_k = 0; top_k < 5; top_k++)
            for (uint64_t seed = 0; seed < 50; seed++) {
                struct quern_sampler_options options = plain();
                options.temperature = greedily ? 0 : 1;
                options.top_k = top_k;
                options.top_p = seed % 2 ? 0.9f : 1;
                options.seed = seed;
                cr_assert_eq(once(one, 4, options), 2);
                cr_assert_eq(once(none, 3, options), 0);
                cr_assert_eq(once(nans, 4, options), 2);
                cr_assert_eq(once(only_nans, 2, options), 0);
                cr_assert_eq(once(up, 4, options), 1);
            }
}

Test(sampler, tiny_temperature_is_nearly_greedy) {
    static float logits[VOCAB];
    fill(logits, VOCAB, 3);
    struct quern_sampler_options options = plain();
    options.temperature = 0;
    const int32_t best = once(logits, VOCAB, options);
    options.temperature = 1e-30f;
    for (options.seed = 0; options.seed < 100; options.seed++)
        cr_assert_eq(once(logits, VOCAB, options), best);
}

/* ---- repeat penalty --------------------------------------------------------------------- */

Test(sampler, repeat_penalty_lowers_recent_tokens) {
    const float logits[] = {3, 2.5f, -1, -4};
    float copy[4];
    memcpy(copy, logits, sizeof copy);
    struct quern_sampler_options options = plain();
    options.temperature = 0;
    options.repeat_penalty = 2;
    options.repeat_last = 2;
    struct quern_sampler *sampler = make(4, options);
    /* 0 wins; then 3/2 < 2.5; then both are halved, once each: 1.5 > 1.25; then 0 twice in the
     * window is still halved once, and 1 has left it. */
    const int32_t expected[] = {0, 1, 0, 0};
    for (int i = 0; i < 4; i++) cr_expect_eq(quern_sampler_next(sampler, logits), expected[i]);
    cr_expect_arr_eq(logits, copy, sizeof copy);
    quern_sampler_free(sampler);
}

Test(sampler, repeat_penalty_lowers_negative_logits) {
    const float logits[] = {-1, -1.5f};
    struct quern_sampler_options options = plain();
    options.temperature = 0;
    options.repeat_penalty = 2;
    options.repeat_last = 1;
    struct quern_sampler *sampler = make(2, options);
    quern_sampler_accept(sampler, 0);
    cr_expect_eq(quern_sampler_next(sampler, logits), 1); /* -2 against -1.5 */
    cr_expect_eq(quern_sampler_next(sampler, logits), 0); /* -1 against -3 */
    quern_sampler_accept(sampler, -1);                    /* not a token: ignored */
    quern_sampler_accept(sampler, 2);
    cr_expect_eq(quern_sampler_next(sampler, logits), 1);
    quern_sampler_free(sampler);
}

/* ---- seeds and options ------------------------------------------------------------------ */

static void sequence(uint64_t seed, int32_t *tokens, int n) {
    static float logits[VOCAB];
    fill(logits, VOCAB, 9);
    struct quern_sampler_options options = plain();
    options.seed = seed;
    struct quern_sampler *sampler = make(VOCAB, options);
    for (int i = 0; i < n; i++) tokens[i] = quern_sampler_next(sampler, logits);
    quern_sampler_free(sampler);
}

Test(sampler, seed_decides) {
    int32_t first[200], second[200], other[200];
    sequence(42, first, 200);
    sequence(42, second, 200);
    sequence(43, other, 200);
    cr_expect_arr_eq(first, second, sizeof first);
    cr_expect(memcmp(first, other, sizeof first) != 0);
}

/* From the state {1, 2, 3, 4} the first number is rotl(1 + 4, 23) + 1; the others follow from
 * the paper's recurrence, computed apart from this code. */
Test(random, follows_the_paper) {
    struct qn_random random = {{1, 2, 3, 4}};
    const uint64_t expected[] = {(5u << 23) + 1, 58720359, 3588806011781223, 3591011842654386};
    for (int i = 0; i < 4; i++) cr_expect_eq(qn_random_next(&random), expected[i]);
}

Test(random, unit_is_uniform) {
    enum { CELLS = 64 };
    size_t counts[CELLS] = {0};
    double probabilities[CELLS];
    struct qn_random random;
    qn_random_seed(&random, 0);
    for (int i = 0; i < 1000000; i++) {
        const double unit = qn_random_unit(&random);
        cr_assert(unit >= 0 && unit < 1);
        counts[(int)(unit * CELLS)]++;
    }
    for (int i = 0; i < CELLS; i++) probabilities[i] = 1.0 / CELLS;
    int freedom;
    const double statistic = chi_square(counts, probabilities, CELLS, &freedom);
    cr_expect(statistic <= chi_square_limit(freedom), "chi-square %g", statistic);
}

static void expect_refused(struct quern_sampler_options options, const char *name) {
    struct quern_sampler *sampler = NULL;
    struct qn_error err = {.status = QN_OK};
    cr_expect_eq(qn_sampler_new(8, &options, &sampler, &err), QN_BAD_ARGUMENT, "%s", name);
    cr_expect_null(sampler);
    cr_expect_not_null(strstr(err.message, name), "%s", err.message);
}

Test(sampler, options_out_of_range_are_refused) {
    struct quern_sampler_options options = plain();
    options.temperature = NAN;
    expect_refused(options, "temperature");
    options = plain(), options.temperature = -1;
    expect_refused(options, "temperature");
    options = plain(), options.top_k = -1;
    expect_refused(options, "top-k");
    options = plain(), options.top_p = 1.5f;
    expect_refused(options, "top-p");
    options = plain(), options.min_p = -0.1f;
    expect_refused(options, "min-p");
    options = plain(), options.repeat_penalty = 0;
    expect_refused(options, "repeat penalty");
    options = plain(), options.repeat_last = -1;
    expect_refused(options, "repeat length");
}

Test(sampler, defaults_are_accepted) {
    struct quern_sampler_options options;
    quern_sampler_defaults(&options);
    quern_sampler_free(make(VOCAB, options));
}
