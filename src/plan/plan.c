/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "plan/place.h"

/* A layer's nine steps, whole-row norms of Q and K, a sum or norm behind each module, and four to
 * choose experts. */
enum { STEPS_PER_LAYER = 16, STEPS_OUTSIDE = 7, PAGE = 2 << 20 };

static const char *const kv_names[QN_KV_COUNT] = {
    [QN_KV_F16] = "f16", [QN_KV_F32] = "f32", [QN_KV_Q8_0] = "q8_0"};

bool qn_kv_parse(const char *name, enum qn_kv *kv) {
    for (int i = 0; i < QN_KV_COUNT; i++) {
        if (strcmp(name, kv_names[i]) != 0) continue;
        *kv = (enum qn_kv)i;
        return true;
    }
    return false;
}

const char *qn_kv_name(enum qn_kv kv) {
    return kv_names[kv];
}

const char *qn_cache_name(enum qn_cache cache) {
    static const char *const names[QN_CACHE_COUNT] = {
        [QN_CACHE_F16] = "f16",           [QN_CACHE_F16_F32] = "f16/f32",
        [QN_CACHE_F16_Q8_0] = "f16/q8_0", [QN_CACHE_F32_F16] = "f32/f16",
        [QN_CACHE_F32] = "f32",           [QN_CACHE_F32_Q8_0] = "f32/q8_0",
        [QN_CACHE_Q8_0_F16] = "q8_0/f16", [QN_CACHE_Q8_0_F32] = "q8_0/f32",
        [QN_CACHE_Q8_0] = "q8_0",
    };
    return names[cache];
}

const char *qn_op_name(enum qn_op op) {
    static const char *const names[QN_OP_COUNT] = {
        [QN_OP_EMBED] = "embed",         [QN_OP_PREPARE] = "prepare",
        [QN_OP_MATMUL] = "matmul",       [QN_OP_STORE_KV] = "store_kv",
        [QN_OP_ATTENTION] = "attention", [QN_OP_RESIDUAL] = "residual",
        [QN_OP_NORM] = "norm",           [QN_OP_ROUTE] = "route",
        [QN_OP_NUMBER] = "number",
    };
    return names[op];
}

/* ---- steps ------------------------------------------------------------------------------ */

static bool has(const struct qn_plan *plan, enum qn_role role, int layer) {
    return role != QN_ROLE_COUNT && qn_spec_weight(plan->spec, role, layer)->n_parts > 0;
}

/* Appends a step, filling what its products' weights tell. */
static struct qn_step *add_step(struct qn_plan *plan, struct qn_step step) {
    const struct qn_spec *const spec = plan->spec;
    for (int i = 0; i < step.n_products; i++) {
        struct qn_product *const product = &step.products[i];
        const struct qn_weight *const w = qn_spec_weight(spec, product->weight, step.layer);
        const int used = step.rows == QN_ROWS_SLOTS ? spec->hparams.n_experts_used : 1;
        step.bytes += w->part_size * (size_t)used;
        step.flops += 2 * (uint64_t)w->n * (uint64_t)w->k * (uint64_t)used;
        if (!has(plan, product->bias, step.layer)) product->bias = QN_ROLE_COUNT;
    }
    struct qn_step *const place = &plan->steps[plan->n_steps++];
    *place = step;
    return place;
}

/* The forms of input rows that a step's weights need. */
static unsigned acts_of(const struct qn_plan *plan, const struct qn_step *matmul, bool many) {
    unsigned acts = 0;
    for (int i = 0; i < matmul->n_products; i++) {
        const struct qn_weight *const w =
            qn_spec_weight(plan->spec, matmul->products[i].weight, matmul->layer);
        acts |= 1u << (many ? qn_pack_act_many : qn_pack_act)(qn_type_infos[w->type].pack,
                                                              plan->limits.bundles);
    }
    return acts;
}

