/* SPDX-License-Identifier: Apache-2.0 */
#include "run/session.h"

#include <stdlib.h>

#include "base/checked.h"
#include "host/limits.h"
#include "run/spans.h"
#include "run/work.h"

/* The smallest piece of a share, an eighth, is then a microsecond of reading at 16 GB/s, ten times
 * what it costs to claim it. */
enum { LEAST_SHARE = 128 << 10 };

/* ---- making ----------------------------------------------------------------------------- */

/* Writes one byte a page, each thread its own scratch and its share of the rest, so that no page
 * fault falls into a forward pass. */
static void touch(void *context, int thread) {
    const struct qn_session *const session = context;
    const struct qn_layout *const l = &session->plan.layout;
    const size_t n_threads = (size_t)session->plan.limits.n_threads, page = 4096;
    volatile char *const data = session->arena.data;
    const size_t pages = (l->scratch_offset + page - 1) / page;
    for (size_t p = pages * (size_t)thread / n_threads;
         p < pages * ((size_t)thread + 1) / n_threads; p++)
        data[p * page] = 0;
    const size_t scratch = l->scratch_offset + (size_t)thread * l->scratch_size;
    for (size_t at = 0; at < l->scratch_size; at += page) data[scratch + at] = 0;
}

static enum qn_status allocate(struct qn_session *session, struct qn_error *err) {
    const struct qn_hparams *const hp = &session->model->spec.hparams;
    const size_t n = (size_t)session->options.n_ubatch;
    const size_t n_angles = (size_t)hp->n_rope_sets * (size_t)(hp->n_rot / 2);
    session->executor.rope_frequency = calloc(n_angles + 1, sizeof(double));
    session->tokens = calloc(n, sizeof *session->tokens);
    session->positions = calloc(n, sizeof *session->positions);
    session->sequences = calloc(n, sizeof *session->sequences);
    session->outputs = calloc(n, sizeof *session->outputs);
    session->tiles = calloc(n + 1, sizeof *session->tiles);
    session->expected = calloc((size_t)session->options.n_sequences, sizeof *session->expected);
    session->executor.next = calloc((size_t)session->plan.n_steps, sizeof *session->executor.next);
    session->executor.n_spans_done =
        calloc((size_t)hp->n_kv_heads, sizeof *session->executor.n_spans_done);
    session->executor.claims =
        qn_claims_new(qn_pool_n_threads(session->model->pool), &session->model->topology);
    if (session->tokens && session->positions && session->sequences && session->outputs &&
        session->tiles && session->expected && session->executor.next && session->executor.claims &&
        session->executor.n_spans_done && session->executor.rope_frequency)
        return QN_OK;
    return qn_fail(err, QN_NO_MEMORY, "no memory for a session of %zu tokens at once", n);
}

/* Positions that each sequence may count on: what it is given others must not change. */
static int sequence_ctx(const struct qn_session *session) {
    return session->options.n_ctx / session->options.n_sequences;
}

/* Divisors that a file holds as tensors; those of LongRoPE by the session's context. */
static const float *rotation_factors(const struct qn_session *session) {
    const struct qn_rope_params *const rope = &session->model->spec.hparams.rope[QN_ROPE_GLOBAL];
    const bool is_long = sequence_ctx(session) > rope->ctx_orig;
    const float *const by_context =
        qn_model_weight(session->model, is_long ? QN_ROLE_ROPE_LONG : QN_ROLE_ROPE_SHORT, 0);
    return by_context ? by_context : qn_model_weight(session->model, QN_ROLE_ROPE_FACTORS, 0);
}

static void set_rotation(struct qn_session *session) {
    const struct qn_hparams *const hp = &session->model->spec.hparams;
    const float *const factors = rotation_factors(session);
    struct qn_executor *const e = &session->executor;
    for (int set = 0; set < hp->n_rope_sets; set++)
        e->rope_scale[set] = qn_hparams_rope(hp, set, factors, sequence_ctx(session),
                                             e->rope_frequency + set * (hp->n_rot / 2));
}

/* Weights that were packed are in memory already; those that are mapped can be read again. */
static enum qn_status check_memory(const struct qn_session *session, struct qn_error *err) {
    const size_t weights = session->model->cached ? 0 : session->model->spec.arena_size;
    size_t size;
    if (!qn_checked_add(weights, session->plan.layout.total, &size)) size = SIZE_MAX;
    return qn_limits_check_memory("", size, err);
}

