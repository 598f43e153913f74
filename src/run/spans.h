/* SPDX-License-Identifier: Apache-2.0
 *
 * A single token's attention, divided over threads by KV heads and then by positions.
 */
#ifndef QN_RUN_SPANS_H
#define QN_RUN_SPANS_H

#include <stdbool.h>
#include <stdint.h>

/* The first position that the token at `position` sees; window 0: no window. */
static inline int qn_first_visible(int position, int window) {
    return window && position >= window ? position - window + 1 : 0;
}

/* KV heads one behind the other, each as long as the positions [first, end) that the token sees.
 * The line is cut at spans of attention (QN_ATTENTION_SPAN), which give the same bits wherever they
 * are computed. Item i is span first_span + i % n_spans of head i / n_spans. */
struct qn_span_line {
    int n_heads;
    int first, end;
    int first_span, n_spans;
};

struct qn_span_line qn_span_line_of(int n_heads, int position, int window);

/* A thread's first item; that of thread n_threads: the number of items. Where items begin nearest
 * to even parts of the positions. */
int qn_span_line_share(const struct qn_span_line *line, int thread, int n_threads);

/* Positions of all items before this one. */
int64_t qn_span_line_positions(const struct qn_span_line *line, int item);

/* Whether the busiest thread has less to do than where each has an even run of query heads, of
 * which `group` share a KV head. */
bool qn_span_line_pays(const struct qn_span_line *line, int group, int n_threads);

#endif
