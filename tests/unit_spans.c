/* SPDX-License-Identifier: Apache-2.0
 *
 * A single token's attention, divided by heads and positions: every span is somebody's, once, and
 * the parts are even.
 */
#include <criterion/criterion.h>
#include <stdatomic.h>

#include "run/access.h"
#include "run/spans.h"

enum { SPAN = QN_ATTENTION_SPAN };

static const int positions[] = {0, 1, 511, 512, 513, 1023, 1024, 4095, 5000, 131071};
static const int windows[] = {0, 1, 100, 512, 513, 4096};
enum {
    POSITIONS = sizeof positions / sizeof *positions,
    WINDOWS = sizeof windows / sizeof *windows
};

/* Items are the visible positions of each head in turn, cut at multiples of a span. */
static void check_items(const struct qn_span_line *line, int position, int window) {
    const int first = window && position >= window ? position - window + 1 : 0;
    int64_t at = 0;
    int item = 0;
    for (int head = 0; head < line->n_heads; head++)
        for (int p = first; p <= position; item++) {
            const int end = p / SPAN * SPAN + SPAN, next = end <= position ? end : position + 1;
            cr_assert_eq(line->first_span + item % line->n_spans, p / SPAN);
            cr_assert_eq(item / line->n_spans, head);
            cr_assert_eq(qn_span_line_positions(line, item), at);
            at += next - p;
            p = next;
        }
    cr_assert_eq(item, line->n_heads * line->n_spans);
    cr_assert_eq(qn_span_line_positions(line, item), at);
}

/* Cuts lie within half a span of even ones. */
static void check_parts(const struct qn_span_line *line, int n_threads) {
    const int64_t all = qn_span_line_positions(line, line->n_heads * line->n_spans);
    int before = 0;
    cr_assert_eq(qn_span_line_share(line, 0, n_threads), 0);
    for (int t = 1; t <= n_threads; t++) {
        const int cut = qn_span_line_share(line, t, n_threads);
        const int64_t off = qn_span_line_positions(line, cut) - all * t / n_threads;
        cr_assert_leq(before, cut);
        cr_assert(off <= SPAN / 2 && -off <= SPAN / 2, "thread %d of %d: off by %ld", t, n_threads,
                  (long)off);
        before = cut;
    }
    cr_assert_eq(before, line->n_heads * line->n_spans);
}

Test(spans, each_once_and_even) {
    for (int i = 0; i < POSITIONS * WINDOWS; i++)
        for (int n_heads = 1; n_heads <= 32; n_heads++) {
            const int position = positions[i % POSITIONS], window = windows[i / POSITIONS];
            const struct qn_span_line line = qn_span_line_of(n_heads, position, window);
            check_items(&line, position, window);
            for (int n_threads = 1; n_threads <= 128; n_threads++) check_parts(&line, n_threads);
        }
}

Test(spans, whole_ones_differ_by_one) {
    const struct qn_span_line line = qn_span_line_of(3, 4095, 0);
    for (int n_threads = 1; n_threads <= 30; n_threads++)
        for (int t = 0; t < n_threads; t++) {
            const int n = qn_span_line_share(&line, t + 1, n_threads) -
                          qn_span_line_share(&line, t, n_threads);
            cr_assert(n >= 24 / n_threads && n <= (24 + n_threads - 1) / n_threads);
        }
}

Test(spans, are_divided_where_that_is_less_work) {
    static const struct {
        int n_heads, group, position, n_threads;
        bool pays;
    } cases[] = {
        {3, 3, 4095, 2, true},   /* 2 of 3 heads, or half of them */
        {3, 3, 4095, 1, false},  /* all */
        {3, 3, 4095, 3, false},  /* a head each */
        {3, 3, 511, 2, false},   /* a span */
        {3, 3, 600, 8, false},   /* a head's products shared, or not */
        {8, 4, 8191, 16, true},  /* half a head, converted twice or once */
        {2, 7, 8191, 64, true},  /* more threads than query heads */
        {12, 1, 8191, 8, true},  /* 2 heads, or one and a half */
        {16, 1, 8191, 16, false} /* a head each */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct qn_span_line line = qn_span_line_of(cases[i].n_heads, cases[i].position, 0);
        cr_expect_eq(qn_span_line_pays(&line, cases[i].group, cases[i].n_threads), cases[i].pays,
                     "case %zu", i);
    }
}

