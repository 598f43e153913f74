/* SPDX-License-Identifier: Apache-2.0
 *
 * What a session counts and chooses by its own limits.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "kernels/cpu.h"
#include "models/model.h"
#include "run/session.h"

enum { N_TOKENS = 24 };

static struct qn_model *open_model(const char *name) {
    char path[512];
    struct qn_model *model;
    struct qn_error err = {0};
    const struct qn_model_options options = {.n_threads = 2, .bundles = qn_cpu_bundles()};
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, name);
    cr_assert_eq(qn_model_open(path, &options, &model, &err), QN_OK, "%s", err.message);
    return model;
}

/* A session that has read the first N_TOKENS of a text as sequence 0. */
static struct qn_session *read_text(struct qn_model *model, int n_ctx, int n_sequences,
                                    int n_ubatch) {
    int32_t tokens[N_TOKENS];
    struct qn_session *session;
    struct qn_error err = {0};
    const struct qn_session_options options = {.n_ctx = n_ctx,
                                               .n_ubatch = n_ubatch,
                                               .n_sequences = n_sequences,
                                               .n_logits = 1,
                                               .cache = QN_CACHE_F32};
    for (int i = 0; i < N_TOKENS; i++) tokens[i] = 3 + i * 7;
    cr_assert_eq(qn_session_new(model, &options, &session, &err), QN_OK, "%s", err.message);
    const struct qn_batch batch = {.n = N_TOKENS, .tokens = tokens};
    cr_assert_eq(qn_session_eval(session, &batch, &err), QN_OK, "%s", err.message);
    return session;
}

/* LongRoPE chooses its factors by the context, which is 32 for one of two sequences that share 64:
 * the text must not change because there is room for another. */
Test(session, rotation_goes_by_the_context_of_one_sequence) {
    struct qn_model *const model = open_model("hf/phi3-long");
    const struct qn_hparams *const h = &model->spec.hparams;
    cr_assert_eq(h->rope[QN_ROPE_GLOBAL].ctx_orig, 32);
    struct qn_session *const alone = read_text(model, 32, 1, 64);
    struct qn_session *const beside = read_text(model, 64, 2, 64);
    struct qn_session *const longer = read_text(model, 64, 1, 64);
    const size_t size = (size_t)h->n_vocab * sizeof(float);
    cr_assert_eq(memcmp(qn_session_logits(alone, 0), qn_session_logits(beside, 0), size), 0);
    cr_assert_neq(memcmp(qn_session_logits(alone, 0), qn_session_logits(longer, 0), size), 0);
    qn_session_free(longer);
    qn_session_free(beside);
    qn_session_free(alone);
    qn_model_close(model);
}

/* Of four ubatches three have no outputs, and leave the head alone. */
Test(session, the_head_is_read_for_outputs_alone) {
    struct qn_model *const model = open_model("models/llama-f32.gguf");
    struct qn_session *const whole = read_text(model, 64, 1, N_TOKENS);
    struct qn_session *const parts = read_text(model, 64, 1, N_TOKENS / 4);
    const struct qn_layout *const l = &whole->plan.layout;
    const struct qn_hparams *const h = &model->spec.hparams;
    const uint64_t position =
        (l->k_block + l->v_block) / QN_KV_BLOCK * (uint64_t)h->n_kv_heads * (uint64_t)h->n_layers;
    const struct qn_weight *const head = qn_spec_weight(&model->spec, QN_ROLE_OUTPUT, 0);
    const uint64_t weights = model->spec.decode_size;
    cr_assert_eq(whole->bytes_read, weights + position * N_TOKENS);
    cr_assert_eq(parts->bytes_read,
                 4 * weights - 3 * head->part_size + position * N_TOKENS * (1 + 2 + 3 + 4) / 4);
    qn_session_free(parts);
    qn_session_free(whole);
    qn_model_close(model);
}

/* A block without a position is none: many sequences that share few positions need few. */
Test(session, has_no_more_blocks_than_positions) {
    struct qn_model *const model = open_model("models/llama-f32.gguf");
    struct qn_session *const session = read_text(model, 64, 1000, 64);
    cr_assert_eq(session->plan.layout.n_blocks, 64);
    cr_assert_eq(session->kv.sequence_blocks, 1);
    qn_session_free(session);
    qn_model_close(model);
}
