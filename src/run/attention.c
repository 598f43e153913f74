/* SPDX-License-Identifier: Apache-2.0 */
#include "run/attention.h"

#include <string.h>

#include "run/heads.h"
#include "run/work.h"

/* Query heads that share a KV head. */
static int group_of(const struct qn_hparams *hp) {
    return hp->n_heads / hp->n_kv_heads;
}

/* Query heads [h0, h1) of one KV head, for the tokens of one tile. */
static void attend(const struct qn_executor *e, const struct qn_step *step, int thread, int tile,
                   int h0, int h1) {
    const struct qn_model *const model = e->model;
    const struct qn_ubatch *const u = e->ubatch;
    const int first = u->tiles[tile], end = u->tiles[tile + 1];
    const int d = model->spec.hparams.head_size;
    for (int m = first; m < end; m++)
        qn_finish_heads(e, QN_ROLE_ATTN_Q_NORM, step->layer,
                        qn_query_row(e, step - 1, thread, m) + h0 * d, h1 - h0, m);
    struct qn_attention a = qn_attention_of(e, step->layer, u->sequences[first], h0, h1);
    a.q = qn_query_row(e, step - 1, thread, first) + h0 * d;
    a.q_ld = qn_buffer_ld(e, QN_BUFFER_Q);
    a.out = qn_buffer_row(e, QN_BUFFER_ATTN, first) + h0 * d;
    a.out_ld = qn_buffer_ld(e, QN_BUFFER_ATTN);
    a.pos = u->positions + first;
    a.m = end - first;
    model->kernels.attention[e->plan->limits.cache](&a);
}

/* ---- heads that threads share ------------------------------------------------------------ */

/* Records of a KV head's spans, from number i of those that the token sees. */
static float *parts_of(const struct qn_executor *e, int head, int i) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const size_t of_span = (size_t)group_of(hp) * qn_attention_part_size(hp->head_size);
    return qn_buffer_row(e, QN_BUFFER_PARTS, head) + (size_t)i * (of_span / sizeof(float));
}

/* Spans [s0, s1), numbered from the first that the token sees, of all query heads of one KV head:
 * their records. The thread has queries of its own, as others rotate the same. */
static void attend_spans(const struct qn_executor *e, const struct qn_step *step, int thread,
                         const struct qn_span_line *line, int head, int s0, int s1) {
    const struct qn_model *const model = e->model;
    const struct qn_hparams *const hp = &model->spec.hparams;
    const int group = group_of(hp), h0 = head * group;
    float *const q = qn_scratch(e, thread, e->plan->layout.queries);
    memcpy(q, qn_buffer_row(e, QN_BUFFER_Q, 0) + h0 * hp->head_size,
           (size_t)(group * hp->head_size) * sizeof *q);
    qn_finish_heads(e, QN_ROLE_ATTN_Q_NORM, step->layer, q, group, 0);
    struct qn_attention a =
        qn_attention_of(e, step->layer, e->ubatch->sequences[0], h0, h0 + group);
    a.q = q;
    a.pos = e->ubatch->positions;
    a.m = 1;
    a.parts = parts_of(e, head, s0);
    a.first_span = line->first_span + s0;
    a.end_span = line->first_span + s1;
    model->kernels.attention[e->plan->limits.cache](&a);
}

/* Who computes the last span of a head, in time, merges all; by then nobody counts any more, so
 * that the count can start anew for the next layer, which lies behind a barrier. */
static void merge_if_last(const struct qn_executor *e, const struct qn_span_line *line, int head,
                          int n_computed) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int group = group_of(hp);
    const int before =
        atomic_fetch_add_explicit(&e->n_spans_done[head], n_computed, memory_order_acq_rel);
    if (before + n_computed < line->n_spans) return;
    atomic_store_explicit(&e->n_spans_done[head], 0, memory_order_relaxed);
    e->model->kernels.attention_merge[0](parts_of(e, head, 0), line->n_spans, group, hp->head_size,
                                         qn_buffer_row(e, QN_BUFFER_ATTN, 0) +
                                             head * group * hp->head_size);
}

