/* SPDX-License-Identifier: Apache-2.0
 *
 * Taps: what they show is what the pass computes, and looking changes nothing.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quern.h"

enum { N_IDS = 20, MAX_WIDTH = 512, MAX_TENSORS = 64 };

static const int32_t ids[N_IDS] = {1,  50, 2,  7, 300, 12, 13, 14, 15, 16,
                                   17, 18, 50, 2, 1,   40, 41, 42, 43, 44};

/* Everything that one run has shown: rows by position. */
struct shown {
    struct {
        char name[64];
        size_t columns;
        int n_rows;
        float rows[N_IDS][MAX_WIDTH];
    } tensors[MAX_TENSORS];
    size_t n;
};

static void note(void *context, const struct quern_tensor *tensor) {
    struct shown *const shown = context;
    size_t t = 0;
    while (t < shown->n && strcmp(shown->tensors[t].name, tensor->name) != 0) t++;
    cr_assert(t < MAX_TENSORS && tensor->n_columns <= MAX_WIDTH && tensor->n_rows > 0);
    if (t == shown->n) {
        snprintf(shown->tensors[t].name, sizeof shown->tensors[t].name, "%s", tensor->name);
        shown->tensors[t].columns = tensor->n_columns;
        shown->n++;
    }
    cr_assert_eq(shown->tensors[t].columns, tensor->n_columns);
    for (size_t r = 0; r < tensor->n_rows; r++) {
        cr_assert_eq(tensor->sequences[r], 0);
        cr_assert(tensor->positions[r] >= 0 && tensor->positions[r] < N_IDS);
        memcpy(shown->tensors[t].rows[tensor->positions[r]], tensor->data + r * tensor->stride,
               tensor->n_columns * sizeof(float));
        shown->tensors[t].n_rows++;
    }
}

static size_t find(const struct shown *shown, const char *format, int layer) {
    char name[64];
    snprintf(name, sizeof name, format, layer);
    size_t t = 0;
    while (t < shown->n && strcmp(shown->tensors[t].name, name) != 0) t++;
    cr_assert(t < shown->n, "%s was not shown", name);
    return t;
}

static struct quern_model *open_model(const char *file, struct quern_model_info *info) {
    char path[512];
    struct quern_model *model;
    struct quern_error err;
    const struct quern_model_options options = {.n_threads = 2, .no_pin = true};
    snprintf(path, sizeof path, "%s/%s", TEST_DATA, file);
    cr_assert_eq(quern_model_open(path, &options, &model, &err), QUERN_OK, "%s", err.message);
    quern_model_info(model, info);
    return model;
}

/* Logits of all positions into all [N_IDS][n_vocab]. */
static void eval(struct quern_model *model, int ubatch, struct shown *shown,
                 const char *const *patterns, float *all, size_t n_vocab) {
    struct quern_session *session;
    struct quern_error err;
    bool wanted[N_IDS];
    memset(wanted, true, sizeof wanted);
    const struct quern_session_options options = {.n_ctx = 32,
                                                  .n_ubatch = ubatch,
                                                  .n_logits = N_IDS,
                                                  .tap = shown ? note : NULL,
                                                  .tap_context = shown,
                                                  .tap_patterns = patterns};
    cr_assert_eq(quern_session_new(model, &options, &session, &err), QUERN_OK, "%s", err.message);
    const struct quern_batch batch = {.n = N_IDS, .tokens = ids, .logits = wanted};
    cr_assert_eq(quern_session_eval(session, &batch, &err), QUERN_OK, "%s", err.message);
    for (size_t i = 0; i < N_IDS; i++)
        memcpy(all + i * n_vocab, quern_session_logits(session, i), n_vocab * sizeof *all);
    quern_session_free(session);
}

/* Serial and parallel, with norms before, behind and both, of heads and of rows, with learned
 * positions, projected embeddings and experts; `sums`: the stream grows by what the modules give.
 */
static const struct {
    const char *file;
    bool sums;
} models[] = {
    {"models/llama-f32.gguf", true},
    {"models/qwen2-mixed.gguf", true},
    {"models/llama-q4_k.gguf", true},
    {"models/gptneox-serial-f16.gguf", true},
    {"hf/gpt2", true},
    {"hf/opt", true},
    {"hf/opt-postnorm", false},
    {"hf/gpt_neox", true},
    {"hf/qwen3", true},
    {"hf/mixtral", true},
    {"hf/gemma2", false},
    {"hf/olmo2", false},
};
static const size_t n_models = sizeof models / sizeof *models;

static struct shown shown;

