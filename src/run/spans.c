/* SPDX-License-Identifier: Apache-2.0 */
#include "run/spans.h"

#include "host/pool.h"
#include "kernels/kernels.h"

struct qn_span_line qn_span_line_of(int n_heads, int position, int window) {
    const int first = qn_first_visible(position, window);
    const int first_span = first / QN_ATTENTION_SPAN;
    return (struct qn_span_line){.n_heads = n_heads,
                                 .first = first,
                                 .end = position + 1,
                                 .first_span = first_span,
                                 .n_spans = position / QN_ATTENTION_SPAN - first_span + 1};
}

/* Where span number i of those seen begins within a head; n_spans: where the head ends. */
static int span_begin(const struct qn_span_line *line, int i) {
    if (i == 0) return 0;
    if (i == line->n_spans) return line->end - line->first;
    return (line->first_span + i) * QN_ATTENTION_SPAN - line->first;
}

int64_t qn_span_line_positions(const struct qn_span_line *line, int item) {
    const int length = line->end - line->first;
    return (int64_t)(item / line->n_spans) * length + span_begin(line, item % line->n_spans);
}

int qn_span_line_share(const struct qn_span_line *line, int thread, int n_threads) {
    const int length = line->end - line->first;
    const int64_t at = (int64_t)line->n_heads * length * thread / n_threads;
    const int head = (int)(at / length), within = (int)(at % length);
    const int i = (line->first + within) / QN_ATTENTION_SPAN - line->first_span;
    const int before = within - span_begin(line, i), behind = span_begin(line, i + 1) - within;
    return head * line->n_spans + (before > behind ? i + 1 : i);
}

/* What a position of a KV head costs beside its query heads' products, in query heads: it is read,
 * and converted to float (kernels/tmpl/attention.inc). */
enum { POSITION_COST = 2 };

static int64_t cost_by_spans(const struct qn_span_line *line, int group, int n_threads) {
    int64_t most = 0, before = 0;
    for (int t = 1; t <= n_threads; t++) {
        const int64_t end = qn_span_line_positions(line, qn_span_line_share(line, t, n_threads));
        most = end - before > most ? end - before : most;
        before = end;
    }
    return most * (POSITION_COST + group);
}

static int64_t cost_by_heads(const struct qn_span_line *line, int group, int n_threads) {
    const int n_heads = line->n_heads * group;
    int most = 0;
    for (int t = 0; t < n_threads; t++) {
        const int h0 = qn_share(n_heads, t, n_threads), h1 = qn_share(n_heads, t + 1, n_threads);
        const int n_kv_heads = h0 < h1 ? (h1 - 1) / group - h0 / group + 1 : 0;
        const int cost = n_kv_heads * POSITION_COST + h1 - h0;
        most = cost > most ? cost : most;
    }
    return (int64_t)(line->end - line->first) * most;
}

bool qn_span_line_pays(const struct qn_span_line *line, int group, int n_threads) {
    return line->n_spans > 1 &&
           cost_by_spans(line, group, n_threads) < cost_by_heads(line, group, n_threads);
}
