/* SPDX-License-Identifier: Apache-2.0
 *
 * A line of the bench's results: what ran, where, and what its samples say.
 */
#ifndef QUERN_TOOLS_BENCH_ROW_H
#define QUERN_TOOLS_BENCH_ROW_H

#include "bench_run.h"

/* Numbers that are not known are NAN, texts "". */
struct bench_row {
    const char *build, *backend, *gpu; /* llama-bench's columns; gpu is always "" */
    char cpu[128];
    const char *model_path;
    char model_type[64]; /* "llama 135M Q4_1" */
    int64_t model_size, n_params;
    struct bench_test test;
    int n_threads, n_gpu_layers /* 0 */;
    char cpu_mask[80]; /* processors that threads are pinned to: "0x3" */
    bool cpu_strict;   /* every thread is pinned */
    char time[32];     /* UTC, ISO 8601 */
    int64_t avg_ns, stddev_ns;
    double avg_ts, stddev_ts;

    /* ours */
    const char *isa;
    char pins[512];                         /* processor of each thread, "0,2"; "-" floats */
    const char *numa;                       /* what is done about memory nodes, see --numa */
    char weights_on[64];                    /* the node or nodes, as read back */
    double low_ts, high_ts;                 /* 95 % of the mean */
    double p50_ns, p95_ns, p99_ns;          /* of repetitions */
    double token_p50, token_p95, token_p99; /* ns of a decoded token, the first ones of all runs */
    double gb_s;                            /* weights and KV that are read */
    double gop_s;                           /* operations of the plan's steps */
    double peak_gb_s, of_peak; /* what these threads were measured to read from where the
                                  weights lie; percent of that */
    double roof_ts, of_roof;   /* at the least time of every step; percent of that */
    char governor[32];
    double mhz;    /* of the first thread's processor, at the end */
    double stolen; /* percent */
    int64_t weight_size, kv_size, buffer_size, resident;

    const struct bench_samples *samples; /* not owned */
};

/* roof: what the machine was measured to do with as many threads, or NULL. Sorts the samples of
 * tokens. */
void bench_row_fill(struct quern_model *model, const char *model_path,
                    const struct bench_test *test, struct bench_samples *samples,
                    const struct qn_roof *roof, struct bench_row *row);

/* "pp512", "tg128", "pp512+tg128", "tg128 @ d4096", of 8 sequences "tg128 x8 @ d4096" */
void bench_test_name(const struct bench_test *test, char *text, size_t size);

/* Of all sequences together. */
static inline double bench_n_tokens(const struct bench_test *test) {
    return (double)test->n_parallel * (test->n_prompt + test->n_gen);
}

static inline double bench_tokens_per_second(const struct bench_row *row, int repetition) {
    return 1e9 * bench_n_tokens(&row->test) / row->samples->ns[repetition];
}

#endif
