/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "plan/place.h"

enum { STEPS_PER_LAYER = 9, STEPS_OUTSIDE = 3, PAGE = 2 << 20 };

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

const char *qn_op_name(enum qn_op op) {
    static const char *const names[QN_OP_COUNT] = {
        [QN_OP_EMBED] = "embed",
        [QN_OP_PREPARE] = "prepare",
        [QN_OP_MATMUL] = "matmul",
        [QN_OP_ATTENTION] = "attention",
    };
    return names[op];
}

/* ---- steps ------------------------------------------------------------------------------ */

/* Appends a step, filling what its products' weights tell. */
static struct qn_step *add_step(struct qn_plan *plan, struct qn_step step) {
    const struct qn_spec *const spec = plan->spec;
    for (int i = 0; i < step.n_products; i++) {
        struct qn_product *const product = &step.products[i];
        const struct qn_weight *const w = qn_spec_weight(spec, product->weight, step.layer);
        step.bytes += w->tile_size * (size_t)qn_weight_n_tiles(w, spec->tile_rows);
        step.flops += 2 * (uint64_t)w->n * (uint64_t)w->k;
        if (product->bias != QN_ROLE_COUNT &&
            !qn_spec_weight(spec, product->bias, step.layer)->tensor)
            product->bias = QN_ROLE_COUNT;
    }
    struct qn_step *const place = &plan->steps[plan->n_steps++];
    *place = step;
    return place;
}

/* The forms of input rows that a step's weights need. */
static unsigned acts_of(const struct qn_plan *plan, const struct qn_step *matmul) {
    unsigned acts = 0;
    for (int i = 0; i < matmul->n_products; i++) {
        const struct qn_weight *const w =
            qn_spec_weight(plan->spec, matmul->products[i].weight, matmul->layer);
        acts |= 1u << qn_pack_act(qn_type_infos[w->tensor->type].pack);
    }
    return acts;
}

/* A PREPARE and the MATMUL that it feeds. */
static void add_product(struct qn_plan *plan, const char *prepare_name, enum qn_buffer_id in,
                        enum qn_role norm, struct qn_step matmul) {
    add_step(plan, (struct qn_step){.op = QN_OP_PREPARE,
                                    .layer = matmul.layer,
                                    .name = prepare_name,
                                    .in = in,
                                    .norm = norm,
                                    .acts = acts_of(plan, &matmul),
                                    .outputs_only = matmul.outputs_only});
    matmul.op = QN_OP_MATMUL;
    add_step(plan, matmul);
}

static void add_attention(struct qn_plan *plan, int layer) {
    add_product(plan, "attn_norm", QN_BUFFER_X, QN_ROLE_ATTN_NORM,
                (struct qn_step){
                    .layer = layer,
                    .name = "qkv",
                    .n_products = 3,
                    .products = {{QN_ROLE_ATTN_K, QN_ROLE_ATTN_K_BIAS, QN_BUFFER_K},
                                 {QN_ROLE_ATTN_V, QN_ROLE_ATTN_V_BIAS, QN_BUFFER_V},
                                 {QN_ROLE_ATTN_Q, QN_ROLE_ATTN_Q_BIAS, QN_BUFFER_Q}},
                    .after = QN_AFTER_STORE_KV,
                });
    add_step(plan,
             (struct qn_step){
                 .op = QN_OP_ATTENTION, .layer = layer, .name = "attention", .in = QN_BUFFER_Q});
    add_product(plan, "attn_in", QN_BUFFER_ATTN, QN_ROLE_COUNT,
                (struct qn_step){
                    .layer = layer,
                    .name = "attn_out",
                    .n_products = 1,
                    .products = {{QN_ROLE_ATTN_OUT, QN_ROLE_ATTN_OUT_BIAS, QN_BUFFER_X}},
                    .after = QN_AFTER_ADD,
                });
}