static enum qn_status make(struct qn_session *session, struct qn_error *err) {
    const struct qn_session_options *const o = &session->options;
    struct qn_model *const model = session->model;
    const struct qn_limits limits = {.n_ctx = o->n_ctx,
                                     .n_ubatch = o->n_ubatch,
                                     .n_sequences = o->n_sequences,
                                     .n_logits = o->n_logits,
                                     .n_threads = qn_pool_n_threads(model->pool),
                                     .n_threads_one = model->n_threads,
                                     .cache = o->cache,
                                     .bundles = model->kernels.bundles,
                                     .tapped = o->tap.call != NULL};
    QN_TRY(qn_plan_new(&model->spec, &limits, &session->plan, err));
    QN_TRY(check_memory(session, err));
    QN_TRY(qn_kv_blocks_new(o->n_ctx, session->plan.layout.n_blocks,
                            session->plan.layout.sequence_blocks, o->n_sequences, &session->kv,
                            err));
    QN_TRY(qn_arena_open(session->plan.layout.total, o->huge_pages, &session->arena, err));
    QN_TRY(allocate(session, err));
    qn_pool_run(model->pool, touch, session);
    session->executor.model = model;
    session->executor.plan = &session->plan;
    session->executor.arena = session->arena.data;
    session->executor.blocks = session->kv.tables;
    session->executor.bytes_read = &session->bytes_read;
    session->executor.least_share = LEAST_SHARE;
    session->executor.tap = o->tap;
    set_rotation(session);
    return QN_OK;
}

enum qn_status qn_session_new(struct qn_model *model, const struct qn_session_options *options,
                              struct qn_session **out, struct qn_error *err) {
    *out = NULL;
    struct qn_session *const session = calloc(1, sizeof *session);
    if (!session) return qn_fail(err, QN_NO_MEMORY, "no memory for a session");
    session->model = model;
    session->options = *options;
    const enum qn_status status = make(session, err);
    if (status == QN_OK)
        *out = session;
    else
        qn_session_free(session);
    return status;
}

void qn_session_free(struct qn_session *session) {
    if (!session) return;
    qn_recorder_free(session->executor.recorder);
    qn_plan_free(&session->plan);
    qn_kv_blocks_free(&session->kv);
    qn_arena_close(&session->arena);
    free(session->tokens);
    free(session->positions);
    free(session->sequences);
    free(session->outputs);
    free(session->tiles);
    free(session->expected);
    free(session->executor.next);
    free(session->executor.n_spans_done);
    free(session->executor.claims);
    free(session->executor.rope_frequency);
    free(session);
}

/* ---- checking --------------------------------------------------------------------------- */

static enum qn_status check_token(const struct qn_session *session, const struct qn_batch *batch,
                                  size_t i, struct qn_error *err) {
    const int n_vocab = session->model->spec.hparams.n_vocab;
    if (batch->tokens[i] < 0 || batch->tokens[i] >= n_vocab)
        return qn_fail(err, QN_BAD_ARGUMENT, "token id %d at %zu of the batch; expected 0 to %d",
                       batch->tokens[i], i, n_vocab - 1);
    const int32_t sequence = batch->sequences ? batch->sequences[i] : 0;
    if (sequence < 0 || sequence >= session->options.n_sequences)
        return qn_fail(err, QN_BAD_ARGUMENT, "sequence %d at %zu of the batch; expected 0 to %d",
                       sequence, i, session->options.n_sequences - 1);
    const int expected = session->expected[sequence]++;
    if (batch->positions && batch->positions[i] != expected)
        return qn_fail(err, QN_BAD_ARGUMENT,
                       "position %d at %zu of the batch; sequence %d continues at %d",
                       batch->positions[i], i, sequence, expected);
    return QN_OK;
}

static bool wants_logits(const struct qn_batch *batch, size_t i) {
    return batch->logits ? batch->logits[i] : i + 1 == batch->n;
}

static enum qn_status check_batch(struct qn_session *session, const struct qn_batch *batch,
                                  struct qn_error *err) {
    const struct qn_kv_blocks *const kv = &session->kv;
    if (batch->n == 0) return qn_fail(err, QN_BAD_ARGUMENT, "the batch has no tokens");
    if (batch->n > (size_t)(kv->n_ctx - kv->n_used))
        return qn_fail(err, QN_CONTEXT_FULL,
                       "%zu tokens after the %d in the context exceed its %d positions", batch->n,
                       kv->n_used, kv->n_ctx);
    for (int s = 0; s < kv->n_sequences; s++) session->expected[s] = kv->lengths[s];
    size_t n_logits = 0;
    for (size_t i = 0; i < batch->n; i++) {
        QN_TRY(check_token(session, batch, i, err));
        n_logits += wants_logits(batch, i);
    }
    if (n_logits > (size_t)session->options.n_logits)
        return qn_fail(err, QN_BAD_ARGUMENT,
                       "the batch asks for %zu rows of logits; the session was made for %d",
                       n_logits, session->options.n_logits);
    return QN_OK;
}