/* A PREPARE and the MATMUL that it feeds. */
static void add_product(struct qn_plan *plan, const char *prepare_name, enum qn_buffer_id in,
                        enum qn_role norm, struct qn_step matmul) {
    add_step(plan,
             (struct qn_step){.op = QN_OP_PREPARE,
                              .meet = QN_MEET_TOKENS,
                              .layer = matmul.layer,
                              .name = prepare_name,
                              .in = in,
                              .norm = norm,
                              .acts = {acts_of(plan, &matmul, false), acts_of(plan, &matmul, true)},
                              .rows = matmul.rows});
    matmul.op = QN_OP_MATMUL;
    add_step(plan, matmul);
}

/* The norm before a module: none where the family has none, or has it behind. */
static enum qn_role norm_before(const struct qn_plan *plan, enum qn_role norm, int layer) {
    return !plan->spec->hparams.post_norm && has(plan, norm, layer) ? norm : QN_ROLE_COUNT;
}

static enum qn_meet meet_after_rows(const struct qn_plan *plan) {
    return plan->own_stream ? QN_MEET_TOKENS : QN_MEET_ALWAYS;
}

/* X <- X + norm (if any) of OUT */
static void add_residual(struct qn_plan *plan, int layer, const char *name, enum qn_role norm) {
    add_step(plan, (struct qn_step){.op = QN_OP_RESIDUAL,
                                    .meet = meet_after_rows(plan),
                                    .layer = layer,
                                    .name = name,
                                    .in = QN_BUFFER_OUT,
                                    .norm = norm});
}

/* How the product that ends a module joins the stream: at once, or by way of OUT where it is
 * normalized or looked at before; then the norm of the sum, where the family has one. */
struct output {
    const char *prepare_name, *residual_name;
    enum qn_role post_norm, norm;
};

static void add_output(struct qn_plan *plan, const struct output *output, enum qn_buffer_id in,
                       struct qn_step matmul) {
    const int layer = matmul.layer;
    const bool normalized = has(plan, output->post_norm, layer);
    const bool by_out = plan->limits.tapped || plan->own_stream;
    const enum qn_buffer_id to = by_out ? QN_BUFFER_OUT : QN_BUFFER_X;
    matmul.n_products = 1;
    if (matmul.rows == QN_ROWS_SLOTS) {
        matmul.sum = to;
        matmul.after = QN_AFTER_COMBINE;
    } else {
        matmul.products[0].out = to;
        matmul.after = by_out ? QN_AFTER_NOTHING : QN_AFTER_ADD;
    }
    add_product(plan, output->prepare_name, in, QN_ROLE_COUNT, matmul);
    if (by_out)
        add_residual(plan, layer, output->residual_name,
                     normalized ? output->post_norm : QN_ROLE_COUNT);
    if (plan->spec->hparams.post_norm)
        add_step(plan, (struct qn_step){.op = QN_OP_NORM,
                                        .meet = meet_after_rows(plan),
                                        .layer = layer,
                                        .name = "norm",
                                        .in = QN_BUFFER_X,
                                        .norm = output->norm});
}

static void add_qkv(struct qn_plan *plan, int layer) {
    const bool by_row = plan->limits.tapped || plan->spec->hparams.qk_norm == QN_QK_NORM_ROW;
    add_product(plan, "attn_norm", QN_BUFFER_X, norm_before(plan, QN_ROLE_ATTN_NORM, layer),
                (struct qn_step){
                    .layer = layer,
                    .name = "qkv",
                    .n_products = 3,
                    .products = {{QN_ROLE_ATTN_K, QN_ROLE_ATTN_K_BIAS, QN_BUFFER_K},
                                 {QN_ROLE_ATTN_V, QN_ROLE_ATTN_V_BIAS, QN_BUFFER_V},
                                 {QN_ROLE_ATTN_Q, QN_ROLE_ATTN_Q_BIAS, QN_BUFFER_Q}},
                    .after = by_row ? QN_AFTER_NOTHING : QN_AFTER_STORE_KV,
                    .meet = by_row ? QN_MEET_ALWAYS : QN_MEET_HEADS,
                });
    if (by_row)
        add_step(plan,
                 (struct qn_step){.op = QN_OP_STORE_KV,
                                  .meet = plan->limits.tapped ? QN_MEET_ALWAYS : QN_MEET_TOKENS,
                                  .layer = layer,
                                  .name = "store_kv"});
}

