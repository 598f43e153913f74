/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory of a session: which buffers are busy when, how large each is, where everything lies.
 */
#include <string.h>

#include "base/checked.h"
#include "plan/place.h"
#include "plan/plan_internal.h"

enum { PAGE = 2 << 20 };

/* ---- lifetimes -------------------------------------------------------------------------- */

static const uint32_t act_bits = 1u << QN_BUFFER_ACT_F32 | 1u << QN_BUFFER_ACT_Q8 |
                                 1u << QN_BUFFER_ACT_Q8X2 | 1u << QN_BUFFER_ACT_BF16X2 |
                                 1u << QN_BUFFER_ACT_BF16 | 1u << QN_BUFFER_ACT_I16;
static const uint32_t rope_bits = 1u << QN_BUFFER_COS | 1u << QN_BUFFER_SIN;

/* The caller's until the next eval. */
static const uint32_t kept_bits = 1u << QN_BUFFER_LOGITS | 1u << QN_BUFFER_MAXIMA;

static uint32_t bit(enum qn_buffer_id id) {
    return 1u << id;
}

uint32_t qn_step_reads(const struct qn_step *step) {
    switch (step->op) {
    case QN_OP_PREPARE:
    case QN_OP_NORM:
        return bit(step->in);
    case QN_OP_MATMUL:
        return act_bits | (step->after == QN_AFTER_STORE_KV ? rope_bits : 0) |
               (step->after == QN_AFTER_ADD ? bit(step->products[0].out) : 0) |
               (step->after == QN_AFTER_COMBINE ? bit(QN_BUFFER_ROUTES) : 0) |
               (step->after == QN_AFTER_COMBINE && step->sum == QN_BUFFER_X ? bit(QN_BUFFER_X) : 0);
    case QN_OP_STORE_KV:
        return rope_bits | bit(QN_BUFFER_Q) | bit(QN_BUFFER_K) | bit(QN_BUFFER_V);
    case QN_OP_ATTENTION:
        return rope_bits | bit(step->in);
    case QN_OP_RESIDUAL:
        return bit(step->in) | bit(QN_BUFFER_X);
    case QN_OP_ROUTE:
        return bit(QN_BUFFER_ROUTER);
    case QN_OP_NUMBER:
        return bit(QN_BUFFER_ROUTES);
    default:
        return 0;
    }
}

uint32_t qn_step_writes(const struct qn_step *step) {
    uint32_t bits = step->after == QN_AFTER_COMBINE ? bit(step->sum) : 0;
    switch (step->op) {
    case QN_OP_EMBED:
        return rope_bits | bit(QN_BUFFER_X) | bit(QN_BUFFER_EMBD);
    case QN_OP_PREPARE:
        return act_bits;
    case QN_OP_MATMUL:
        for (int i = 0; i < step->n_products; i++) bits |= bit(step->products[i].out);
        return bits & kept_bits ? bits | kept_bits : bits;
    case QN_OP_STORE_KV:
        return bit(QN_BUFFER_Q) | bit(QN_BUFFER_K);
    case QN_OP_RESIDUAL:
    case QN_OP_NORM:
        return bit(QN_BUFFER_X);
    case QN_OP_ROUTE:
        return bit(QN_BUFFER_ROUTES);
    case QN_OP_NUMBER:
        return 0;
    default:
        return bit(QN_BUFFER_ATTN) | bit(QN_BUFFER_PARTS);
    }
}

/* Walks the steps backwards; buffers that are busy at one step may not share bytes. Nor may those
 * of steps that no barrier parts: a thread may still read what it prepares while another has gone
 * on to write the product. Barriers are fewest with one thread and with a single token, whose
 * prepared rows are each thread's own. LOGITS are the caller's until the next eval, whose first
 * steps must not touch them. */
struct lifetimes {
    uint32_t live;
    uint32_t together, together_one; /* of several tokens, of a single one */
};

