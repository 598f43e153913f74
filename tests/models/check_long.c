/* SPDX-License-Identifier: Apache-2.0
 *
 * Equal bits where a token sees several spans of attention, which the threads of a single token may
 * divide among them, and those of many tokens do not.
 */
#include <stdlib.h>
#include <string.h>

#include "checks.h"
#include "kernels/kernels.h"

/* Tokens up to here, of which some are decoded one by one: around the ends of the first two spans,
 * and in the third. */
enum { LENGTH = 2 * QN_ATTENTION_SPAN + 200, N_SINGLE = 18 };

static bool is_single(int i) {
    return (i >= QN_ATTENTION_SPAN - 3 && i < QN_ATTENTION_SPAN + 3) ||
           (i >= 2 * QN_ATTENTION_SPAN - 3 && i < 2 * QN_ATTENTION_SPAN + 3) || i >= LENGTH - 6;
}

/* One model for each way to attention: by numbers of heads, norms, windows, caps and rotations. */
static bool is_chosen(const char *name) {
    static const char *const names[] = {
        "llama-f32",  "llama-window-f32", "qwen2-yarn-f32",  "qwen2-mixed", "hf/gpt_neox-new",
        "hf/mixtral", "hf/gemma2",        "hf/qwen2-window", "hf/qwen3",    "hf/olmo2"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* Logits of the single tokens, [N_SINGLE][n_vocab]: in a call each, or all tokens in one. */
static void evaluate(struct quern_model *model, const int32_t *tokens, int n_ubatch,
                     bool one_by_one, float *logits, size_t n_vocab) {
    const struct quern_session_options options = {
        .n_ctx = LENGTH, .n_ubatch = n_ubatch, .n_logits = N_SINGLE};
    struct quern_session *session;
    struct quern_error err;
    bool wanted[LENGTH];
    if (quern_session_new(model, &options, &session, &err) != QUERN_OK) {
        check(false, "new session: %s", err.message);
        exit(1);
    }
    for (int i = 0; i < LENGTH; i++) wanted[i] = is_single(i);
    for (int first = 0, n; first < LENGTH; first += n) {
        for (n = 1; first + n < LENGTH; n++)
            if (one_by_one && (wanted[first] || wanted[first + n])) break;
        const struct quern_batch batch = {
            .n = (size_t)n, .tokens = tokens + first, .logits = wanted + first};
        if (quern_session_eval(session, &batch, &err) != QUERN_OK)
            check(false, "eval: %s", err.message);
        for (size_t i = 0; quern_session_logits(session, i); i++, logits += n_vocab)
            memcpy(logits, quern_session_logits(session, i), n_vocab * sizeof *logits);
    }
    quern_session_free(session);
}

void check_long(const struct subject *subject, const struct npy *ids) {
    if (!is_chosen(subject->name)) return;
    struct quern_model *const one = open_model(subject->path, 1, 1);
    struct quern_model_info info;
    int32_t tokens[LENGTH];
    if (!one) return;
    quern_model_info(one, &info);
    const size_t n_vocab = (size_t)info.n_vocab, size = N_SINGLE * n_vocab * sizeof(float);
    float *const expected = malloc(size), *const found = malloc(size);
    for (size_t i = 0; i < LENGTH; i++) tokens[i] = ids->i32[(5 * i + i / ids->rows) % ids->rows];
    evaluate(one, tokens, 512, false, expected, n_vocab);
    quern_model_close(one);
    const int step = strcmp(info.isa, "ref") == 0 ? 4 : 1; /* which is slow */
    for (int threads = step == 1 ? 1 : 3; threads <= 8; threads += step) {
        struct quern_model *const model = open_model(subject->path, threads, 2);
        if (!model) continue;
        memset(found, 0, size);
        evaluate(model, tokens, threads % 2 ? 512 : 100, true, found, n_vocab);
        check(memcmp(found, expected, size) == 0,
              "%s: at %d positions, tokens one by one on %d threads: bits differ from all at once",
              subject->name, LENGTH, threads);
        quern_model_close(model);
    }
    free(expected);
    free(found);
}