/* Side by side, the MLP's output is added to the rows that the thread added the attention's to. */
static void add_attention(struct qn_plan *plan, int layer) {
    const bool add_later =
        plan->spec->hparams.parallel && !plan->limits.tapped && !plan->own_stream;
    add_step(plan,
             (struct qn_step){
                 .op = QN_OP_ATTENTION, .layer = layer, .name = "attention", .in = QN_BUFFER_Q});
    const struct output output = {"attn_in", "attn_add", QN_ROLE_ATTN_POST_NORM, QN_ROLE_ATTN_NORM};
    add_output(plan, &output, QN_BUFFER_ATTN,
               (struct qn_step){.layer = layer,
                                .name = "attn_out",
                                .meet = add_later ? QN_MEET_LATER : QN_MEET_ALWAYS,
                                .products = {{QN_ROLE_ATTN_OUT, QN_ROLE_ATTN_OUT_BIAS}}});
}

static void add_up(struct qn_plan *plan, int layer) {
    const struct qn_product gate = {QN_ROLE_FFN_GATE, QN_ROLE_FFN_GATE_BIAS, QN_BUFFER_GATE};
    const struct qn_product up = {QN_ROLE_FFN_UP, QN_ROLE_FFN_UP_BIAS, QN_BUFFER_UP};
    const struct qn_product only_up = {QN_ROLE_FFN_UP, QN_ROLE_FFN_UP_BIAS, QN_BUFFER_GATE};
    const bool gated = has(plan, QN_ROLE_FFN_GATE, layer);
    add_product(plan, "ffn_norm", QN_BUFFER_X, norm_before(plan, QN_ROLE_FFN_NORM, layer),
                (struct qn_step){
                    .layer = layer,
                    .name = gated ? "gate_up" : "up",
                    .n_products = gated ? 2 : 1,
                    .products = {gated ? gate : only_up, up},
                    .after = QN_AFTER_ACTIVATE,
                    .meet = plan->spec->hparams.parallel ? QN_MEET_LATER : QN_MEET_ALWAYS,
                });
}

static const struct output mlp_output = {"ffn_in", "ffn_add", QN_ROLE_FFN_POST_NORM,
                                         QN_ROLE_FFN_NORM};

static void add_down(struct qn_plan *plan, int layer) {
    add_output(plan, &mlp_output, QN_BUFFER_GATE,
               (struct qn_step){.layer = layer,
                                .name = "down",
                                .products = {{QN_ROLE_FFN_DOWN, QN_ROLE_FFN_DOWN_BIAS}}});
}

/* The router reads tokens; what the experts read are their slots, gathered once these are known. */
static void add_experts(struct qn_plan *plan, int layer) {
    const enum qn_role norm = norm_before(plan, QN_ROLE_FFN_NORM, layer);
    add_product(plan, "ffn_norm", QN_BUFFER_X, norm,
                (struct qn_step){.layer = layer,
                                 .name = "router",
                                 .n_products = 1,
                                 .products = {{QN_ROLE_ROUTER, QN_ROLE_COUNT, QN_BUFFER_ROUTER}}});
    add_step(plan, (struct qn_step){
                       .op = QN_OP_ROUTE, .meet = QN_MEET_TOKENS, .layer = layer, .name = "route"});
    add_step(plan, (struct qn_step){
                       .op = QN_OP_NUMBER, .meet = QN_MEET_NEVER, .layer = layer, .name = "slots"});
    add_product(plan, "gather", QN_BUFFER_X, norm,
                (struct qn_step){
                    .layer = layer,
                    .name = "expert_up",
                    .n_products = 2,
                    .products = {{QN_ROLE_EXPERTS_GATE, QN_ROLE_COUNT, QN_BUFFER_GATE},
                                 {QN_ROLE_EXPERTS_UP, QN_ROLE_COUNT, QN_BUFFER_UP}},
                    .after = QN_AFTER_ACTIVATE,
                    .rows = QN_ROWS_SLOTS,
                });
    add_output(plan, &mlp_output, QN_BUFFER_GATE,
               (struct qn_step){
                   .layer = layer,
                   .name = "expert_down",
                   .products = {{QN_ROLE_EXPERTS_DOWN, QN_ROLE_COUNT, QN_BUFFER_SLOTS}},
                   .rows = QN_ROWS_SLOTS,
               });
}