static const struct lifetimes at_the_end = {.live = kept_bits};

static uint32_t busy_before(struct lifetimes *l, const struct qn_plan *plan,
                            const struct qn_step *step) {
    const uint32_t reads = qn_step_reads(step), writes = qn_step_writes(step);
    if (qn_step_has_barrier(plan, step, 2, 1)) l->together = 0;
    if (qn_step_has_barrier(plan, step, 1, 1)) l->together_one = 0;
    l->together |= reads | writes;
    l->together_one |= (reads | writes) & ~act_bits;
    const uint32_t busy = l->live | l->together | l->together_one;
    l->live = (l->live & ~writes) | reads;
    return busy;
}

void qn_plan_busy(const struct qn_plan *plan, uint32_t *busy) {
    struct lifetimes lifetimes = at_the_end;
    for (int s = plan->n_steps - 1; s >= 0; s--)
        busy[s] = busy_before(&lifetimes, plan, &plan->steps[s]) | kept_bits;
}

static void find_conflicts(const struct qn_plan *plan, uint32_t *conflicts) {
    struct lifetimes lifetimes = at_the_end;
    memset(conflicts, 0, QN_BUFFER_COUNT * sizeof *conflicts);
    for (int s = plan->n_steps - 1; s >= 0; s--) {
        const uint32_t busy = busy_before(&lifetimes, plan, &plan->steps[s]);
        for (int b = 0; b < QN_BUFFER_COUNT; b++)
            if (busy >> b & 1) conflicts[b] |= busy;
    }
    for (int b = 0; b < QN_BUFFER_COUNT; b++)
        conflicts[b] = bit(b) & kept_bits ? (1u << QN_BUFFER_COUNT) - 1 : conflicts[b] | kept_bits;
}

/* ---- memory ----------------------------------------------------------------------------- */

/* An odd number of cache lines: a piece of a product writes, and then reads, some columns of many
 * rows, and with an even number they would share few sets of a cache. */
static size_t float_row(int n) {
    return qn_act_row_size(QN_ACT_F32, n);
}

/* The longest row that any product reads. */
static int longest_input(const struct qn_spec *spec) {
    int k = 1;
    for (size_t i = 0; i < spec->n_weights; i++)
        if (spec->weights[i].tile_size && spec->weights[i].k > k) k = spec->weights[i].k;
    return k;
}

/* Buffers that no step of this model needs take no room. */
static void drop_unused(struct qn_plan *plan) {
    /* These are read within the step that computes them, or by the caller. */
    const uint32_t read_at_once = bit(QN_BUFFER_K) | bit(QN_BUFFER_V) | bit(QN_BUFFER_PARTS) |
                                  bit(QN_BUFFER_UP) | bit(QN_BUFFER_SLOTS) | kept_bits;
    uint32_t reads = 0;
    for (int s = 0; s < plan->n_steps; s++) {
        reads |= qn_step_reads(&plan->steps[s]);
        reads |= qn_step_writes(&plan->steps[s]) & read_at_once;
    }
    for (int b = 0; b < QN_BUFFER_COUNT; b++)
        if (!(reads >> b & 1)) plan->buffers[b].n_rows = 0;
}

/* Slots of a token; 1 without experts. */
static int slots_of_token(const struct qn_hparams *h) {
    return h->n_experts ? h->n_experts_used : 1;
}

static size_t route_row(const struct qn_hparams *h) {
    return float_row(2 * h->n_experts_used);
}

/* The longest row of GATE and UP. */
static int widest_mlp(const struct qn_plan *plan) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    int widest = 0;
    for (int layer = 0; layer < h->n_layers; layer++) {
        const int n = qn_plan_has(plan, QN_ROLE_ROUTER, layer) ? h->n_expert_ff : h->n_ff;
        if (n > widest) widest = n;
    }
    return widest;
}

