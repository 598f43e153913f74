/* SPDX-License-Identifier: Apache-2.0
 *
 * The output stage: greedy answers to prompts, how sure the model is of them, and whether they go
 * round in circles. The thresholds separate models that have learned from those that have not:
 *   - An untrained model gives all V tokens about the same probability: its logits deviate by about
 *     1, so that the likeliest of V tokens has a log probability near sqrt(2 ln V) - ln V - 1/2, of
 *     50,000 about -6.7; a trained one is sure of its own greedy tokens to -1 or so. Asked for is a
 *     mean of at least -ln(V) / 4 (-2.7).
 *   - A model whose layers do nothing repeats the last token, or two in turn, and may be sure of
 *     it: no answer may end in a loop of one or two tokens that takes up half of it.
 *   - The prompts themselves are likelier than chance: at least -3/4 ln(V) a token. An untrained
 *     model stays at -ln(V) or below, however its logits deviate, for it knows nothing of them.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/json_text.h"
#include "report/probe.h"
#include "report/verify.h"

enum { MAX_PROMPT = 4096, MAX_PIECE = 1024, LOOP_PERIOD = 2, NGRAM = 3 };

struct answer {
    const struct qn_verify_prompt *prompt;
    struct qn_ids ids; /* the prompt's, then the answer's */
    size_t n_prompt;
    double *log_probabilities; /* [ids.n], of each token but the first */
    bool ended;                /* by a token that ends */
    char *text;
    size_t text_size;
};

struct output {
    struct qn_verify *v;
    double chance; /* ln(V) */
    size_t n_answer, n_prompt;
    double answer_sum, prompt_sum; /* log probabilities of all */
    size_t n_looping, n_wrong, n_asked;
};

/* ---- one answer ------------------------------------------------------------------------- */

static enum qn_status take_token(struct answer *a, int32_t token, double log_probability,
                                 struct qn_error *err) {
    if (a->ids.n == a->ids.capacity)
        return qn_fail(err, QN_NO_MEMORY, "an answer is longer than its memory");
    a->log_probabilities[a->ids.n] = log_probability;
    a->ids.data[a->ids.n++] = token;
    return QN_OK;
}

/* The prompt token by token, for the probability of each, then greedily on. */
static enum qn_status generate(struct qn_verify *v, struct answer *a, struct qn_session *session,
                               struct qn_error *err) {
    const int n_vocab = v->model->spec.hparams.n_vocab;
    const float *logits = NULL;
    for (size_t i = 0; i < a->n_prompt; i++) {
        if (logits)
            a->log_probabilities[i] = qn_probe_log_probability(logits, n_vocab, a->ids.data[i]);
        QN_TRY(qn_probe_eval(session, a->ids.data + i, 1, 0, err));
        logits = qn_session_logits(session, 0);
    }
    for (int step = 0; step < v->options->n_predict; step++) {
        const int32_t token = qn_probe_argmax(logits, n_vocab);
        a->ended = (uint32_t)token >= qn_tokenizer_n_tokens(v->model->tokenizer) ||
                   qn_tokenizer_is_end(v->model->tokenizer, token);
        if (a->ended) return QN_OK;
        QN_TRY(take_token(a, token, qn_probe_log_probability(logits, n_vocab, token), err));
        if (step + 1 == v->options->n_predict) return QN_OK;
        QN_TRY(qn_probe_eval(session, &token, 1, 0, err));
        logits = qn_session_logits(session, 0);
    }
    return QN_OK;
}

static enum qn_status decode(const struct qn_verify *v, struct answer *a, struct qn_error *err) {
    struct qn_decoder decoder = {.started = true};
    const size_t n = a->ids.n - a->n_prompt;
    size_t capacity = MAX_PIECE;
    for (size_t i = 0; i < n; i++)
        capacity +=
            3 * qn_tokenizer_piece(v->model->tokenizer, a->ids.data[a->n_prompt + i], false).size +
            3;
    a->text = malloc(capacity);
    if (!a->text) return qn_fail(err, QN_NO_MEMORY, "no memory for an answer");
    for (size_t i = 0; i < n; i++)
        a->text_size += qn_decoder_next(&decoder, v->model->tokenizer, a->ids.data[a->n_prompt + i],
                                        false, a->text + a->text_size, capacity - a->text_size - 4);
    a->text_size +=
        qn_decoder_finish(&decoder, a->text + a->text_size, capacity - a->text_size - 1);
    a->text[a->text_size] = '\0';
    return QN_OK;
}

/* ---- repetition ------------------------------------------------------------------------- */

/* Share of the runs of NGRAM tokens that came before. */
static double repeated_share(const int32_t *ids, size_t n) {
    size_t repeated = 0;
    if (n < NGRAM + 1) return 0;
    for (size_t i = 0; i + NGRAM <= n; i++)
        for (size_t j = 0; j < i; j++)
            if (memcmp(ids + i, ids + j, NGRAM * sizeof *ids) == 0) {
                repeated++;
                break;
            }
    return (double)repeated / (double)(n - NGRAM + 1);
}

/* Length of the longest end of ids [n] that repeats with the period. */
static size_t loop_length(const int32_t *ids, size_t n, size_t period) {
    size_t length = 0;
    while (length + period < n && ids[n - 1 - length] == ids[n - 1 - length - period]) length++;
    return length ? length + period : 0;
}

static bool is_looping(const int32_t *ids, size_t n) {
    for (size_t period = 1; period <= LOOP_PERIOD; period++)
        if (n >= 8 && 2 * loop_length(ids, n, period) >= n) return true;
    return false;
}

/* ---- results ---------------------------------------------------------------------------- */

