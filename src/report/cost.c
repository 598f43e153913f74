/* SPDX-License-Identifier: Apache-2.0
 *
 * What a step costs at the least.
 */
#include "report/cost.h"

#include <math.h>

/* Weights once a pass, however many rows; of experts, those of as many tokens as choose all of them
 * if no two choose the same. Rows of input and output as floats. */
static struct qn_cost cost_of_product(const struct qn_plan *plan, const struct qn_step *step,
                                      double rows) {
    const struct qn_spec *const spec = plan->spec;
    const struct qn_hparams *const hp = &spec->hparams;
    double row = 0, reads = 1;
    if (step->rows == QN_ROWS_SLOTS) reads = fmin(rows, (double)hp->n_experts / hp->n_experts_used);
    for (int i = 0; i < step->n_products; i++) {
        const struct qn_weight *const w =
            qn_spec_weight(spec, step->products[i].weight, step->layer);
        const enum qn_act act = qn_product_act(plan, step, &step->products[i], rows > 1);
        row += (double)w->n * sizeof(float);
        if (i == 0) row += (double)qn_act_row_size(act, w->k);
    }
    return (struct qn_cost){reads * (double)step->bytes + rows * row, (double)step->flops * rows};
}

/* Of each position that a query sees: a product with K, a product with V. Of the cache what at
 * least one query sees, once. */
static struct qn_cost cost_of_attention(const struct qn_plan *plan, const struct qn_step *step,
                                        const struct qn_pass *pass) {
    const struct qn_hparams *const hp = &plan->spec->hparams;
    const struct qn_layout *const l = &plan->layout;
    const bool windowed = qn_hparams_window(hp, step->layer) > 0;
    const double position = (double)(l->k_block + l->v_block) / QN_KV_BLOCK * hp->n_kv_heads;
    const double width = (double)hp->n_heads * hp->head_size;
    return (struct qn_cost){(double)pass->read[windowed] * position +
                                pass->m * 2 * width * sizeof(float),
                            (double)pass->visible[windowed] * 4 * width};
}

/* A row: read, squared, summed and scaled by the norm (4 operations an element); its largest
 * magnitude, scaled and rounded by the quantization (3; of 16-bit integers also rounded to 12 bits,
 * squared and summed before: 7). */
static struct qn_cost cost_of_prepare(const struct qn_plan *plan, const struct qn_step *step,
                                      double rows) {
    const struct qn_step *const product = step + 1;
    if (product->n_products == 0) return (struct qn_cost){0, 0};
    const int k = qn_spec_weight(plan->spec, product->products[0].weight, step->layer)->k;
    double bytes = k * (double)sizeof(float), flops = step->norm != QN_ROLE_COUNT ? 4.0 * k : 0;
    for (int act = 0; act < QN_ACT_COUNT; act++)
        if (step->acts[rows > 1] >> act & 1) bytes += (double)qn_act_row_size((enum qn_act)act, k);
    if (step->acts[rows > 1] >> QN_ACT_Q8 & 1) flops += 3.0 * k;
    if (step->acts[rows > 1] >> QN_ACT_Q8X2 & 1) flops += 8.0 * k; /* both, and what is left */
    if (step->acts[rows > 1] >> QN_ACT_I16 & 1) flops += 7.0 * k;
    return (struct qn_cost){rows * bytes, rows * flops};
}

struct qn_cost qn_plan_cost(const struct qn_plan *plan, int step, const struct qn_pass *pass) {
    const struct qn_step *const s = &plan->steps[step];
    const double rows = s->rows == QN_ROWS_OUTPUTS ? pass->n_outputs : pass->m;
    if (s->op == QN_OP_ATTENTION) return cost_of_attention(plan, s, pass);
    if (s->op == QN_OP_PREPARE) return cost_of_prepare(plan, s, rows);
    if (s->op == QN_OP_MATMUL) return cost_of_product(plan, s, rows);
    /* A row of the stream is read and written, an operation an element. */
    const double n = plan->spec->hparams.n_embd;
    return (struct qn_cost){rows * n * 2 * sizeof(float), rows * n};
}

/* All products of a step read the same rows: the one with most outputs has most operations. */
static struct qn_peak_use use_of_products(const struct qn_plan *plan, const struct qn_step *step,
                                          uint32_t bundles) {
    const struct qn_product *largest = &step->products[0];
    const struct qn_weight *weight = qn_spec_weight(plan->spec, largest->weight, step->layer);
    for (int i = 1; i < step->n_products; i++) {
        const struct qn_product *const product = &step->products[i];
        const struct qn_weight *const w = qn_spec_weight(plan->spec, product->weight, step->layer);
        if (w->n <= weight->n) continue;
        largest = product;
        weight = w;
    }
    return qn_peak_of_product(qn_type_infos[weight->packed].pack,
                              qn_product_act(plan, step, largest, true), bundles);
}

struct qn_peak_use qn_plan_peak_use(const struct qn_plan *plan, int step, uint32_t bundles) {
    const struct qn_step *const s = &plan->steps[step];
    if (s->op == QN_OP_ATTENTION) return qn_peak_of_attention(plan->limits.cache, bundles);
    if (s->op == QN_OP_MATMUL) return use_of_products(plan, s, bundles);
    return (struct qn_peak_use){QN_PEAK_F32, 1};
}
