/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads that help each other: a worker that stands still in the middle of a product has the rest
 * of its share done by the other, and whoever computes a row, its bits are the same. A plain
 * program, to be built with -Db_sanitize=thread too. usage: race_claims FOLDER-OF-MODELS
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/access.h"

enum { N_TOKENS = 12, MAX_VOCAB = 512, FEW = 5, WAIT_MS = 20000 };

static int n_failed;

/* ---- a worker that stands still --------------------------------------------------------- */

static const struct qn_model *watched; /* all of whose matrices are F32 */
static qn_matvec_fn *real_matvec;
static pthread_t caller; /* worker 0 */
static atomic_bool stands, helped, in_vain;

static const struct qn_weight *weight_of(const struct qn_matmul *a, enum qn_role role) {
    for (int layer = 0; layer < watched->spec.hparams.n_layers; layer++)
        if (a->w == qn_model_weight(watched, role, layer))
            return qn_spec_weight(&watched->spec, role, layer);
    return NULL;
}

/* In the first piece of a gate projection that it comes to, the second worker waits for the first
 * to compute the last rows of its share: which it may have done by then, if the second comes late.
 */
static void watch_matvec(const struct qn_matmul *a) {
    const struct qn_weight *const gate = weight_of(a, QN_ROLE_FFN_GATE);
    if (gate && pthread_equal(pthread_self(), caller)) {
        if (a->n1 == gate->n) atomic_store(&helped, true);
    } else if (gate && !atomic_exchange(&stands, true)) {
        int ms = 0;
        for (; ms < WAIT_MS && !atomic_load(&helped); ms++) usleep(1000);
        atomic_store(&in_vain, ms == WAIT_MS);
    }
    real_matvec(a);
}

/* ---- runs ------------------------------------------------------------------------------- */

static struct quern_model *open_model(const char *path, int n_threads) {
    const struct quern_model_options options = {.n_threads = n_threads};
    struct quern_model *model;
    struct quern_error err;
    if (quern_model_open(path, &options, &model, &err) == QUERN_OK) return model;
    fprintf(stderr, "%s: %s\n", path, err.message);
    exit(1);
}

/* Logits, [N_TOKENS][MAX_VOCAB], of tokens one by one, then of FEW together. Shares of least_share
 * bytes may be helped with. */
static void evaluate(struct quern_model *model, size_t least_share, float *logits) {
    const struct quern_session_options options = {.n_ctx = 64};
    struct quern_session *session;
    struct quern_error err;
    if (quern_session_new(model, &options, &session, &err) != QUERN_OK) exit(1);
    struct quern_model_info info;
    quern_model_info(model, &info);
    if (info.n_vocab > MAX_VOCAB) exit(1);
    struct qn_executor *const executor = &qn_session_of(session)->executor;
    executor->least_share = least_share;
    atomic_store(&executor->claims->uneven_until, UINT64_MAX);
    for (size_t i = 0; i < N_TOKENS; i++) {
        int32_t tokens[FEW];
        for (int32_t k = 0; k < FEW; k++) tokens[k] = 5 + 7 * (int32_t)i + k;
        const struct quern_batch batch = {.n = i + 1 == N_TOKENS ? FEW : 1, .tokens = tokens};
        if (quern_session_eval(session, &batch, &err) != QUERN_OK) exit(1);
        memcpy(logits + i * MAX_VOCAB, quern_session_logits(session, 0),
               (size_t)info.n_vocab * sizeof(float));
    }
    quern_session_free(session);
}

static void compare(const char *what, const char *path, const float *a, const float *b) {
    if (memcmp(a, b, sizeof(float[N_TOKENS][MAX_VOCAB])) == 0) return;
    printf("FAILED %s: %s changes the logits\n", path, what);
    n_failed++;
}

static void check_help(const char *path) {
    static float fixed[N_TOKENS * MAX_VOCAB], shared[N_TOKENS * MAX_VOCAB];
    struct quern_model *const model = open_model(path, 2);
    struct qn_model *const inner = qn_model_of(model);
    evaluate(model, SIZE_MAX, fixed);
    watched = inner;
    caller = pthread_self();
    real_matvec = inner->kernels.matvec[QN_PACK_F32];
    inner->kernels.matvec[QN_PACK_F32] = watch_matvec;
    evaluate(model, 1, shared);
    compare("a worker that stands still", path, fixed, shared);
    if (!atomic_load(&stands) || atomic_load(&in_vain)) {
        printf("FAILED %s: nobody does the share of a worker that stands still\n", path);
        n_failed++;
    }
    quern_model_close(model);
}

/* More threads than cores: who computes what changes from run to run. */
static void check_bits(const char *path) {
    static float fixed[N_TOKENS * MAX_VOCAB], shared[N_TOKENS * MAX_VOCAB];
    struct quern_model *const model = open_model(path, 4);
    evaluate(model, SIZE_MAX, fixed);
    for (int i = 0; i < 3; i++) {
        evaluate(model, 1, shared);
        compare("helping", path, fixed, shared);
    }
    quern_model_close(model);
}

int main(int argc, char **argv) {
    static const char *const names[] = {"llama-q4_k.gguf", "qwen2-mixed.gguf", "mixtral-f16.gguf",
                                        "gptneox-f32.gguf", "gemma2-f16.gguf"};
    char path[512];
    if (argc != 2) return 2;
    snprintf(path, sizeof path, "%s/llama-f32.gguf", argv[1]);
    check_help(path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", argv[1], names[i]);
        check_bits(path);
    }
    if (n_failed == 0) printf("threads help each other, and the bits stay\n");
    return n_failed != 0;
}
