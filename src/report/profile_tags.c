/* SPDX-License-Identifier: Apache-2.0
 *
 * What a step is: shape, types, kernels.
 */
#include <stdio.h>
#include <string.h>

#include "report/profile.h"

/* ---- text ------------------------------------------------------------------------------- */

/* Adds a word to a list "a+b", unless it is there. */
static void add_word(char *list, size_t size, const char *word) {
    const size_t length = strlen(word);
    for (const char *at = list; *at; at += strcspn(at, "+"), at += *at == '+')
        if (strncmp(at, word, length) == 0 && (at[length] == '+' || !at[length])) return;
    const size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%s", used ? "+" : "", word);
}

/* The function in a slot: of the chosen bundles the last in the inventory's order has it. */
static const char *function_of(const struct qn_kernels *kernels, const char *op, int variant) {
    size_t n;
    const struct qn_kernel_entry *const list = qn_kernel_list(&n);
    const char *function = "";
    for (size_t i = 0; i < n; i++)
        if (kernels->bundles >> list[i].isa & 1 && list[i].variant == variant &&
            strcmp(list[i].op, op) == 0)
            function = list[i].function;
    return function;
}

static void add_kernel(struct qn_tag *tag, const struct qn_kernels *kernels, const char *many,
                       const char *one, int variant) {
    add_word(tag->kernel[QN_PHASE_PREFILL], sizeof tag->kernel[0],
             function_of(kernels, many, variant));
    add_word(tag->kernel[QN_PHASE_DECODE], sizeof tag->kernel[0],
             function_of(kernels, one, variant));
}

/* ---- tags ------------------------------------------------------------------------------- */

static void tag_product(const struct qn_model *model, const struct qn_plan *plan,
                        const struct qn_step *step, struct qn_tag *tag) {
    const struct qn_weight *const first =
        qn_spec_weight(&model->spec, step->products[0].weight, step->layer);
    int n = 0;
    bool alike = true;
    for (int i = 0; i < step->n_products; i++) {
        const struct qn_weight *const w =
            qn_spec_weight(&model->spec, step->products[i].weight, step->layer);
        const enum qn_pack pack = qn_type_infos[w->packed].pack;
        alike = alike && w->n == first->n;
        n += w->n;
        add_word(tag->type, sizeof tag->type, qn_type_infos[w->packed].name);
        const enum qn_act act = qn_product_act(plan, step, &step->products[i], true);
        add_kernel(tag, &model->kernels, "matmul", act == QN_ACT_Q8X2 ? "matmul" : "matvec",
                   (int)pack);
    }
    if (step->n_products > 1 && alike)
        snprintf(tag->shape, sizeof tag->shape, "%dx%dx%d", step->n_products, first->n, first->k);
    else
        snprintf(tag->shape, sizeof tag->shape, "%dx%d", n, first->k);
}

static void tag_prepare(const struct qn_model *model, const struct qn_plan *plan, int s,
                        struct qn_tag *tag) {
    const struct qn_step *const step = &plan->steps[s];
    const struct qn_step *const product = step + 1;
    if (product->n_products > 0)
        snprintf(tag->shape, sizeof tag->shape, "%d",
                 qn_spec_weight(&model->spec, product->products[0].weight, step->layer)->k);
    if (step->norm != QN_ROLE_COUNT)
        add_kernel(tag, &model->kernels, "norm", "norm", (int)model->spec.hparams.norm);
    for (int act = 0; act < QN_ACT_COUNT; act++) {
        if (!(step->acts[true] >> act & 1)) continue;
        add_word(tag->type, sizeof tag->type, qn_act_name((enum qn_act)act));
        add_kernel(tag, &model->kernels, "prepare", "prepare", act);
    }
}

static void tag_attention(const struct qn_model *model, const struct qn_plan *plan,
                          struct qn_tag *tag) {
    const struct qn_hparams *const hp = &model->spec.hparams;
    snprintf(tag->shape, sizeof tag->shape, "%d/%dx%d", hp->n_heads, hp->n_kv_heads, hp->head_size);
    snprintf(tag->type, sizeof tag->type, "%s", qn_cache_name(plan->limits.cache));
    add_kernel(tag, &model->kernels, "attention", "attention", (int)plan->limits.cache);
}

static void tag_step(const struct qn_session *session, int s, struct qn_tag *tag) {
    const struct qn_model *const model = session->model;
    const struct qn_plan *const plan = &session->plan;
    const struct qn_step *const step = &plan->steps[s];
    *tag = (struct qn_tag){.layer = step->layer,
                           .module = qn_plan_module(plan, s),
                           .op = step->op,
                           .name = step->name,
                           .use = qn_plan_peak_use(plan, s, model->kernels.bundles)};
    if (step->op == QN_OP_PREPARE)
        tag_prepare(model, plan, s, tag);
    else if (step->op == QN_OP_ATTENTION)
        tag_attention(model, plan, tag);
    else if (step->n_products > 0 && step->op == QN_OP_MATMUL)
        tag_product(model, plan, step, tag);
    else
        snprintf(tag->shape, sizeof tag->shape, "%d", model->spec.hparams.n_embd);
    if (step->op == QN_OP_EMBED)
        snprintf(tag->type, sizeof tag->type, "%s",
                 qn_type_infos[qn_spec_weight(&model->spec, QN_ROLE_TOKEN_EMBD, -1)->type].name);
    if (!tag->type[0]) snprintf(tag->type, sizeof tag->type, "f32");
}

void qn_profile_tag(const struct qn_session *session, struct qn_tag *tags) {
    for (int s = 0; s < session->plan.n_steps; s++) tag_step(session, s, &tags[s]);
}
