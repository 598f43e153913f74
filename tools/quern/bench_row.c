/* SPDX-License-Identifier: Apache-2.0
 *
 * Statistics of a test, and the conditions under which it ran.
 */
#include "bench_row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"
#include "report/interval.h"
#include "report/locality.h"
#include "run/access.h"
#include "system.h"

void bench_test_name(const struct bench_test *test, char *text, size_t size) {
    char prompt[24] = "", gen[24] = "", parallel[24] = "", depth[24] = "";
    if (test->n_prompt > 0) snprintf(prompt, sizeof prompt, "pp%d", test->n_prompt);
    if (test->n_gen > 0)
        snprintf(gen, sizeof gen, "%stg%d", test->n_prompt > 0 ? "+" : "", test->n_gen);
    if (test->n_parallel > 1) snprintf(parallel, sizeof parallel, " x%d", test->n_parallel);
    if (test->n_depth > 0) snprintf(depth, sizeof depth, " @ d%d", test->n_depth);
    snprintf(text, size, "%s%s%s%s", prompt, gen, parallel, depth);
}

static void describe_model(struct quern_model *model, struct bench_row *row) {
    static const struct {
        double from, unit;
        const char *format;
    } scales[] = {{1e9, 1e9, "%s %.1fB %s"}, {1e6, 1e6, "%s %.0fM %s"}, {0, 1e3, "%s %.0fK %s"}};
    struct quern_model_info info;
    quern_model_info(model, &info);
    const double n = (double)info.n_params;
    size_t i = 0;
    while (n < scales[i].from) i++;
    snprintf(row->model_type, sizeof row->model_type, scales[i].format, info.architecture,
             n / scales[i].unit, info.type);
    row->model_size = (int64_t)info.file_size;
    row->n_params = (int64_t)info.n_params;
    row->weight_size = (int64_t)info.weight_size;
    row->n_threads = info.n_threads;
    row->isa = info.isa;
}

/* As hexadecimal digits, the processor 0 rightmost; a processor past `size` is left out. */
static void print_mask(const struct qn_pool *pool, int n_threads, char *text, size_t size) {
    const int n_digits = (int)size - 3; /* "0x" and the end */
    int digits[80] = {0}, highest = 0;
    for (int t = 0; t < n_threads; t++) {
        const int cpu = qn_pool_cpu(pool, t);
        if (cpu < 0 || cpu / 4 >= n_digits) continue;
        digits[cpu / 4] |= 1 << cpu % 4;
        if (cpu / 4 > highest) highest = cpu / 4;
    }
    size_t used = (size_t)snprintf(text, size, "0x");
    for (int d = highest; d >= 0; d--)
        used += (size_t)snprintf(text + used, size - used, "%x", (unsigned)digits[d]);
}

static void describe_host(struct quern_model *model, struct bench_row *row) {
    const struct qn_pool *const pool = qn_model_of(model)->pool;
    size_t used = 0;
    row->cpu_strict = true;
    for (int t = 0; t < row->n_threads; t++) {
        const int cpu = qn_pool_cpu(pool, t);
        const char *const comma = t > 0 ? "," : "";
        row->cpu_strict &= cpu >= 0;
        if (used + 8 >= sizeof row->pins) continue; /* the list is cut */
        used += (size_t)(cpu >= 0 ? snprintf(row->pins + used, 8, "%s%d", comma, cpu)
                                  : snprintf(row->pins + used, 8, "%s-", comma));
    }
    row->numa = qn_model_numa(qn_model_of(model));
    struct qn_locality locality;
    struct qn_error err;
    if (qn_locality_read(qn_model_of(model), &locality, &err) == QN_OK && locality.known)
        qn_locality_describe(&locality, row->weights_on, sizeof row->weights_on);
    print_mask(pool, row->n_threads, row->cpu_mask, sizeof row->cpu_mask);
    const int first = qn_pool_cpu(pool, 0) >= 0 ? qn_pool_cpu(pool, 0) : 0;
    system_cpu_name(row->cpu, sizeof row->cpu);
    system_governor(first, row->governor, sizeof row->governor);
    row->mhz = system_mhz(first);
    system_time_text(time(NULL), row->time, sizeof row->time);
}

/* qn_spread_of sorts, and repetitions are shown in their order. */
static void summarize(struct bench_samples *samples, struct bench_row *row) {
    const size_t n = (size_t)samples->n;
    double *const copy = calloc(n, sizeof *copy);
    if (copy == NULL) return;
    for (size_t i = 0; i < n; i++) copy[i] = bench_tokens_per_second(row, (int)i);
    const struct qn_mean ts = qn_mean_of(copy, n, 0.95), ns = qn_mean_of(samples->ns, n, 0.95);
    row->avg_ns = (int64_t)ns.mean;
    row->stddev_ns = (int64_t)ns.deviation;
    row->avg_ts = ts.mean;
    row->stddev_ts = ts.deviation;
    row->low_ts = ts.low;
    row->high_ts = ts.high;
    memcpy(copy, samples->ns, n * sizeof *copy);
    const struct qn_spread runs = qn_spread_of(copy, n);
    free(copy);
    row->p50_ns = runs.p50;
    row->p95_ns = runs.p95;
    row->p99_ns = runs.p99;
    row->gb_s = (double)samples->bytes / ns.mean;
    row->gop_s = samples->flops / ns.mean;
    if (samples->n_tokens == 0) return;
    const struct qn_spread tokens = qn_spread_of(samples->token_ns, samples->n_tokens);
    row->token_p50 = tokens.p50;
    row->token_p95 = tokens.p95;
    row->token_p99 = tokens.p99;
}

void bench_row_fill(struct quern_model *model, const char *model_path,
                    const struct bench_test *test, struct bench_samples *samples,
                    const struct qn_roof *roof, struct bench_row *row) {
    *row = (struct bench_row){.build = quern_version(),
                              .backend = "CPU",
                              .gpu = "",
                              .model_path = model_path,
                              .test = *test,
                              .token_p50 = NAN,
                              .token_p95 = NAN,
                              .token_p99 = NAN,
                              .peak_gb_s = NAN,
                              .of_peak = NAN,
                              .roof_ts = NAN,
                              .of_roof = NAN,
                              .stolen = samples->stolen,
                              .kv_size = (int64_t)samples->kv_size,
                              .buffer_size = (int64_t)samples->buffer_size,
                              .resident = (int64_t)samples->resident,
                              .samples = samples};
    describe_model(model, row);
    describe_host(model, row);
    summarize(samples, row);
    if (roof == NULL) return;
    row->peak_gb_s = roof->limits.read[roof->weights].best;
    row->of_peak = 100 * row->gb_s / row->peak_gb_s;
    row->roof_ts = 1e9 * bench_n_tokens(test) / samples->least_ns;
    row->of_roof = 100 * samples->least_ns / (double)row->avg_ns;
}