Test(tap, changes_no_bit) {
    for (size_t i = 0; i < n_models; i++) {
        struct quern_model_info info;
        struct quern_model *const model = open_model(models[i].file, &info);
        const size_t n_vocab = (size_t)info.n_vocab, size = N_IDS * n_vocab * sizeof(float);
        float *const plain = malloc(size), *const tapped = malloc(size);
        cr_assert(plain && tapped);
        eval(model, 32, NULL, NULL, plain, n_vocab);
        for (int ubatch = 1; ubatch <= 13; ubatch += 6) {
            memset(&shown, 0, sizeof shown);
            eval(model, ubatch, &shown, NULL, tapped, n_vocab);
            cr_expect_eq(memcmp(plain, tapped, size), 0, "%s, ubatch %d", models[i].file, ubatch);
            const size_t logits = find(&shown, "logits", 0);
            for (size_t r = 0; r < N_IDS; r++)
                cr_expect_eq(memcmp(shown.tensors[logits].rows[r], plain + r * n_vocab,
                                    n_vocab * sizeof *plain),
                             0, "%s: row %zu of logits", models[i].file, r);
        }
        free(plain);
        free(tapped);
        quern_model_close(model);
    }
}

Test(tap, shows_every_row_of_every_tensor_once) {
    static const char *const always[] = {"q",    "k",        "v",       "q_rope", "k_rope",
                                         "attn", "attn_out", "mlp_out", "out"};
    for (size_t i = 0; i < n_models; i++) {
        struct quern_model_info info;
        struct quern_model *const model = open_model(models[i].file, &info);
        float *const all = malloc(N_IDS * (size_t)info.n_vocab * sizeof *all);
        memset(&shown, 0, sizeof shown);
        eval(model, 7, &shown, NULL, all, (size_t)info.n_vocab);
        for (size_t t = 0; t < shown.n; t++)
            cr_expect_eq(shown.tensors[t].n_rows, N_IDS, "%s: %d rows of %s", models[i].file,
                         shown.tensors[t].n_rows, shown.tensors[t].name);
        cr_expect_str_eq(shown.tensors[0].name, "embed");
        cr_expect_str_eq(shown.tensors[shown.n - 1].name, "logits");
        cr_expect_str_eq(shown.tensors[shown.n - 2].name, "final_norm");
        for (int layer = 0; layer < info.n_layers; layer++)
            for (size_t n = 0; n < sizeof always / sizeof *always; n++) {
                char name[64];
                snprintf(name, sizeof name, "layers.%%d.%s", always[n]);
                find(&shown, name, layer);
            }
        if (strstr(models[i].file, "mixtral"))
            cr_expect_eq(shown.tensors[find(&shown, "layers.%d.router", 1)].columns, 4);
        free(all);
        quern_model_close(model);
    }
}

/* The residual sum adds the attention's output, then the MLP's, each rounded to float. */
Test(tap, modules_add_up_to_the_stream) {
    for (size_t i = 0; i < n_models; i++) {
        if (!models[i].sums) continue;
        struct quern_model_info info;
        struct quern_model *const model = open_model(models[i].file, &info);
        float *const all = malloc(N_IDS * (size_t)info.n_vocab * sizeof *all);
        memset(&shown, 0, sizeof shown);
        eval(model, 32, &shown, NULL, all, (size_t)info.n_vocab);
        size_t before = find(&shown, "embed", 0);
        for (int layer = 0; layer < info.n_layers; layer++) {
            const size_t attn = find(&shown, "layers.%d.attn_out", layer);
            const size_t mlp = find(&shown, "layers.%d.mlp_out", layer);
            const size_t after = find(&shown, "layers.%d.out", layer);
            for (size_t r = 0; r < N_IDS; r++)
                for (int c = 0; c < info.n_embd; c++) {
                    const float sum = shown.tensors[before].rows[r][c] +
                                      shown.tensors[attn].rows[r][c] +
                                      shown.tensors[mlp].rows[r][c];
                    cr_assert_eq(sum, shown.tensors[after].rows[r][c], "%s layer %d [%zu][%d]",
                                 models[i].file, layer, r, c);
                }
            before = after;
        }
        free(all);
        quern_model_close(model);
    }
}

Test(tap, patterns_choose) {
    static const char *const patterns[] = {"layers.*.attn_out", "final_n?rm", NULL};
    struct quern_model_info info;
    struct quern_model *const model = open_model("models/llama-f32.gguf", &info);
    float *const all = malloc(N_IDS * (size_t)info.n_vocab * sizeof *all);
    eval(model, 32, &shown, patterns, all, (size_t)info.n_vocab);
    cr_assert_eq(shown.n, 3);
    cr_expect_str_eq(shown.tensors[0].name, "layers.0.attn_out");
    cr_expect_str_eq(shown.tensors[1].name, "layers.1.attn_out");
    cr_expect_str_eq(shown.tensors[2].name, "final_norm");
    free(all);
    quern_model_close(model);
}