/* ---- who attends ------------------------------------------------------------------------- */

enum { MAX_CALLS = 256, N_CTX = 2000 };

static struct {
    const char *k;
    int first_span, end_span; /* 0, 0: all */
} calls[MAX_CALLS];
static atomic_int n_calls, n_merges;
static qn_attention_fn *real_attention;
static qn_attention_merge_fn *real_merge;

static void record_attention(const struct qn_attention *a) {
    const int i = n_calls++;
    if (i < MAX_CALLS) {
        calls[i].k = a->k;
        calls[i].first_span = a->parts ? a->first_span : 0;
        calls[i].end_span = a->parts ? a->end_span : 0;
    }
    real_attention(a);
}

static void record_merge(const float *parts, int n_spans, int n_rows, int d, float *out) {
    n_merges++;
    real_merge(parts, n_spans, n_rows, d, out);
}

static void decode_at(struct quern_model *model, int position) {
    const struct quern_session_options options = {.n_ctx = N_CTX};
    static const int32_t tokens[N_CTX];
    struct quern_session *session;
    struct quern_error err;
    struct qn_kernels *const kernels = &qn_model_of(model)->kernels;
    struct quern_batch batch = {.n = (size_t)position, .tokens = tokens};
    cr_assert_eq(quern_session_new(model, &options, &session, &err), QUERN_OK, "%s", err.message);
    cr_assert_eq(quern_session_eval(session, &batch, &err), QUERN_OK);
    real_attention = kernels->attention[QN_CACHE_DEFAULT];
    real_merge = kernels->attention_merge[0];
    kernels->attention[QN_CACHE_DEFAULT] = record_attention;
    kernels->attention_merge[0] = record_merge;
    n_calls = n_merges = 0;
    batch.n = 1;
    cr_assert_eq(quern_session_eval(session, &batch, &err), QUERN_OK);
    kernels->attention[QN_CACHE_DEFAULT] = real_attention;
    kernels->attention_merge[0] = real_merge;
    for (int h = 0; h < qn_model_of(model)->spec.hparams.n_kv_heads; h++)
        cr_assert_eq(qn_session_of(session)->executor.n_spans_done[h], 0);
    quern_session_free(session);
}

/* Of every head that is cut, all spans are computed once, and merged once. */
static void check_calls(const struct qn_model *model, int n_spans) {
    int n_whole = 0, n_cut = 0, n_of[MAX_CALLS] = {0};
    cr_assert_leq(n_calls, MAX_CALLS);
    for (int i = 0; i < n_calls; i++) {
        n_whole += calls[i].end_span == 0;
        n_cut += calls[i].end_span > 0;
        for (int j = 0; j < n_calls; j++)
            if (calls[j].k == calls[i].k) n_of[i] += calls[j].end_span - calls[j].first_span;
        for (int j = 0; j < i; j++)
            cr_assert(calls[j].k != calls[i].k || calls[j].end_span <= calls[i].first_span ||
                      calls[i].end_span <= calls[j].first_span);
        if (calls[i].end_span) cr_assert_eq(n_of[i], n_spans);
    }
    const struct qn_hparams *const hp = &model->spec.hparams;
    cr_assert_gt(n_cut, 0);
    cr_assert_eq(n_merges + n_whole, hp->n_layers * hp->n_kv_heads);
}

Test(spans, threads_share_heads) {
    static const int counts[] = {3, 5, 7, 16};
    char path[512];
    snprintf(path, sizeof path, "%s/models/llama-f32.gguf", TEST_DATA);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const struct quern_model_options options = {.n_threads = counts[i]};
        struct quern_model *model;
        struct quern_error err;
        cr_assert_eq(quern_model_open(path, &options, &model, &err), QUERN_OK, "%s", err.message);
        cr_assert_eq(qn_model_of(model)->spec.hparams.n_kv_heads, 2);
        decode_at(model, 3 * SPAN + 100);
        check_calls(qn_model_of(model), 4);
        decode_at(model, SPAN - 1);
        cr_assert_eq(n_merges, 0, "a single span");
        quern_model_close(model);
    }
}