/* Side by side, the MLP reads the stream before the attention's output is added to it. */
static void add_layer(struct qn_plan *plan, int layer) {
    const bool parallel = plan->spec->hparams.parallel;
    if (parallel) add_up(plan, layer);
    add_qkv(plan, layer);
    add_attention(plan, layer);
    if (has(plan, QN_ROLE_ROUTER, layer)) {
        add_experts(plan, layer);
        return;
    }
    if (!parallel) add_up(plan, layer);
    add_down(plan, layer);
}

static void add_embedding(struct qn_plan *plan) {
    add_step(plan, (struct qn_step){.op = QN_OP_EMBED, .layer = -1, .name = "embed"});
    if (!has(plan, QN_ROLE_PROJECT_IN, -1)) return;
    add_product(plan, "embed_in", QN_BUFFER_EMBD, QN_ROLE_COUNT,
                (struct qn_step){.layer = -1,
                                 .name = "project_in",
                                 .n_products = 1,
                                 .products = {{QN_ROLE_PROJECT_IN, QN_ROLE_COUNT,
                                               plan->own_stream ? QN_BUFFER_OUT : QN_BUFFER_X}},
                                 .after = plan->own_stream ? QN_AFTER_NOTHING : QN_AFTER_ADD});
    if (plan->own_stream) add_residual(plan, -1, "embed_add", QN_ROLE_COUNT);
}

static void add_head(struct qn_plan *plan) {
    const enum qn_role norm =
        has(plan, QN_ROLE_OUTPUT_NORM, -1) ? QN_ROLE_OUTPUT_NORM : QN_ROLE_COUNT;
    const bool projected = has(plan, QN_ROLE_PROJECT_OUT, -1);
    if (projected)
        add_product(
            plan, "output_norm", QN_BUFFER_X, norm,
            (struct qn_step){.layer = -1,
                             .name = "project_out",
                             .n_products = 1,
                             .products = {{QN_ROLE_PROJECT_OUT, QN_ROLE_COUNT, QN_BUFFER_EMBD}},
                             .rows = QN_ROWS_OUTPUTS});
    add_product(
        plan, projected ? "head_in" : "output_norm", projected ? QN_BUFFER_EMBD : QN_BUFFER_X,
        projected ? QN_ROLE_COUNT : norm,
        (struct qn_step){
            .layer = -1,
            .name = "head",
            .n_products = 1,
            .products = {{QN_ROLE_OUTPUT, QN_ROLE_COUNT, QN_BUFFER_LOGITS}},
            .after = plan->spec->hparams.final_softcap > 0 ? QN_AFTER_SOFTCAP : QN_AFTER_MAXIMA,
            .rows = QN_ROWS_OUTPUTS,
        });
}

static void add_steps(struct qn_plan *plan) {
    plan->own_stream = !plan->limits.tapped &&
                       (plan->spec->hparams.post_norm || has(plan, QN_ROLE_ATTN_POST_NORM, 0));
    add_embedding(plan);
    for (int layer = 0; layer < plan->spec->hparams.n_layers; layer++) add_layer(plan, layer);
    add_head(plan);
}

bool qn_plan_has_own_heads(const struct qn_plan *plan, int n_threads) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    const int rows = h->n_kv_heads / n_threads * h->head_size;
    return n_threads == 1 || (h->n_kv_heads % n_threads == 0 && rows % plan->spec->tile_rows == 0);
}

bool qn_step_has_barrier(const struct qn_plan *plan, const struct qn_step *step, int m,
                         int n_threads) {
    switch (step->meet) {
    case QN_MEET_ALWAYS:
        return true;
    case QN_MEET_HEADS:
        return m > 1 || !qn_plan_has_own_heads(plan, n_threads);
    case QN_MEET_NEVER:
        return false;
    default:
        return m > 1;
    }
}

