/* SPDX-License-Identifier: Apache-2.0
 *
 * One test of the bench, run and timed.
 */
#ifndef QUERN_TOOLS_BENCH_RUN_H
#define QUERN_TOOLS_BENCH_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quern.h"
#include "report/roofline.h"

/* Of each of n_parallel sequences `depth` tokens lie in the cache when the time starts; then come
 * n_prompt tokens of each at once, one sequence after the other, and n_gen of each one by one,
 * those of all sequences together. */
struct bench_test {
    int n_prompt, n_gen, n_depth, n_parallel;
    int n_batch, n_ubatch;
    const char *type_k, *type_v;
};

struct bench_samples {
    int n; /* repetitions wanted */
    bool warm_up;
    double *ns;       /* [n] of each repetition */
    size_t n_tokens;  /* decoded ones that were timed, those of all sequences together as one */
    double *token_ns; /* [n_tokens] of each evaluation */
    uint64_t bytes;   /* of weights and KV that a repetition read */
    double flops;     /* operations that a repetition takes by the plan */
    double stolen;    /* percent of the processors' time that the hypervisor gave to others; NAN:
                         not told */
    double least_ns;  /* of a repetition by the roofline; NAN: not known */
    size_t kv_size, buffer_size; /* of the session */
    size_t resident;             /* of the process, at the end */
};

/* Tokens that are timed one by one, of all repetitions together: the first of them. */
enum { BENCH_MAX_TOKENS = 1 << 18 };

/* Room for `repeats` repetitions of up to n_gen tokens; false without memory. */
bool bench_samples_new(int repeats, int n_gen, struct bench_samples *samples);
void bench_samples_free(struct bench_samples *samples); /* idempotent */

/* Can there be a session for it, and is there memory for that? False with the sentence printed. */
bool bench_fits(struct quern_model *model, const struct bench_test *test);

/* Runs a test that fits in a session of its own. roof: of as many threads, or NULL. False, with the
 * sentence printed, on failure; without one after an interrupt. */
bool bench_run(struct quern_model *model, const struct bench_test *test, const struct qn_roof *roof,
               struct bench_samples *samples);

#endif