static void add_mlp(struct qn_plan *plan, int layer) {
    add_product(plan, "ffn_norm", QN_BUFFER_X, QN_ROLE_FFN_NORM,
                (struct qn_step){
                    .layer = layer,
                    .name = "gate_up",
                    .n_products = 2,
                    .products = {{QN_ROLE_FFN_GATE, QN_ROLE_FFN_GATE_BIAS, QN_BUFFER_GATE},
                                 {QN_ROLE_FFN_UP, QN_ROLE_FFN_UP_BIAS, QN_BUFFER_UP}},
                    .after = QN_AFTER_ACTIVATE,
                });
    add_product(plan, "ffn_in", QN_BUFFER_GATE, QN_ROLE_COUNT,
                (struct qn_step){
                    .layer = layer,
                    .name = "down",
                    .n_products = 1,
                    .products = {{QN_ROLE_FFN_DOWN, QN_ROLE_FFN_DOWN_BIAS, QN_BUFFER_X}},
                    .after = QN_AFTER_ADD,
                });
}

static void add_steps(struct qn_plan *plan) {
    add_step(plan, (struct qn_step){.op = QN_OP_EMBED, .layer = -1, .name = "embed"});
    for (int layer = 0; layer < plan->spec->hparams.n_layers; layer++) {
        add_attention(plan, layer);
        add_mlp(plan, layer);
    }
    add_product(plan, "output_norm", QN_BUFFER_X, QN_ROLE_OUTPUT_NORM,
                (struct qn_step){
                    .layer = -1,
                    .name = "head",
                    .n_products = 1,
                    .products = {{QN_ROLE_OUTPUT, QN_ROLE_COUNT, QN_BUFFER_LOGITS}},
                    .outputs_only = true,
                });
}

bool qn_step_has_barrier(const struct qn_step *step, int m) {
    return step->op != QN_OP_PREPARE || m > 1;
}

/* ---- lifetimes -------------------------------------------------------------------------- */

static const uint32_t act_bits = 1u << QN_BUFFER_ACT_F32 | 1u << QN_BUFFER_ACT_Q8;
static const uint32_t rope_bits = 1u << QN_BUFFER_COS | 1u << QN_BUFFER_SIN;

uint32_t qn_step_reads(const struct qn_step *step) {
    switch (step->op) {
    case QN_OP_PREPARE:
        return 1u << step->in;
    case QN_OP_MATMUL:
        return act_bits | (step->after == QN_AFTER_STORE_KV ? rope_bits : 0) |
               (step->after == QN_AFTER_ADD ? 1u << step->products[0].out : 0);
    case QN_OP_ATTENTION:
        return rope_bits | 1u << step->in;
    default:
        return 0;
    }
}

uint32_t qn_step_writes(const struct qn_step *step) {
    uint32_t bits = 0;
    switch (step->op) {
    case QN_OP_EMBED:
        return rope_bits | 1u << QN_BUFFER_X;
    case QN_OP_PREPARE:
        return act_bits;
    case QN_OP_MATMUL:
        for (int i = 0; i < step->n_products; i++) bits |= 1u << step->products[i].out;
        return bits;
    default:
        return 1u << QN_BUFFER_ATTN;
    }
}

/* Walks the steps backwards; buffers that are busy at one step may not share bytes. LOGITS are
 * the caller's until the next eval, whose first steps must not touch them. */
static void find_conflicts(const struct qn_plan *plan, uint32_t *conflicts) {
    const uint32_t logits = 1u << QN_BUFFER_LOGITS;
    uint32_t live = logits;
    memset(conflicts, 0, QN_BUFFER_COUNT * sizeof *conflicts);
    for (int s = plan->n_steps - 1; s >= 0; s--) {
        const uint32_t reads = qn_step_reads(&plan->steps[s]);
        const uint32_t writes = qn_step_writes(&plan->steps[s]);
        const uint32_t busy = live | reads | writes;
        for (int b = 0; b < QN_BUFFER_COUNT; b++)
            if (busy >> b & 1) conflicts[b] |= busy;
        live = (live & ~writes) | reads;
    }
    for (int b = 0; b < QN_BUFFER_COUNT; b++) conflicts[b] |= logits;
    conflicts[QN_BUFFER_LOGITS] = (1u << QN_BUFFER_COUNT) - 1;
}