bool qn_step_has_decode_barrier(const struct qn_plan *plan, const struct qn_step *step) {
    const struct qn_limits *const l = &plan->limits;
    return qn_step_has_barrier(plan, step, 1, l->n_threads_one ? l->n_threads_one : l->n_threads);
}

enum qn_buffer_id qn_act_buffer(enum qn_act act) {
    static const enum qn_buffer_id ids[QN_ACT_COUNT] = {[QN_ACT_F32] = QN_BUFFER_ACT_F32,
                                                        [QN_ACT_Q8] = QN_BUFFER_ACT_Q8,
                                                        [QN_ACT_BF16X2] = QN_BUFFER_ACT_BF16X2,
                                                        [QN_ACT_BF16] = QN_BUFFER_ACT_BF16};
    return ids[act];
}

/* ---- lifetimes -------------------------------------------------------------------------- */

static const uint32_t act_bits = 1u << QN_BUFFER_ACT_F32 | 1u << QN_BUFFER_ACT_Q8 |
                                 1u << QN_BUFFER_ACT_BF16X2 | 1u << QN_BUFFER_ACT_BF16;
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
    return (((size_t)n * sizeof(float) + 63) / 64 | 1) * 64;
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
        const int n = has(plan, QN_ROLE_ROUTER, layer) ? h->n_expert_ff : h->n_ff;
        if (n > widest) widest = n;
    }
    return widest;
}

