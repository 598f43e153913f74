/* SPDX-License-Identifier: Apache-2.0
 *
 * What it gains that threads help a slower one, and what it costs where all are equal:
 *   quern-bench-uneven MODEL [SLOWNESS [TOKENS [THREADS]]]
 * The last thread does each product of one row SLOWNESS times, as a core of that part of the
 * others' speed would. Rounds with helping and without take turns.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "run/access.h"

enum { ROUNDS = 15, MAX_ROWS = 1 << 18 };

static qn_matvec_fn *real_matvec[QN_PACK_COUNT];
static int slowness;
static pthread_t slow_thread;
static float unused[MAX_ROWS]; /* what the repetitions compute */

static void slow_matvec(const struct qn_matmul *a, int pack) {
    real_matvec[pack](a);
    if (!pthread_equal(pthread_self(), slow_thread)) return;
    struct qn_matmul again = *a;
    again.y = unused;
    again.accumulate = false;
    for (int i = 1; i < slowness && a->n1 <= MAX_ROWS; i++) real_matvec[pack](&again);
}

#define SLOW(form)                                                                                 \
    static void slow_##form(const struct qn_matmul *a) {                                           \
        slow_matvec(a, QN_PACK_##form);                                                            \
    }
SLOW(F32)
SLOW(F16)
SLOW(BF16)
SLOW(Q8_0)
SLOW(Q4_0)
SLOW(Q4_1)
SLOW(Q5_0)
SLOW(Q5_1)
SLOW(Q4_K)
SLOW(Q5_K)
SLOW(Q6_K)
SLOW(IQ4_NL)
SLOW(Q2_K)
SLOW(Q3_K)
SLOW(IQ4_XS)
SLOW(I16)
SLOW(Q8_I16)
SLOW(Q6_I16)

static qn_matvec_fn *const slow[QN_PACK_COUNT] = {
    [QN_PACK_F32] = slow_F32,   [QN_PACK_F16] = slow_F16,       [QN_PACK_BF16] = slow_BF16,
    [QN_PACK_Q8_0] = slow_Q8_0, [QN_PACK_Q4_0] = slow_Q4_0,     [QN_PACK_Q4_1] = slow_Q4_1,
    [QN_PACK_Q5_0] = slow_Q5_0, [QN_PACK_Q5_1] = slow_Q5_1,     [QN_PACK_Q4_K] = slow_Q4_K,
    [QN_PACK_Q5_K] = slow_Q5_K, [QN_PACK_Q6_K] = slow_Q6_K,     [QN_PACK_IQ4_NL] = slow_IQ4_NL,
    [QN_PACK_Q2_K] = slow_Q2_K, [QN_PACK_Q3_K] = slow_Q3_K,     [QN_PACK_IQ4_XS] = slow_IQ4_XS,
    [QN_PACK_I16] = slow_I16,   [QN_PACK_Q8_I16] = slow_Q8_I16, [QN_PACK_Q6_I16] = slow_Q6_I16,
};

static void find_slow(void *context, int thread) {
    const int *const n_threads = context;
    if (thread == *n_threads - 1) slow_thread = pthread_self();
}

static void slow_down(struct qn_model *model) {
    int n_threads = qn_pool_n_threads(model->pool);
    qn_pool_run(model->pool, find_slow, &n_threads);
    for (int i = 0; i < QN_PACK_COUNT; i++) {
        real_matvec[i] = model->kernels.matvec[i];
        model->kernels.matvec[i] = slow[i];
    }
}

/* Milliseconds a token. */
static double decode(struct quern_session *session, int n_tokens) {
    struct quern_error err;
    const int32_t token = 1;
    const struct quern_batch batch = {.n = 1, .tokens = &token};
    quern_session_truncate(session, 0, 0);
    const uint64_t start = qn_clock_ns();
    for (int i = 0; i < n_tokens; i++) {
        if (quern_session_eval(session, &batch, &err) == QUERN_OK) continue;
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return (double)(qn_clock_ns() - start) / 1e6 / n_tokens;
}

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct quern_session *session, int n_tokens) {
    static const char *const names[] = {"alone", "helped"};
    struct qn_executor *const executor = &qn_session_of(session)->executor;
    const size_t least_share = executor->least_share;
    double times[2][ROUNDS], ratios[ROUNDS];
    decode(session, 2);
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < 2; k++) {
            const int helped = (i + k) % 2;
            executor->least_share = helped ? least_share : SIZE_MAX;
            times[helped][i] = decode(session, n_tokens);
        }
        ratios[i] = times[0][i] / times[1][i];
    }
    qsort(ratios, ROUNDS, sizeof *ratios, compare);
    printf("ms a token     least    median\n");
    for (int helped = 0; helped < 2; helped++) {
        qsort(times[helped], ROUNDS, sizeof *times[helped], compare);
        printf("%-10s %9.3f %9.3f\n", names[helped], times[helped][0], times[helped][ROUNDS / 2]);
    }
    printf("alone / helped, pair by pair: %.3f (%.3f to %.3f)\n", ratios[ROUNDS / 2], ratios[0],
           ratios[ROUNDS - 1]);
}

int main(int argc, char **argv) {
    if (argc < 2) return 2;
    slowness = argc > 2 ? atoi(argv[2]) : 2;
    const int n_tokens = argc > 3 ? atoi(argv[3]) : 16;
    const struct quern_model_options options = {.n_threads = argc > 4 ? atoi(argv[4]) : 0};
    const struct quern_session_options session_options = {.n_ctx = n_tokens + 2};
    struct quern_model *model;
    struct quern_session *session;
    struct quern_error err;
    if (quern_model_open(argv[1], &options, &model, &err) != QUERN_OK ||
        quern_session_new(model, &session_options, &session, &err) != QUERN_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (slowness > 1) slow_down(qn_model_of(model));
    measure(session, n_tokens);
    quern_session_free(session);
    quern_model_close(model);
    return 0;
}
