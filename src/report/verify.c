/* SPDX-License-Identifier: Apache-2.0 */
#include "report/verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

const struct qn_verify_stage qn_verify_stages[QN_VERIFY_STAGES] = {
    {"weights", "tensors are there, read, finite and not suspicious", qn_verify_weights},
    {"cache", "the KV cache fills, and gives the same bits however it is filled", qn_verify_cache},
    {"attention", "weights of every head sum to 1, see the past alone and are those of a softmax",
     qn_verify_attention},
    {"output", "answers to prompts are confident and do not loop", qn_verify_output},
    {"reference", "ids, tensors and logits are those of another engine", qn_verify_reference},
};

const struct qn_verify_prompt qn_verify_prompts[3] = {
    {"The capital of France is", NULL},
    {"2 + 2 =", NULL},
    {"Count to 5:", NULL},
};

static const char *const verdicts[] = {[QN_VERDICT_PASS] = "pass",
                                       [QN_VERDICT_NOTE] = "note",
                                       [QN_VERDICT_SKIP] = "skip",
                                       [QN_VERDICT_FAIL] = "fail"};

void qn_verify_check(struct qn_verify *v, const char *check, enum qn_verdict verdict,
                     const char *format, ...) {
    char detail[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    /* Names from files may hold anything; what a terminal obeys is hidden. */
    for (char *c = detail; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
    json_t *text = json_string(detail);
    if (!text) text = json_string("the sentence is not valid UTF-8");
    json_array_append_new(
        json_object_get(v->stage, "checks"),
        json_pack("{s:s, s:s, s:o}", "check", check, "verdict", verdicts[verdict], "detail", text));
    if (verdict == QN_VERDICT_FAIL)
        json_object_set_new(v->stage, "verdict", json_string(verdicts[QN_VERDICT_FAIL]));
}

void qn_verify_progress(const struct qn_verify *v, double done) {
    if (v->options->progress)
        v->options->progress(v->options->progress_context,
                             json_string_value(json_object_get(v->stage, "stage")), done);
}

static json_t *new_stage(const char *name) {
    return json_pack("{s:s, s:s, s:f, s:[]}", "stage", name, "verdict", verdicts[QN_VERDICT_PASS],
                     "seconds", 0.0, "checks");
}

json_t *qn_verify_run(const struct qn_verify_stage *stage, struct qn_model *model,
                      const struct qn_verify_options *options) {
    struct qn_verify v = {.model = model, .options = options, .stage = new_stage(stage->name)};
    struct qn_error err = {0};
    const double started = qn_clock_seconds(CLOCK_MONOTONIC);
    qn_verify_progress(&v, 0);
    if (stage->run(&v, &err) != QN_OK)
        qn_verify_check(&v, "runs", QN_VERDICT_FAIL, "%s", err.message);
    qn_verify_progress(&v, 1);
    json_object_set_new(v.stage, "seconds", json_real(qn_clock_seconds(CLOCK_MONOTONIC) - started));
    return v.stage;
}

json_t *qn_verify_unopened(const char *why) {
    struct qn_verify v = {.stage = new_stage("weights")};
    qn_verify_check(&v, "opens", QN_VERDICT_FAIL, "%s", why);
    return v.stage;
}

/* Plain prose that any tokenizer knows, with numbers, names and repetition. */
static const char passage[] =
    "The capital of France is Paris. 2 + 2 = 4. Count to 5: 1, 2, 3, 4, 5.\n"
    "The old clock in the hall struck nine, and nobody came. Anna put down her book, looked at the "
    "door, and counted the seconds under her breath: ten, eleven, twelve. It had rained since "
    "Monday; the river was high, the road to the village was closed, and the last train had left "
    "at 18:45. \"If they do not come tonight,\" she said, \"they will not come at all.\" The clock "
    "went on. Somewhere above, a window opened and closed again. She took the lamp, walked up the "
    "stairs, and found the old man asleep in his chair, a letter in his hand. It was addressed to "
    "her. She read it twice, because the first time she could not believe what it said.\n";

enum qn_status qn_verify_text(const struct qn_model *model, int n, int32_t **ids,
                              struct qn_error *err) {
    struct qn_ids text = {0};
    const enum qn_status status = qn_tokenizer_encode(model->tokenizer, passage, sizeof passage - 1,
                                                      QN_ENCODE_BOS, &text, err);
    *ids = status == QN_OK ? malloc((size_t)n * sizeof **ids) : NULL;
    for (int i = 0; *ids && i < n; i++) (*ids)[i] = text.n ? text.data[(size_t)i % text.n] : 0;
    qn_ids_free(&text);
    if (status != QN_OK || *ids) return status;
    return qn_fail(err, QN_NO_MEMORY, "no memory for %d token ids", n);
}