/* The most tokens of a ubatch whose logits may be asked for. */
static int most_outputs(const struct qn_plan *plan) {
    const struct qn_limits *const l = &plan->limits;
    return l->n_logits < l->n_ubatch ? l->n_logits : l->n_ubatch;
}

/* The most rows that a step works on. */
static int most_rows(const struct qn_plan *plan, const struct qn_step *step) {
    const int m = plan->limits.n_ubatch;
    if (step->rows == QN_ROWS_OUTPUTS) return most_outputs(plan);
    return step->rows == QN_ROWS_SLOTS ? m * slots_of_token(&plan->spec->hparams) : m;
}

/* Whether rows are ever prepared in this form for a single token or output. */
static bool is_prepared_singly(const struct qn_plan *plan, enum qn_act act) {
    for (int s = 0; s < plan->n_steps; s++)
        if (plan->steps[s].acts[false] >> act & 1) return true;
    return false;
}

/* As long as the longest row that is ever prepared in this form; as many as there are of several
 * tokens at most. */
static struct qn_buffer act_buffer(const struct qn_plan *plan, const char *name, enum qn_act act) {
    int longest = 1, most = 0;
    for (int s = 0; s < plan->n_steps; s++) {
        const struct qn_step *const step = &plan->steps[s];
        if (!((step->acts[false] | step->acts[true]) >> act & 1)) continue;
        const enum qn_role weight = plan->steps[s + 1].products[0].weight;
        const int k = qn_spec_weight(plan->spec, weight, step->layer)->k;
        const int n_rows = step->acts[true] >> act & 1 ? most_rows(plan, step) : 0;
        longest = k > longest ? k : longest;
        most = n_rows > most ? n_rows : most;
    }
    return (struct qn_buffer){name, qn_act_row_size(act, longest), most, 0};
}

/* The most spans of a KV head that a token sees where threads may share heads, or 0. A window
 * reaches into one span more than it is long, but for one position. Taps look at the queries of
 * whole heads. */
static int shared_spans(const struct qn_plan *plan) {
    const int all = (plan->limits.n_ctx - 1) / QN_ATTENTION_SPAN + 1;
    int most = 0;
    for (int s = 0; s < plan->n_steps && !plan->limits.tapped; s++) {
        const struct qn_step *const step = &plan->steps[s];
        if (step->op != QN_OP_ATTENTION || !qn_step_has_decode_barrier(plan, step - 1)) continue;
        const int window = qn_hparams_window(&plan->spec->hparams, step->layer);
        const int near = (window + QN_ATTENTION_SPAN - 2) / QN_ATTENTION_SPAN + 1;
        const int n = window && near < all ? near : all;
        most = n > most ? n : most;
    }
    return most > 1 ? most : 0;
}