static double sum_of(const double *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

static void add_answer(struct output *o, const struct answer *a) {
    const size_t n = a->ids.n - a->n_prompt, n_given = a->n_prompt ? a->n_prompt - 1 : 0;
    const int32_t *const ids = a->ids.data + a->n_prompt;
    const double *const log_probabilities = a->log_probabilities + a->n_prompt;
    const bool looping = is_looping(ids, n);
    const char *const expected = a->prompt->expected;
    const bool found = expected && strstr(a->text, expected);
    json_t *const tokens = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(tokens, json_pack("{s:i, s:o}", "id", ids[i], "log_probability",
                                                qn_json_number(log_probabilities[i])));
    json_t *const result = json_pack(
        "{s:o, s:o, s:o, s:o, s:f, s:b, s:b, s:o}", "prompt",
        qn_json_text(a->prompt->text, strlen(a->prompt->text)), "text",
        qn_json_text(a->text, a->text_size), "mean_log_probability",
        n ? qn_json_number(sum_of(log_probabilities, n) / (double)n) : json_null(),
        "prompt_mean_log_probability",
        n_given ? qn_json_number(sum_of(a->log_probabilities + 1, n_given) / (double)n_given)
                : json_null(),
        "repeated_share", repeated_share(ids, n), "looping", looping, "ended", a->ended, "tokens",
        tokens);
    if (expected) {
        json_object_set_new(result, "expected", qn_json_text(expected, strlen(expected)));
        json_object_set_new(result, "found", json_boolean(found));
    }
    json_array_append_new(json_object_get(o->v->stage, "answers"), result);
    o->n_answer += n;
    o->n_prompt += n_given;
    o->answer_sum += sum_of(log_probabilities, n);
    o->prompt_sum += sum_of(a->log_probabilities + (n_given ? 1 : 0), n_given);
    o->n_looping += looping;
    o->n_asked += expected != NULL;
    o->n_wrong += expected && !found;
}

static enum qn_status answer_prompt(struct output *o, struct answer *a, struct qn_error *err) {
    struct qn_verify *const v = o->v;
    const size_t n_predict = (size_t)v->options->n_predict;
    QN_TRY(qn_tokenizer_encode(v->model->tokenizer, a->prompt->text, strlen(a->prompt->text),
                               QN_ENCODE_BOS | QN_ENCODE_SPECIAL, &a->ids, err));
    a->n_prompt = a->ids.n;
    const size_t n_ctx = a->n_prompt + n_predict;
    if (a->n_prompt == 0 || n_ctx > MAX_PROMPT || (int)n_ctx > v->model->spec.hparams.n_ctx_train)
        return qn_fail(err, QN_BAD_ARGUMENT,
                       "the prompt '%.40s' has %zu tokens, and %zu are to follow; expected 1 and "
                       "no more than the model's %d positions together",
                       a->prompt->text, a->n_prompt, n_predict, v->model->spec.hparams.n_ctx_train);
    int32_t *const ids = realloc(a->ids.data, n_ctx * sizeof *ids);
    a->log_probabilities = calloc(n_ctx, sizeof *a->log_probabilities);
    if (ids) a->ids.data = ids;
    if (!ids || !a->log_probabilities) return qn_fail(err, QN_NO_MEMORY, "no memory for an answer");
    a->ids.capacity = n_ctx;
    struct qn_session *session;
    QN_TRY(qn_probe_new(v->model, v->options->cache, (int)n_ctx, 1, 1, &session, err));
    const enum qn_status status = generate(v, a, session, err);
    qn_session_free(session);
    QN_TRY(status);
    return decode(v, a, err);
}

static void judge(const struct output *o) {
    const double sure = o->n_answer ? o->answer_sum / (double)o->n_answer : 0;
    const double known = o->n_prompt ? o->prompt_sum / (double)o->n_prompt : 0;
    if (o->n_answer)
        QN_VERIFY_THAT(o->v, "sure", sure >= -o->chance / 4,
                       "mean log probability of %zu greedy tokens is %.2f; expected at least %.2f, "
                       "a quarter of chance",
                       o->n_answer, sure, -o->chance / 4);
    else
        qn_verify_check(o->v, "sure", QN_VERDICT_FAIL, "every answer ended before its first token");
    if (o->n_prompt)
        QN_VERIFY_THAT(o->v, "likely", known >= -o->chance * 3 / 4,
                       "mean log probability of the prompts' own %zu tokens is %.2f; expected at "
                       "least %.2f, three quarters of chance",
                       o->n_prompt, known, -o->chance * 3 / 4);
    QN_VERIFY_THAT(o->v, "loops", o->n_looping == 0,
                   "%zu of %zu answers end in a loop of one or two tokens that is half of them",
                   o->n_looping, o->v->options->n_prompts);
    if (o->n_asked)
        QN_VERIFY_THAT(o->v, "expected", o->n_wrong == 0,
                       "%zu of %zu answers hold what was expected", o->n_asked - o->n_wrong,
                       o->n_asked);
}

enum qn_status qn_verify_output(struct qn_verify *v, struct qn_error *err) {
    struct output o = {.v = v, .chance = log((double)v->model->spec.hparams.n_vocab)};
    json_object_set_new(v->stage, "answers", json_array());
    json_object_set_new(v->stage, "chance", json_real(-o.chance));
    for (size_t i = 0; i < v->options->n_prompts; i++) {
        struct answer a = {.prompt = &v->options->prompts[i]};
        const enum qn_status status = answer_prompt(&o, &a, err);
        if (status == QN_OK) add_answer(&o, &a);
        qn_ids_free(&a.ids);
        free(a.log_probabilities);
        free(a.text);
        QN_TRY(status);
        qn_verify_progress(v, (double)(i + 1) / (double)v->options->n_prompts);
    }
    judge(&o);
    return QN_OK;
}
