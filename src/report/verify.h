/* SPDX-License-Identifier: Apache-2.0
 *
 * Is a model right? Each stage looks at one thing, measures it and says pass or fail:
 * weights, KV cache, attention, output, and the agreement with a reference. Results are JSON:
 *   stage: {"stage", "verdict", "seconds", "checks": [check, ...], ... the stage's own numbers}
 *   check: {"check", "verdict", "detail"}
 * Nothing here prints; a failure to run (no memory, a bad reference) is a check that fails.
 */
#ifndef QN_REPORT_VERIFY_H
#define QN_REPORT_VERIFY_H

#include <jansson.h>
#include <stdio.h>

#include "models/model.h"

/* "pass", "note" (worth a look, no failure), "skip" (does not apply, or was not reached), "fail".
 * A stage's verdict is fail when a check's is, and pass otherwise. */
enum qn_verdict { QN_VERDICT_PASS, QN_VERDICT_NOTE, QN_VERDICT_SKIP, QN_VERDICT_FAIL };

struct qn_verify_prompt {
    const char *text;
    const char *expected; /* a part of the answer, or NULL: not asked */
};

/* The prompts of the output stage when the caller has none. */
extern const struct qn_verify_prompt qn_verify_prompts[3];

/* Heads for qn_verify_html. */
struct qn_verify_head {
    int layer, head;
};

enum {
    QN_VERIFY_TOKENS = 150, /* more than two blocks of the KV cache */
    QN_VERIFY_PREDICT = 32,
    QN_VERIFY_MAX_HEADS = 16
};

struct qn_verify_options {
    int n_tokens;        /* positions that the KV cache and attention stages evaluate */
    int n_predict;       /* tokens that the output stage generates a prompt */
    enum qn_cache cache; /* type of the caches; the reference stage uses f32 */
    size_t n_prompts;
    const struct qn_verify_prompt *prompts; /* [n_prompts] */
    const char *reference; /* folder that tools/reference.py wrote; NULL without that stage */
    int n_heads;           /* to draw; 0: the most peculiar */
    struct qn_verify_head heads[QN_VERIFY_MAX_HEADS];
    bool draw; /* the attention stage keeps the weights of these heads in its result */
    /* Part of the stage that is done, 0 to 1. May be NULL. */
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
};

/* What a stage works on and writes to. */
struct qn_verify {
    struct qn_model *model;
    const struct qn_verify_options *options;
    json_t *stage;
};

struct qn_verify_stage {
    const char *name, *summary;
    enum qn_status (*run)(struct qn_verify *v, struct qn_error *err);
};

enum { QN_VERIFY_STAGES = 5 };
extern const struct qn_verify_stage qn_verify_stages[QN_VERIFY_STAGES];

/* Runs one stage; a new reference, NULL without memory. */
json_t *qn_verify_run(const struct qn_verify_stage *stage, struct qn_model *model,
                      const struct qn_verify_options *options);
/* Whether the model has the heads that are to be drawn: QN_BAD_ARGUMENT. To be asked before the
 * attention stage. */
enum qn_status qn_verify_check_heads(const struct qn_model *model,
                                     const struct qn_verify_options *options, struct qn_error *err);
/* The weights stage of a model that could not be opened. */
json_t *qn_verify_unopened(const char *why);

/* One page without anything outside it: verdicts, answers, and the heads that the attention stage
 * kept, as heat maps. report: {"models": [...]} as the program prints it. */
void qn_verify_html(const json_t *report, FILE *out);

/* ---- for the stages ---- */

enum qn_status qn_verify_weights(struct qn_verify *v, struct qn_error *err);
enum qn_status qn_verify_cache(struct qn_verify *v, struct qn_error *err);
enum qn_status qn_verify_attention(struct qn_verify *v, struct qn_error *err);
enum qn_status qn_verify_output(struct qn_verify *v, struct qn_error *err);
enum qn_status qn_verify_reference(struct qn_verify *v, struct qn_error *err);

/* Adds a check; a verdict of fail becomes the stage's. */
void qn_verify_check(struct qn_verify *v, const char *check, enum qn_verdict verdict,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));
/* check passes or fails by `ok`. */
#define QN_VERIFY_THAT(v, check, ok, ...)                                                          \
    qn_verify_check(v, check, (ok) ? QN_VERDICT_PASS : QN_VERDICT_FAIL, __VA_ARGS__)
void qn_verify_progress(const struct qn_verify *v, double done);
/* Ids of a fixed English text, repeated until there are n. Allocated: free(*ids). */
enum qn_status qn_verify_text(const struct qn_model *model, int n, int32_t **ids,
                              struct qn_error *err);

#endif