static void size_buffers(struct qn_plan *plan) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    const int m = plan->limits.n_ubatch, slots = m * slots_of_token(h);
    const size_t q = float_row(h->n_heads * h->head_size);
    const size_t kv = float_row(h->n_kv_heads * h->head_size);
    const int spans = shared_spans(plan);
    const size_t records = (size_t)spans * (size_t)(h->n_heads / h->n_kv_heads);
    const size_t ff = float_row(widest_mlp(plan)), rot = float_row(h->n_rot / 2 * h->n_rope_sets);
    const struct qn_buffer buffers[QN_BUFFER_COUNT] = {
        [QN_BUFFER_X] = {"x", float_row(h->n_embd), m, 0},
        [QN_BUFFER_EMBD] = {"embd", float_row(h->n_token_embd), m, 0},
        [QN_BUFFER_ACT_F32] = act_buffer(plan, "act_f32", QN_ACT_F32),
        [QN_BUFFER_ACT_Q8] = act_buffer(plan, "act_q8", QN_ACT_Q8),
        [QN_BUFFER_ACT_Q8X2] = act_buffer(plan, "act_q8x2", QN_ACT_Q8X2),
        [QN_BUFFER_ACT_BF16X2] = act_buffer(plan, "act_bf16x2", QN_ACT_BF16X2),
        [QN_BUFFER_ACT_BF16] = act_buffer(plan, "act_bf16", QN_ACT_BF16),
        [QN_BUFFER_ACT_I16] = act_buffer(plan, "act_i16", QN_ACT_I16),
        [QN_BUFFER_Q] = {"q", q, m, 0},
        [QN_BUFFER_K] = {"k", kv, m, 0},
        [QN_BUFFER_V] = {"v", kv, m, 0},
        [QN_BUFFER_ATTN] = {"attn", q, m, 0},
        [QN_BUFFER_PARTS] = {"parts", records * qn_attention_part_size(h->head_size),
                             spans ? h->n_kv_heads : 0, 0},
        [QN_BUFFER_GATE] = {"gate", ff, slots, 0},
        [QN_BUFFER_UP] = {"up", ff, slots, 0},
        [QN_BUFFER_OUT] = {"out", float_row(h->n_embd), m, 0},
        [QN_BUFFER_ROUTER] = {"router", float_row(h->n_experts), m, 0},
        [QN_BUFFER_ROUTES] = {"routes", route_row(h), m, 0},
        [QN_BUFFER_SLOTS] = {"slots", float_row(h->n_embd), slots, 0},
        [QN_BUFFER_COS] = {"cos", rot, m, 0},
        [QN_BUFFER_SIN] = {"sin", rot, m, 0},
        [QN_BUFFER_LOGITS] = {"logits", float_row(h->n_vocab), plan->limits.n_logits, 0},
        [QN_BUFFER_MAXIMA] = {"maxima", float_row(qn_n_maxima(h->n_vocab)), plan->limits.n_logits,
                              0},
    };
    memcpy(plan->buffers, buffers, sizeof buffers);
    drop_unused(plan);
}

/* Rounds *end up to a page and takes size bytes; false when that overflows. */
static bool take(size_t *end, size_t size, size_t *offset) {
    if (!qn_checked_align(*end, PAGE, end)) return false;
    *offset = *end;
    return qn_checked_add(*end, size, end);
}

/* The fewest give the kernels enough of the weights at once, as their pieces of a product do; of
 * one output there are so many that few streams of weights begin anew, and the sums stay in L1. */
enum { LEAST_COLUMNS = 128, COLUMNS_OF_ONE = 4096 };
_Static_assert(LEAST_COLUMNS % QN_LOGITS_BLOCK == 0, "no block of logits is cut");

int qn_plan_sums_columns(int n) {
    const int columns = COLUMNS_OF_ONE / n / LEAST_COLUMNS * LEAST_COLUMNS;
    return columns > LEAST_COLUMNS ? columns : LEAST_COLUMNS;
}

/* Those of up to n outputs. */
static size_t most_sums(int n) {
    const size_t of_many = (size_t)n * LEAST_COLUMNS;
    if (n == 0) return 0;
    return 2 * (of_many > COLUMNS_OF_ONE ? of_many : COLUMNS_OF_ONE);
}