/* ---- evaluating ------------------------------------------------------------------------- */

/* Runs of tokens of one sequence, at most QN_TILE_TOKENS long. */
static int cut_tiles(const struct qn_session *session, int m) {
    int n = 0;
    for (int i = 0; i < m; i++) {
        const bool same = n && session->sequences[i] == session->sequences[i - 1] &&
                          i - session->tiles[n - 1] < QN_TILE_TOKENS;
        if (!same) session->tiles[n++] = i;
    }
    session->tiles[n] = m;
    return n;
}

/* Bytes of the cache, all layers, that a token at a position reads. */
static uint64_t visible_bytes(const struct qn_session *session, int position) {
    const struct qn_layout *const l = &session->plan.layout;
    const struct qn_hparams *const hp = &session->model->spec.hparams;
    const uint64_t bytes = (l->k_block + l->v_block) / QN_KV_BLOCK * (uint64_t)hp->n_kv_heads;
    uint64_t positions = 0;
    for (int layer = 0; layer < hp->n_layers; layer++) {
        const int first = qn_first_visible(position, qn_hparams_window(hp, layer));
        positions += (uint64_t)(position + 1 - first);
    }
    return positions * bytes;
}

/* Bytes that a ubatch reads at least: the weights, the head's where there are outputs, and what the
 * last token of each sequence in it sees of the cache. */
static uint64_t count_bytes(const struct qn_session *session, const struct qn_ubatch *u) {
    uint64_t bytes = 0;
    for (int i = 0; i < session->plan.n_steps; i++) {
        const struct qn_step *const step = &session->plan.steps[i];
        if (step->rows != QN_ROWS_OUTPUTS || u->n_outputs > 0) bytes += step->bytes;
    }
    for (int i = 0; i < u->n_tiles; i++) {
        const int last = u->tiles[i + 1] - 1;
        if (qn_ubatch_ends(u, last)) bytes += visible_bytes(session, u->positions[last]);
    }
    return bytes;
}

/* Evaluates tokens [first, first + m) of the batch. */
static void eval_ubatch(struct qn_session *session, const struct qn_batch *batch, size_t first,
                        int m) {
    struct qn_kv_blocks *const kv = &session->kv;
    int n_outputs = 0;
    for (int i = 0; i < m; i++) {
        const size_t at = first + (size_t)i;
        const int32_t sequence = batch->sequences ? batch->sequences[at] : 0;
        session->tokens[i] = batch->tokens[at];
        session->sequences[i] = sequence;
        session->positions[i] = kv->lengths[sequence];
        qn_kv_blocks_append(kv, sequence);
        if (wants_logits(batch, at)) session->outputs[n_outputs++] = i;
    }
    const struct qn_ubatch ubatch = {.m = m,
                                     .tokens = session->tokens,
                                     .positions = session->positions,
                                     .sequences = session->sequences,
                                     .n_outputs = n_outputs,
                                     .outputs = session->outputs,
                                     .first_logits = (int)session->n_logits,
                                     .n_tiles = cut_tiles(session, m),
                                     .tiles = session->tiles};
    qn_executor_run(&session->executor, &ubatch);
    session->n_logits += (size_t)n_outputs;
    session->bytes_read += count_bytes(session, &ubatch);
}

enum qn_status qn_session_eval(struct qn_session *session, const struct qn_batch *batch,
                               struct qn_error *err) {
    QN_TRY(check_batch(session, batch, err));
    const size_t ubatch = (size_t)session->options.n_ubatch;
    session->n_logits = 0;
    for (size_t first = 0; first < batch->n; first += ubatch) {
        if (session->options.keep_going &&
            !session->options.keep_going(session->options.keep_going_context))
            return qn_fail(err, QN_CANCELLED, "stopped after %zu of %zu tokens", first, batch->n);
        const size_t rest = batch->n - first;
        eval_ubatch(session, batch, first, (int)(rest < ubatch ? rest : ubatch));
    }
    return QN_OK;
}

float *qn_session_logits(struct qn_session *session, size_t i) {
    if (i >= session->n_logits) return NULL;
    return qn_buffer_row(&session->executor, QN_BUFFER_LOGITS, (int)i);
}

const float *qn_session_maxima(const struct qn_session *session, size_t i) {
    if (i >= session->n_logits) return NULL;
    return qn_buffer_row(&session->executor, QN_BUFFER_MAXIMA, (int)i);
}