/* The thread's part of a single token's line of heads and spans. */
static int attend_part(const struct qn_executor *e, const struct qn_step *step, int thread,
                       const struct qn_span_line *line) {
    const int n_spans = line->n_spans, group = group_of(&e->model->spec.hparams);
    const int end = qn_span_line_share(line, thread + 1, e->n_threads);
    int n_pieces = 0;
    for (int item = qn_span_line_share(line, thread, e->n_threads); item < end; n_pieces++) {
        const int head = item / n_spans, s0 = item % n_spans;
        const int s1 = end - item < n_spans - s0 ? s0 + end - item : n_spans;
        if (s1 - s0 == n_spans) {
            attend(e, step, thread, 0, head * group, (head + 1) * group);
        } else {
            attend_spans(e, step, thread, line, head, s0, s1);
            merge_if_last(e, line, head, s1 - s0);
        }
        item += s1 - s0;
    }
    return n_pieces;
}

/* ---- the step ---------------------------------------------------------------------------- */

void qn_attention_divide(struct qn_executor *executor) {
    const struct qn_hparams *const hp = &executor->model->spec.hparams;
    const struct qn_buffer *const parts = &executor->plan->buffers[QN_BUFFER_PARTS];
    for (int windowed = 0; windowed < 2; windowed++) {
        struct qn_span_line *const line = &executor->lines[windowed];
        *line = qn_span_line_of(hp->n_kv_heads, executor->ubatch->positions[0],
                                windowed ? hp->window : 0);
        executor->by_spans[windowed] =
            parts->n_rows > 0 && qn_span_line_pays(line, group_of(hp), executor->n_threads);
    }
}

/* KV heads of many tiles are handed out, the longest (last) first. */
static int attend_handed(const struct qn_executor *e, const struct qn_step *step, int thread,
                         int n_items) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int n_tiles = e->ubatch->n_tiles, group = group_of(hp);
    int n_pieces = 0;
    for (int i; (i = qn_next_piece(e, step)) < n_items; n_pieces++) {
        const int tile = n_tiles - 1 - i / hp->n_kv_heads, h0 = i % hp->n_kv_heads * group;
        attend(e, step, thread, tile, h0, h0 + group);
    }
    return n_pieces;
}

/* Each thread takes an even run of query heads, `together` at once, and calls for those that share
 * a KV head go together. */
static int attend_run(const struct qn_executor *e, const struct qn_step *step, int thread,
                      int together) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int group = group_of(hp), n_units = e->ubatch->n_tiles * hp->n_heads / together;
    const int end = qn_share(n_units, thread + 1, e->n_threads) * together;
    int n_pieces = 0;
    for (int unit = qn_share(n_units, thread, e->n_threads) * together; unit < end; n_pieces++) {
        const int h0 = unit % hp->n_heads, group_end = (h0 / group + 1) * group;
        const int h1 = end - unit < group_end - h0 ? h0 + end - unit : group_end;
        attend(e, step, thread, unit / hp->n_heads, h0, h1);
        unit += h1 - h0;
    }
    return n_pieces;
}

int qn_attention_run(const struct qn_executor *e, const struct qn_step *step, int thread) {
    const struct qn_hparams *const hp = &e->model->spec.hparams;
    const int n_items = e->ubatch->n_tiles * hp->n_kv_heads;
    const bool windowed = qn_hparams_window(hp, step->layer) > 0;
    if (qn_has_own_heads(e, step - 1)) return attend_run(e, step, thread, group_of(hp));
    if (n_items >= 4 * e->n_threads) return attend_handed(e, step, thread, n_items);
    if (e->ubatch->m == 1 && e->by_spans[windowed])
        return attend_part(e, step, thread, &e->lines[windowed]);
    return attend_run(e, step, thread, 1);
}