static void size_scratch(struct qn_plan *plan) {
    struct qn_layout *const l = &plan->layout;
    const struct qn_hparams *const h = &plan->spec->hparams;
    const int k = longest_input(plan->spec);
    const size_t row_slots = (size_t)slots_of_token(h);
    l->norm = 0; /* float [k], or [experts] */
    size_t end = l->norm + qn_act_row_size(QN_ACT_F32, k > h->n_experts ? k : h->n_experts);
    for (int act = 0; act < QN_ACT_COUNT; act++) {
        l->act[act] = end;
        if (is_prepared_singly(plan, (enum qn_act)act))
            end += row_slots * plan->buffers[qn_act_buffer((enum qn_act)act)].row_size;
    }
    l->route = end;
    l->slots = l->route + route_row(h); /* int32 [experts + 1], [S], [S] */
    l->matmul =
        l->slots + float_row(h->n_experts + 1 + 2 * plan->limits.n_ubatch * h->n_experts_used);
    l->queries = l->matmul;
    if (h->qk_norm == QN_QK_NORM_ROW)
        l->matmul += float_row(h->n_heads * h->head_size);
    else if (plan->buffers[QN_BUFFER_PARTS].n_rows > 0)
        l->matmul += float_row(h->n_heads / h->n_kv_heads * h->head_size);
    l->stream = l->matmul;
    l->matmul += plan->own_stream ? float_row(h->n_embd) : 0;
    l->sums = l->matmul;
    const int of_many = plan->buffers[QN_BUFFER_ACT_Q8X2].n_rows;
    const int n_pairs = of_many > 0 ? of_many : is_prepared_singly(plan, QN_ACT_Q8X2);
    l->matmul += most_sums(n_pairs) * sizeof(float);
    const int m = plan->limits.n_ubatch > 2 * n_pairs ? plan->limits.n_ubatch : 2 * n_pairs;
    /* A page apart, so that no two threads' scratch shares a line or a prefetched neighbour. */
    l->scratch_size = (l->matmul + qn_matmul_scratch_size(m, k) + 4095) / 4096 * 4096;
}

static bool size_kv(struct qn_plan *plan) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    struct qn_layout *const l = &plan->layout;
    const int n_ctx = plan->limits.n_ctx;
    l->sequence_blocks = (n_ctx + QN_KV_BLOCK - 1) / QN_KV_BLOCK;
    /* Each sequence may leave a part of its last block unused; no block is without a position. */
    l->n_blocks = l->sequence_blocks + plan->limits.n_sequences - 1;
    if (l->n_blocks > n_ctx) l->n_blocks = n_ctx;
    l->k_block = qn_kv_k_block_size(qn_cache_k(plan->limits.cache), h->head_size);
    l->v_block = qn_kv_v_block_size(qn_cache_v(plan->limits.cache), h->head_size);
    const size_t n = (size_t)l->n_blocks * (size_t)h->n_kv_heads;
    size_t k, v;
    return qn_checked_mul(l->k_block, n, &l->k_layer) &&
           qn_checked_mul(l->v_block, n, &l->v_layer) &&
           qn_checked_mul(l->k_layer, (size_t)h->n_layers, &k) &&
           qn_checked_mul(l->v_layer, (size_t)h->n_layers, &v) && qn_checked_add(k, v, &l->kv_size);
}

enum qn_status qn_plan_lay_out(struct qn_plan *plan, struct qn_error *err) {
    uint32_t conflicts[QN_BUFFER_COUNT];
    size_t sizes[QN_BUFFER_COUNT], offsets[QN_BUFFER_COUNT], end = 0, scratch;
    size_buffers(plan);
    size_scratch(plan);
    find_conflicts(plan, conflicts);
    bool fits = size_kv(plan);
    for (int b = 0; b < QN_BUFFER_COUNT; b++)
        fits = fits && qn_checked_mul(plan->buffers[b].row_size, (size_t)plan->buffers[b].n_rows,
                                      &sizes[b]);
    if (!fits) return qn_fail(err, QN_NO_MEMORY, "the session exceeds the address space");
    struct qn_layout *const l = &plan->layout;
    l->buffer_size = qn_place(QN_BUFFER_COUNT, sizes, conflicts, offsets);
    fits = take(&end, l->kv_size, &l->kv_offset) && take(&end, l->buffer_size, &l->buffer_offset) &&
           qn_checked_mul(l->scratch_size, (size_t)plan->limits.n_threads, &scratch) &&
           take(&end, scratch, &l->scratch_offset);
    if (!fits) return qn_fail(err, QN_NO_MEMORY, "the session exceeds the address space");
    for (int b = 0; b < QN_BUFFER_COUNT; b++)
        plan->buffers[b].offset = l->buffer_offset + offsets[b];
    l->total = end;
    return QN_OK;
}
