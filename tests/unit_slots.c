/* SPDX-License-Identifier: Apache-2.0
 *
 * Choice and numbering of experts' slots, and what a session says it has read.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "run/session.h"
#include "run/slots.h"

enum { EXPERTS = 7, USED = 3 };

static void expect_ids(const int32_t *found, const int32_t *expected, int n) {
    for (int i = 0; i < n; i++)
        cr_assert_eq(found[i], expected[i], "choice %d: expert %d, expected %d", i, found[i],
                     expected[i]);
}

Test(slots, largest_in_order_of_expert) {
    const float p[EXPERTS] = {0.05f, 0.2f, 0.1f, 0.3f, 0.05f, 0.25f, 0.05f};
    int32_t ids[USED];
    float weights[USED];
    qn_slots_choose(p, EXPERTS, USED, false, ids, weights);
    expect_ids(ids, (const int32_t[]){1, 3, 5}, USED);
    for (int i = 0; i < USED; i++) cr_assert_eq(weights[i], p[ids[i]]);
}

Test(slots, renormalized_weights_sum_to_one) {
    const float p[EXPERTS] = {0.05f, 0.2f, 0.1f, 0.3f, 0.05f, 0.25f, 0.05f};
    int32_t ids[USED];
    float weights[USED];
    qn_slots_choose(p, EXPERTS, USED, true, ids, weights);
    float sum = 0;
    for (int i = 0; i < USED; i++) {
        sum += weights[i];
        cr_assert_float_eq(weights[i], p[ids[i]] / 0.75f, 4e-7);
    }
    cr_assert_float_eq(sum, 1, 4e-7);
}

Test(slots, equal_probabilities_take_the_lower_expert) {
    const float all_equal[EXPERTS] = {0.1f, 0.1f, 0.1f, 0.1f, 0.1f, 0.1f, 0.1f};
    const float one_larger[EXPERTS] = {0.1f, 0.1f, 0.1f, 0.1f, 0.4f, 0.1f, 0.1f};
    int32_t ids[USED];
    float weights[USED];
    qn_slots_choose(all_equal, EXPERTS, USED, false, ids, weights);
    expect_ids(ids, (const int32_t[]){0, 1, 2}, USED);
    qn_slots_choose(one_larger, EXPERTS, USED, false, ids, weights);
    expect_ids(ids, (const int32_t[]){0, 1, 4}, USED);
}

Test(slots, all_experts) {
    const float p[EXPERTS] = {0.05f, 0.2f, 0.1f, 0.3f, 0.05f, 0.25f, 0.05f};
    int32_t ids[EXPERTS];
    float weights[EXPERTS];
    qn_slots_choose(p, EXPERTS, EXPERTS, false, ids, weights);
    for (int i = 0; i < EXPERTS; i++) {
        cr_assert_eq(ids[i], i);
        cr_assert_eq(weights[i], p[i]);
    }
}

/* A broken model must not lead out of the arrays. */
Test(slots, not_a_number_gives_valid_experts) {
    float p[EXPERTS];
    int32_t ids[USED];
    float weights[USED];
    for (int bits = 0; bits < 1 << EXPERTS; bits++) {
        for (int i = 0; i < EXPERTS; i++) p[i] = bits >> i & 1 ? NAN : 0.1f * (float)i;
        qn_slots_choose(p, EXPERTS, USED, true, ids, weights);
        for (int i = 0; i < USED; i++) {
            cr_assert(ids[i] >= 0 && ids[i] < EXPERTS);
            cr_assert(i == 0 || ids[i] > ids[i - 1]);
        }
    }
}

