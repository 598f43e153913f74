/* SPDX-License-Identifier: Apache-2.0
 *
 * The steps of a forward pass, and where threads meet between them.
 */
#include "plan/plan_internal.h"

bool qn_plan_has(const struct qn_plan *plan, enum qn_role role, int layer) {
    return role != QN_ROLE_COUNT && qn_spec_weight(plan->spec, role, layer)->n_parts > 0;
}

/* Appends a step, or only counts it, filling what its products' weights tell. */
static void add_step(struct qn_plan *plan, struct qn_step step) {
    const struct qn_spec *const spec = plan->spec;
    for (int i = 0; i < step.n_products; i++) {
        struct qn_product *const product = &step.products[i];
        const struct qn_weight *const w = qn_spec_weight(spec, product->weight, step.layer);
        const int used = step.rows == QN_ROWS_SLOTS ? spec->hparams.n_experts_used : 1;
        step.bytes += w->part_size * (size_t)used;
        step.flops += 2 * (uint64_t)w->n * (uint64_t)w->k * (uint64_t)used;
        if (!qn_plan_has(plan, product->bias, step.layer)) product->bias = QN_ROLE_COUNT;
    }
    if (plan->steps) plan->steps[plan->n_steps] = step;
    plan->n_steps++;
}

/* What its weight's kernels read; of a quantized head, what rounding leaves too. */
enum qn_act qn_product_act(const struct qn_plan *plan, const struct qn_step *step,
                           const struct qn_product *product, bool many) {
    const struct qn_weight *const w = qn_spec_weight(plan->spec, product->weight, step->layer);
    const enum qn_act act = (many ? qn_pack_act_many : qn_pack_act)(qn_type_infos[w->packed].pack,
                                                                    plan->limits.bundles);
    return act == QN_ACT_Q8 && product->out == QN_BUFFER_LOGITS ? QN_ACT_Q8X2 : act;
}

/* The forms of input rows that a step's weights need. */
static unsigned acts_of(const struct qn_plan *plan, const struct qn_step *matmul, bool many) {
    unsigned acts = 0;
    for (int i = 0; i < matmul->n_products; i++)
        acts |= 1u << qn_product_act(plan, matmul, &matmul->products[i], many);
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
    return !plan->spec->hparams.post_norm && qn_plan_has(plan, norm, layer) ? norm : QN_ROLE_COUNT;
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
    const bool normalized = qn_plan_has(plan, output->post_norm, layer);
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
    const bool gated = qn_plan_has(plan, QN_ROLE_FFN_GATE, layer);
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
    if (qn_plan_has(plan, QN_ROLE_ROUTER, layer)) {
        add_experts(plan, layer);
        return;
    }
    if (!parallel) add_up(plan, layer);
    add_down(plan, layer);
}

static void add_embedding(struct qn_plan *plan) {
    add_step(plan, (struct qn_step){.op = QN_OP_EMBED, .layer = -1, .name = "embed"});
    if (!qn_plan_has(plan, QN_ROLE_PROJECT_IN, -1)) return;
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
        qn_plan_has(plan, QN_ROLE_OUTPUT_NORM, -1) ? QN_ROLE_OUTPUT_NORM : QN_ROLE_COUNT;
    const bool projected = qn_plan_has(plan, QN_ROLE_PROJECT_OUT, -1);
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

void qn_plan_add_steps(struct qn_plan *plan) {
    plan->n_steps = 0;
    plan->own_stream = !plan->limits.tapped && (plan->spec->hparams.post_norm ||
                                                qn_plan_has(plan, QN_ROLE_ATTN_POST_NORM, 0));
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
