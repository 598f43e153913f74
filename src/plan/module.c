/* SPDX-License-Identifier: Apache-2.0
 *
 * Which part of a model a step belongs to.
 */
#include "plan/plan.h"

static enum qn_module module_of_role(enum qn_role role) {
    if (role == QN_ROLE_PROJECT_IN) return QN_MODULE_EMBED;
    if (role < QN_ROLE_LAYER) return QN_MODULE_HEAD;
    return role < QN_ROLE_FFN_NORM ? QN_MODULE_ATTN : QN_MODULE_MLP;
}

/* The product at or after a step, or before one that joins an output to the stream. */
static const struct qn_step *product_near(const struct qn_plan *plan, int step) {
    const int by = plan->steps[step].op == QN_OP_RESIDUAL ? -1 : 1;
    for (int s = step; s >= 0 && s < plan->n_steps; s += by)
        if (plan->steps[s].n_products > 0) return &plan->steps[s];
    return NULL;
}

enum qn_module qn_plan_module(const struct qn_plan *plan, int step) {
    const struct qn_step *const s = &plan->steps[step];
    if (s->op == QN_OP_EMBED) return QN_MODULE_EMBED;
    if (s->op == QN_OP_ATTENTION || s->op == QN_OP_STORE_KV) return QN_MODULE_ATTN;
    const bool normalizes = s->op == QN_OP_PREPARE && s->norm != QN_ROLE_COUNT;
    if (normalizes || s->op == QN_OP_NORM) return QN_MODULE_NORM;
    const struct qn_step *const product = product_near(plan, step);
    return product ? module_of_role(product->products[0].weight) : QN_MODULE_NORM;
}

const char *qn_module_name(enum qn_module module) {
    static const char *const names[QN_MODULE_COUNT] = {[QN_MODULE_EMBED] = "embed",
                                                       [QN_MODULE_NORM] = "norm",
                                                       [QN_MODULE_ATTN] = "attn",
                                                       [QN_MODULE_MLP] = "mlp",
                                                       [QN_MODULE_HEAD] = "head"};
    return names[module];
}