/* Slots of an expert are consecutive, its tokens rise, and both directions agree. */
static void check_numbering(const int32_t *ids, size_t ld, int m, int n_experts, int n_used) {
    void *const data = malloc((size_t)(n_experts + 1 + 2 * m * n_used) * sizeof(int32_t));
    const struct qn_slots slots = qn_slots_at(data, m, n_experts, n_used);
    qn_slots_number(ids, ld, m, n_experts, n_used, &slots);
    cr_assert_eq(slots.starts[0], 0);
    cr_assert_eq(slots.starts[n_experts], m * n_used);
    for (int x = 0; x < n_experts; x++)
        for (int s = slots.starts[x] + 1; s < slots.starts[x + 1]; s++)
            cr_assert_gt(slots.tokens[s], slots.tokens[s - 1]);
    for (int t = 0; t < m; t++)
        for (int i = 0; i < n_used; i++) {
            const int slot = slots.places[t * n_used + i], x = ids[(size_t)t * ld + (size_t)i];
            cr_assert(slot >= slots.starts[x] && slot < slots.starts[x + 1],
                      "token %d, expert %d: slot %d", t, x, slot);
            cr_assert_eq(slots.tokens[slot], t);
        }
    free(data);
}

Test(slots, numbering) {
    enum { M = 60, LD = 5 };
    int32_t ids[M * LD];
    uint32_t state = 1;
    for (int n_used = 1; n_used <= LD; n_used++)
        for (int m = 1; m <= M; m += 7) {
            for (int t = 0; t < m; t++) { /* distinct experts of 8: a random start and step */
                state = state * 1664525u + 1013904223u;
                const int first = (int)(state >> 29), step = 1 + 2 * (int)(state >> 27 & 3);
                for (int i = 0; i < n_used; i++) ids[t * LD + i] = (first + i * step) % 8;
            }
            check_numbering(ids, LD, m, 8, n_used);
        }
}

/* All tokens want the same experts; the others have no slot. */
Test(slots, one_expert_takes_all) {
    enum { M = 33 };
    int32_t ids[M];
    for (int t = 0; t < M; t++) ids[t] = 4;
    check_numbering(ids, 1, M, 6, 1);
}

/* Bytes that a session counts for the first n tokens of a text, all at once. */
static uint64_t bytes_of(struct qn_model *model, size_t n) {
    enum { MAX = 48 };
    int32_t tokens[MAX];
    struct qn_session *session;
    struct qn_error err = {0};
    const struct qn_session_options options = {
        .n_ctx = MAX, .n_ubatch = MAX, .n_sequences = 1, .n_logits = 1, .cache = QN_CACHE_F32};
    for (int i = 0; i < MAX; i++) tokens[i] = 3 + i * 7;
    cr_assert_eq(qn_session_new(model, &options, &session, &err), QN_OK, "%s", err.message);
    const struct qn_batch batch = {.n = n, .tokens = tokens};
    cr_assert_eq(qn_session_eval(session, &batch, &err), QN_OK, "%s", err.message);
    const struct qn_layout *const l = &session->plan.layout;
    const struct qn_hparams *const h = &model->spec.hparams;
    const uint64_t position = (l->k_block + l->v_block) / QN_KV_BLOCK * (uint64_t)h->n_kv_heads;
    const uint64_t cache = position * (uint64_t)h->n_layers * n, bytes = session->bytes_read;
    qn_session_free(session);
    cr_assert_gt(bytes, cache);
    return bytes - cache;
}

/* One token reads two experts of four in each layer; many tokens all of them. */
Test(experts, bytes_read) {
    struct qn_model *model;
    struct qn_error err = {0};
    const struct qn_model_options options = {.n_threads = 2, .bundles = qn_cpu_bundles()};
    cr_assert_eq(qn_model_open(TEST_DATA "/hf/mixtral", &options, &model, &err), QN_OK, "%s",
                 err.message);
    uint64_t all = 0, experts = 0;
    for (size_t i = 0; i < model->spec.n_weights; i++) {
        const struct qn_weight *const w = &model->spec.weights[i];
        if (!w->tile_size) continue;
        all += w->part_size * (uint64_t)w->n_parts;
        if (w->n_parts > 1) experts += w->part_size * (uint64_t)w->n_parts;
    }
    cr_assert_eq(model->spec.hparams.n_experts, 4);
    cr_assert_eq(bytes_of(model, 1), all - experts / 2);
    cr_assert_eq(bytes_of(model, 48), all);
    qn_model_close(model);
}