/* Rows that are ever prepared in this form. */
static int act_rows(const struct qn_plan *plan, enum qn_act act, bool many) {
    const int m = plan->limits.n_ubatch, slots = m * slots_of_token(&plan->spec->hparams);
    int most = 0;
    for (int s = 0; s < plan->n_steps; s++) {
        const struct qn_step *const step = &plan->steps[s];
        const int n_rows = step->rows == QN_ROWS_SLOTS ? slots : m;
        if (step->acts[many] >> act & 1 && n_rows > most) most = n_rows;
    }
    return most;
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
    const int k = longest_input(plan->spec);
    const size_t q = float_row(h->n_heads * h->head_size);
    const size_t kv = float_row(h->n_kv_heads * h->head_size);
    const int spans = shared_spans(plan);
    const size_t records = (size_t)spans * (size_t)(h->n_heads / h->n_kv_heads);
    const size_t ff = float_row(widest_mlp(plan)), rot = float_row(h->n_rot / 2 * h->n_rope_sets);
    const struct qn_buffer buffers[QN_BUFFER_COUNT] = {
        [QN_BUFFER_X] = {"x", float_row(h->n_embd), m, 0},
        [QN_BUFFER_EMBD] = {"embd", float_row(h->n_token_embd), m, 0},
        [QN_BUFFER_ACT_F32] = {"act_f32", qn_act_row_size(QN_ACT_F32, k),
                               act_rows(plan, QN_ACT_F32, true), 0},
        [QN_BUFFER_ACT_Q8] = {"act_q8", qn_act_row_size(QN_ACT_Q8, k),
                              act_rows(plan, QN_ACT_Q8, true), 0},
        [QN_BUFFER_ACT_BF16X2] = {"act_bf16x2", qn_act_row_size(QN_ACT_BF16X2, k),
                                  act_rows(plan, QN_ACT_BF16X2, true), 0},
        [QN_BUFFER_ACT_BF16] = {"act_bf16", qn_act_row_size(QN_ACT_BF16, k),
                                act_rows(plan, QN_ACT_BF16, true), 0},
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
        [QN_BUFFER_MAXIMA] = {"maxima",
                              float_row((h->n_vocab + QN_LOGITS_BLOCK - 1) / QN_LOGITS_BLOCK),
                              plan->limits.n_logits, 0},
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

static void size_scratch(struct qn_plan *plan) {
    struct qn_layout *const l = &plan->layout;
    const struct qn_hparams *const h = &plan->spec->hparams;
    const int k = longest_input(plan->spec);
    const size_t row_slots = (size_t)slots_of_token(h);
    l->norm = 0; /* float [k], or [experts] */
    size_t end = l->norm + qn_act_row_size(QN_ACT_F32, k > h->n_experts ? k : h->n_experts);
    for (int act = 0; act < QN_ACT_COUNT; act++) {
        l->act[act] = end;
        if (act_rows(plan, (enum qn_act)act, false) > 0)
            end += row_slots * qn_act_row_size((enum qn_act)act, k);
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
    const int m = plan->limits.n_ubatch > plan->limits.n_logits ? plan->limits.n_ubatch
                                                                : plan->limits.n_logits;
    /* A page apart, so that no two threads' scratch shares a line or a prefetched neighbour. */
    l->scratch_size = (l->matmul + qn_matmul_scratch_size(m, k) + 4095) / 4096 * 4096;
}

static bool size_kv(struct qn_plan *plan) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    struct qn_layout *const l = &plan->layout;
    /* Each sequence may leave a part of its last block unused. */
    l->n_blocks =
        (plan->limits.n_ctx + QN_KV_BLOCK - 1) / QN_KV_BLOCK + plan->limits.n_sequences - 1;
    l->k_block = qn_kv_k_block_size(qn_cache_k(plan->limits.cache), h->head_size);
    l->v_block = qn_kv_v_block_size(qn_cache_v(plan->limits.cache), h->head_size);
    const size_t n = (size_t)l->n_blocks * (size_t)h->n_kv_heads;
    size_t k, v;
    return qn_checked_mul(l->k_block, n, &l->k_layer) &&
           qn_checked_mul(l->v_block, n, &l->v_layer) &&
           qn_checked_mul(l->k_layer, (size_t)h->n_layers, &k) &&
           qn_checked_mul(l->v_layer, (size_t)h->n_layers, &v) && qn_checked_add(k, v, &l->kv_size);
}

static enum qn_status lay_out(struct qn_plan *plan, struct qn_error *err) {
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

static enum qn_status check_limits(const struct qn_spec *spec, const struct qn_limits *limits,
                                   struct qn_error *err) {
    const struct {
        const char *name;
        int value, max;
    } checks[] = {{"context", limits->n_ctx, 1 << 27},
                  {"ubatch", limits->n_ubatch, 1 << 16},
                  {"sequences", limits->n_sequences, 1 << 12},
                  {"logits", limits->n_logits, 1 << 16},
                  {"threads", limits->n_threads, 1 << 10}};
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i].value < 1 || checks[i].value > checks[i].max)
            return qn_fail(err, QN_BAD_ARGUMENT, "%s is %d; expected 1 to %d", checks[i].name,
                           checks[i].value, checks[i].max);
    const struct qn_hparams *const h = &spec->hparams;
    if (h->learned_positions && limits->n_ctx > h->n_ctx_train)
        return qn_fail(err, QN_BAD_ARGUMENT,
                       "context is %d; expected 1 to %d, the positions that the model has learned",
                       limits->n_ctx, h->n_ctx_train);
    const bool in_32s =
        qn_cache_k(limits->cache) == QN_KV_Q8_0 || qn_cache_v(limits->cache) == QN_KV_Q8_0;
    if (in_32s && spec->hparams.head_size % 32 != 0)
        return qn_fail(err, QN_UNSUPPORTED,
                       "KV cache type q8_0 needs a head size that is a multiple "
                       "of 32; this model's is %d",
                       spec->hparams.head_size);
    return QN_OK;
}

enum qn_status qn_plan_new(const struct qn_spec *spec, const struct qn_limits *limits,
                           struct qn_plan *plan, struct qn_error *err) {
    *plan = (struct qn_plan){.spec = spec, .limits = *limits};
    QN_TRY(check_limits(spec, limits, err));
    const size_t n = STEPS_OUTSIDE + (size_t)spec->hparams.n_layers * STEPS_PER_LAYER;
    plan->steps = calloc(n, sizeof *plan->steps);
    if (!plan->steps) return qn_fail(err, QN_NO_MEMORY, "no memory for the plan");
    add_steps(plan);
    const enum qn_status status = lay_out(plan, err);
    if (status != QN_OK) qn_plan_free(plan);
    return status;
}

void qn_plan_free(struct qn_plan *plan) {
    free(plan->steps);
    plan->steps = NULL;
    plan->n_steps = 0;
}
