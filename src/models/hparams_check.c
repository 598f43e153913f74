/* SPDX-License-Identifier: Apache-2.0 */
#include "models/hparams_read.h"

#include <math.h>

static enum qn_status check_heads(struct qn_hparams *h, struct qn_error *err) {
    if (h->n_kv_heads == 0) h->n_kv_heads = h->n_heads;
    if (h->n_heads % h->n_kv_heads != 0)
        return qn_fail(
            err, QN_BAD_FILE,
            "%d heads and %d key/value heads; the first must be a multiple of the second",
            h->n_heads, h->n_kv_heads);
    if (h->head_size == 0) {
        if (h->n_embd % h->n_heads != 0)
            return qn_fail(err, QN_BAD_FILE, "width %d is not a multiple of the %d heads",
                           h->n_embd, h->n_heads);
        h->head_size = h->n_embd / h->n_heads;
    }
    if (h->head_size % 2 != 0 || h->head_size > QN_HEAD_SIZE_MAX)
        return qn_fail(err, QN_UNSUPPORTED, "head size %d; this build runs even sizes up to %d",
                       h->head_size, QN_HEAD_SIZE_MAX);
    return QN_OK;
}

static enum qn_status check_rotation(struct qn_hparams *h, struct qn_error *err) {
    if (h->learned_positions) {
        h->n_rot = 0;
        return QN_OK;
    }
    if (h->n_rot == 0)
        h->n_rot = h->rotary_part > 0 ? (int)((float)h->head_size * h->rotary_part) : h->head_size;
    if (h->n_rot < 2 || h->n_rot % 2 != 0 || h->n_rot > h->head_size)
        return qn_fail(
            err, QN_BAD_FILE,
            "%d components of a head are rotated; expected an even number up to the head "
            "size %d",
            h->n_rot, h->head_size);
    for (int set = 0; set < h->n_rope_sets; set++)
        if (h->rope[set].ctx_orig == 0) h->rope[set].ctx_orig = h->n_ctx_train;
    return QN_OK;
}

static enum qn_status check_experts(struct qn_hparams *h, struct qn_error *err) {
    if (h->n_experts == 0) return QN_OK;
    if (h->n_expert_ff == 0) h->n_expert_ff = h->n_ff;
    if (h->n_experts_used < 1 || h->n_experts_used > h->n_experts)
        return qn_fail(err, QN_BAD_FILE, "%d experts are used of %d; expected 1 to %d",
                       h->n_experts_used, h->n_experts, h->n_experts);
    return QN_OK;
}

static bool has_rule(const struct qn_family *family, enum qn_role role) {
    for (int i = 0; i < family->n_rules; i++)
        if (family->rules[i].role == role) return true;
    return false;
}

/* How a layer is put together: no family has two of these, and no steps are planned for both. */
static enum qn_status check_structure(const struct qn_family *family, const struct qn_hparams *h,
                                      struct qn_error *err) {
    const struct {
        bool is;
        const char *what;
    } kinds[] = {{h->parallel, "attention and MLP side by side"},
                 {h->post_norm || has_rule(family, QN_ROLE_ATTN_POST_NORM), "norms behind modules"},
                 {h->n_experts > 0, "a mixture of experts"}};
    const char *first = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!kinds[i].is) continue;
        if (first)
            return qn_fail(err, QN_UNSUPPORTED,
                           "the model has %s and %s; expected at most one of them", first,
                           kinds[i].what);
        first = kinds[i].what;
    }
    return QN_OK;
}

/* Only a projection leads from token embeddings of another width into the stream. */
static enum qn_status check_token_width(const struct qn_family *family, struct qn_hparams *h,
                                        struct qn_error *err) {
    if (h->n_token_embd == 0) h->n_token_embd = h->n_embd;
    if (h->n_token_embd == h->n_embd) return QN_OK;
    if (!has_rule(family, QN_ROLE_PROJECT_IN))
        return qn_fail(err, QN_UNSUPPORTED,
                       "token embeddings of width %d in a model of width %d; architecture %s has "
                       "no projection between them",
                       h->n_token_embd, h->n_embd, family->name);
    h->features |= QN_WITH_PROJECTION;
    return QN_OK;
}

void qn_hparams_start(const struct qn_family *family, struct qn_hparams *h) {
    *h = family->defaults;
    if (h->n_rope_sets == 0) h->n_rope_sets = 1;
    for (int set = 0; set < QN_ROPE_SETS; set++) {
        struct qn_rope_params *const p = &h->rope[set];
        if (p->base == 0) p->base = 10000;
        p->factor = 1;
        p->beta_fast = 32;
        p->beta_slow = 1;
    }
}

enum qn_status qn_hparams_check(const struct qn_family *family, struct qn_hparams *h,
                                struct qn_error *err) {
    QN_TRY(check_heads(h, err));
    QN_TRY(check_rotation(h, err));
    QN_TRY(check_experts(h, err));
    QN_TRY(check_structure(family, h, err));
    QN_TRY(check_token_width(family, h, err));
    if (h->n_ff == 0) h->n_ff = family->ff_multiple * h->n_embd;
    if (h->n_ff == 0) h->n_ff = h->n_expert_ff;
    if (h->n_ff == 0) return qn_fail(err, QN_BAD_FILE, "the inner width of the MLP is not given");
    h->embd_scale = h->scale_embd ? sqrtf((float)h->n_embd) : 1;
    if (h->attn_scale == 0) h->attn_scale = 1.0f / sqrtf((float)h->head_size);
    return QN_OK;
}