/* ---- memory ----------------------------------------------------------------------------- */

static size_t float_row(int n) {
    return ((size_t)n * sizeof(float) + 63) / 64 * 64;
}

/* The longest row that any product reads. */
static int longest_input(const struct qn_spec *spec) {
    int k = 1;
    for (size_t i = 0; i < spec->n_weights; i++)
        if (spec->weights[i].tile_size && spec->weights[i].k > k) k = spec->weights[i].k;
    return k;
}

static void size_buffers(struct qn_plan *plan) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    const int m = plan->limits.n_ubatch, k = longest_input(plan->spec);
    const size_t q = float_row(h->n_heads * h->head_size);
    const size_t kv = float_row(h->n_kv_heads * h->head_size);
    const size_t ff = float_row(h->n_ff), rot = float_row(h->n_rot / 2);
    const struct qn_buffer buffers[QN_BUFFER_COUNT] = {
        [QN_BUFFER_X] = {"x", float_row(h->n_embd), m, 0},
        [QN_BUFFER_ACT_F32] = {"act_f32", qn_act_row_size(QN_ACT_F32, k), m, 0},
        [QN_BUFFER_ACT_Q8] = {"act_q8", qn_act_row_size(QN_ACT_Q8, k), m, 0},
        [QN_BUFFER_Q] = {"q", q, m, 0},
        [QN_BUFFER_K] = {"k", kv, m, 0},
        [QN_BUFFER_V] = {"v", kv, m, 0},
        [QN_BUFFER_ATTN] = {"attn", q, m, 0},
        [QN_BUFFER_GATE] = {"gate", ff, m, 0},
        [QN_BUFFER_UP] = {"up", ff, m, 0},
        [QN_BUFFER_COS] = {"cos", rot, m, 0},
        [QN_BUFFER_SIN] = {"sin", rot, m, 0},
        [QN_BUFFER_LOGITS] = {"logits", float_row(h->n_vocab), plan->limits.n_logits, 0},
    };
    memcpy(plan->buffers, buffers, sizeof buffers);
    unsigned acts = 0;
    for (int s = 0; s < plan->n_steps; s++) acts |= plan->steps[s].acts;
    if (!(acts & 1u << QN_ACT_F32)) plan->buffers[QN_BUFFER_ACT_F32].n_rows = 0;
    if (!(acts & 1u << QN_ACT_Q8)) plan->buffers[QN_BUFFER_ACT_Q8].n_rows = 0;
}

/* Rounds *end up to a page and takes size bytes; false when that overflows. */
static bool take(size_t *end, size_t size, size_t *offset) {
    if (!qn_checked_align(*end, PAGE, end)) return false;
    *offset = *end;
    return qn_checked_add(*end, size, end);
}

static void size_scratch(struct qn_plan *plan) {
    struct qn_layout *const l = &plan->layout;
    const int k = longest_input(plan->spec);
    l->norm = 0; /* float [k] */
    l->act_f32 = l->norm + qn_act_row_size(QN_ACT_F32, k);
    l->act_q8 = l->act_f32 + qn_act_row_size(QN_ACT_F32, k);
    l->matmul = l->act_q8 + qn_act_row_size(QN_ACT_Q8, k);
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
    l->k_block = qn_kv_k_block_size(plan->limits.kv_k, h->head_size);
    l->v_block = qn_kv_v_block_size(plan->limits.kv_v, h->head_size);
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
    if (limits->kv_k != limits->kv_v)
        return qn_fail(err, QN_UNSUPPORTED,
                       "KV cache types %s for K and %s for V; this build wants "
                       "both alike",
                       kv_names[limits->kv_k], kv_names[limits->kv_v]);
    if (limits->kv_k == QN_KV_Q8_0 && spec->hparams.head_size % 32 != 0)
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
