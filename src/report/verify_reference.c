/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference stage: tokenizer ids, every tensor of a forward pass in order, logits and greedy
 * answers against what tools/reference.py has written. The first tensor that is off by more than
 * rounding explains is named, with what still agrees and a guess at the reason.
 *
 * Bounds, in deviations of the reference's tensor:
 *   - float32 weights: 1e-3 for every element; sums in another order are off by some 1e-6.
 *   - quantized: kernels round inputs to int8 in blocks of 32, of amax / 127 a step. A step's
 *     error deviates by step / sqrt(12), and amax is at most sqrt(32) times the block's root mean
 *     square, so an input is off by up to sqrt(32 / 12) / 127 = 1.3 % of its size, and so is a
 *     product. The errors of the n products that a tensor depends on add up as sqrt(n); allowed is
 *     twice that, as a root mean square (single elements of products that cancel are off by more).
 *   - F16 and BF16: the same, for inputs that kernels may round to BF16: 2^-9 at most, evenly
 *     spread, so 2^-9 / sqrt(3), which is more than integers of 16 bits lose; and 3e-2 for every
 *     logit.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/diagnose.h"
#include "report/json_text.h"
#include "report/probe.h"
#include "report/verify.h"

#define FLOAT_BOUND     1e-3
#define HALF_LOGIT      3e-2
#define MOST_KL         1e-4
#define HALF_NOISE      1.128e-3 /* 2^-9 / sqrt(3) */
#define QUANTIZED_NOISE 0.01286  /* sqrt(32 / 12) / 127 */

enum precision { PRECISION_FLOAT, PRECISION_HALF, PRECISION_QUANTIZED };

struct measure {
    double max, rms; /* of the difference, in deviations of the reference */
    double cosine;
    double bound; /* of max for float weights, else of rms */
    int position; /* of the first row that is off; -1: none */
    bool agrees;
};

struct compare {
    struct qn_verify *v;
    struct qn_reference reference;
    struct measure *measures; /* [n_pairs] */
    enum precision precision;
    bool requantized; /* weights are not those of the files */
};

/* The coarsest type of a matrix that is multiplied. */
static enum precision precision_of(const struct qn_spec *spec) {
    enum precision coarsest = PRECISION_FLOAT;
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        if (w->tile_size == 0) continue;
        const enum precision here = w->type == QN_TYPE_F32 ? PRECISION_FLOAT
                                    : w->type == QN_TYPE_F16 || w->type == QN_TYPE_BF16
                                        ? PRECISION_HALF
                                        : PRECISION_QUANTIZED;
        if (here > coarsest) coarsest = here;
    }
    return coarsest;
}

/* Were matrices made another type while they were loaded? The reference knows nothing of that. */
static bool is_requantized(const struct qn_spec *spec) {
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        if (w->n_parts && w->tile_size && w->sources[0].tensor->type != w->type) return true;
    }
    return false;
}

/* ---- tokenizer -------------------------------------------------------------------------- */

static size_t first_difference(const struct qn_ids *ours, const json_t *theirs) {
    size_t i = 0;
    while (i < ours->n && i < json_array_size(theirs) &&
           ours->data[i] == json_integer_value(json_array_get(theirs, i)))
        i++;
    return i;
}

static enum qn_status check_tokenizer(struct compare *c, struct qn_error *err) {
    const json_t *const strings = json_object_get(c->reference.manifest, "strings");
    const size_t n = json_array_size(strings);
    size_t n_wrong = 0;
    char first[400] = "";
    for (size_t i = 0; i < n; i++) {
        const json_t *const one = json_array_get(strings, i);
        const json_t *const text = json_object_get(one, "text"), *const theirs =
                                                                     json_object_get(one, "ids");
        struct qn_ids ours = {0};
        if (!json_is_string(text) || !json_is_array(theirs))
            return qn_fail(err, QN_BAD_FILE, "manifest.json: string %zu has no text or ids", i);
        QN_TRY(qn_tokenizer_encode(c->v->model->tokenizer, json_string_value(text),
                                   json_string_length(text), QN_ENCODE_BOS, &ours, err));
        const size_t at = first_difference(&ours, theirs);
        if ((at < ours.n || at < json_array_size(theirs)) && n_wrong++ == 0)
            snprintf(first, sizeof first,
                     "'%.60s' gives %zu ids, the reference %zu; id %zu is %d, the reference's %d",
                     json_string_value(text), ours.n, json_array_size(theirs), at,
                     at < ours.n ? (int)ours.data[at] : -1,
                     at < json_array_size(theirs)
                         ? (int)json_integer_value(json_array_get(theirs, at))
                         : -1);
        qn_ids_free(&ours);
    }
    if (n == 0)
        qn_verify_check(c->v, "tokenizer", QN_VERDICT_SKIP, "the reference has no strings");
    else if (n_wrong)
        qn_verify_check(c->v, "tokenizer", QN_VERDICT_FAIL,
                        "%zu of %zu strings have other ids than the reference: %s", n_wrong, n,
                        first);
    else
        qn_verify_check(c->v, "tokenizer", QN_VERDICT_PASS, "ids of %zu strings are equal", n);
    return QN_OK;
}

/* ---- tensors ---------------------------------------------------------------------------- */

/* Products that a tensor depends on: seven in a layer, Q, K, V, output, gate, up, down. */
static int depth_of(const struct compare *c, const struct qn_pair *pair) {
    static const struct {
        const char *module;
        int depth;
    } modules[] = {{"attn_norm", 1}, {"q", 1},    {"k", 1},        {"v", 1},        {"q_rope", 1},
                   {"k_rope", 1},    {"attn", 3}, {"attn_out", 4}, {"ffn_norm", 4}, {"router", 5}};
    enum { IN_LAYER = 7 };
    if (pair->layer < 0)
        return strcmp(pair->module, "embed") == 0
                   ? 0
                   : IN_LAYER * c->v->model->spec.hparams.n_layers + 1;
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++)
        if (strcmp(pair->module, modules[i].module) == 0)
            return IN_LAYER * pair->layer + modules[i].depth;
    return IN_LAYER * (pair->layer + 1);
}

static double bound_of(const struct compare *c, const struct qn_pair *pair) {
    if (c->precision == PRECISION_FLOAT) return FLOAT_BOUND;
    /* Embedding rows are converted, not rounded; one step stands for their sums. */
    const int depth = depth_of(c, pair);
    const double noise = c->precision == PRECISION_HALF ? HALF_NOISE : QUANTIZED_NOISE;
    return 2 * noise * sqrt(depth ? depth : 1);
}

static double deviation_of(const float *x, size_t n) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i];
    const double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    const double deviation = sqrt(squares / (double)n);
    return deviation > 0 ? deviation : 1;
}

/* A NaN of ours compares as off. */
static struct measure measure(const struct compare *c, const struct qn_pair *pair) {
    const size_t columns = (size_t)pair->columns, n = (size_t)c->reference.n * columns;
    const double deviation = deviation_of(pair->theirs, n);
    const bool by_rms = c->precision != PRECISION_FLOAT;
    struct measure m = {.position = -1, .bound = bound_of(c, pair), .agrees = true};
    double squares = 0, row = 0;
    for (size_t i = 0; i < n; i++) {
        const double off = fabs((double)pair->ours[i] - (double)pair->theirs[i]) / deviation;
        if (!(off <= m.max)) m.max = off;
        squares += off * off;
        row += by_rms ? off * off / (double)columns : 0;
        if (!by_rms && !(off <= row)) row = off;
        if ((i + 1) % columns) continue;
        if (m.position < 0 && !((by_rms ? sqrt(row) : row) <= m.bound))
            m.position = (int)(i / columns);
        row = 0;
    }
    m.rms = sqrt(squares / (double)n);
    m.cosine = qn_cosine(pair->ours, pair->theirs, n);
    m.agrees = (by_rms ? m.rms : m.max) <= m.bound;
    return m;
}

/* "layers.0.q, layers.0.v": what of the pair's layer agrees, of those that come before the sum. */
static void name_agreeing(const struct compare *c, size_t first, char *text, size_t capacity) {
    const struct qn_reference *const r = &c->reference;
    size_t used = 0;
    *text = '\0';
    for (size_t i = 0; i < r->n_pairs && used < capacity; i++)
        if (r->pairs[i].layer == r->pairs[first].layer && c->measures[i].agrees)
            used += (size_t)snprintf(text + used, capacity - used, "%s%s", used ? ", " : "",
                                     r->pairs[i].name);
}

static void report_divergence(struct compare *c, size_t first) {
    const struct qn_pair *const pair = &c->reference.pairs[first];
    const struct measure *const m = &c->measures[first];
    char agreeing[400], guess[300];
    name_agreeing(c, first, agreeing, sizeof agreeing);
    qn_diagnose(c->v->model, &c->reference, pair, guess, sizeof guess);
    qn_verify_check(c->v, "tensors", c->requantized ? QN_VERDICT_NOTE : QN_VERDICT_FAIL,
                    "%s diverges first: cosine %.4f, off by up to %.2g deviations (%.2g rms; %s "
                    "allowed %.2g), from position %d on; %s%s%s%s",
                    pair->name, m->cosine, m->max, m->rms,
                    c->precision == PRECISION_FLOAT ? "at most" : "rms", m->bound, m->position,
                    *agreeing ? agreeing : "nothing of its layer", *agreeing ? " agree" : " agrees",
                    *guess ? "; " : "", guess);
    json_object_set_new(c->v->stage, "diverges", json_string(pair->name));
    if (*guess) json_object_set_new(c->v->stage, "guess", json_string(guess));
}

static void check_tensors(struct compare *c) {
    const struct qn_reference *const r = &c->reference;
    json_t *const tensors = json_array();
    size_t first = r->n_pairs, worst = 0;
    for (size_t i = 0; i < r->n_pairs; i++) {
        struct measure *const m = &c->measures[i];
        *m = measure(c, &r->pairs[i]);
        if (!m->agrees && first == r->n_pairs) first = i;
        if (m->rms / m->bound > c->measures[worst].rms / c->measures[worst].bound) worst = i;
        json_array_append_new(tensors,
                              json_pack("{s:s, s:o, s:o, s:o, s:f, s:b}", "name", r->pairs[i].name,
                                        "max_error", qn_json_number(m->max), "rms_error",
                                        qn_json_number(m->rms), "cosine", qn_json_number(m->cosine),
                                        "bound", m->bound, "agrees", m->agrees));
    }
    json_object_set_new(c->v->stage, "compared", tensors);
    if (first < r->n_pairs)
        report_divergence(c, first);
    else
        qn_verify_check(c->v, "tensors", QN_VERDICT_PASS,
                        "all %zu agree at %d positions; worst is %s: off by up to %.1e deviations, "
                        "%.1e rms; %s allowed %.1e",
                        r->n_pairs, r->n, r->pairs[worst].name, c->measures[worst].max,
                        c->measures[worst].rms, c->precision == PRECISION_FLOAT ? "at most" : "rms",
                        c->measures[worst].bound);
}

/* ---- logits ----------------------------------------------------------------------------- */

static double log_sum(const float *x, int n) {
    return -qn_probe_log_probability(x, n, 0) + (double)x[0];
}

/* KL(theirs || ours) in nats. */
static double divergence(const float *theirs, const float *ours, int n) {
    const double sum_theirs = log_sum(theirs, n), sum_ours = log_sum(ours, n);
    double kl = 0;
    for (int i = 0; i < n; i++) {
        const double p = (double)theirs[i] - sum_theirs, q = (double)ours[i] - sum_ours;
        kl += exp(p) * (p - q);
    }
    return kl;
}

static void check_logits(struct compare *c) {
    const struct qn_pair *const logits = qn_reference_find(&c->reference, -1, "logits");
    json_t *const positions = json_array();
    double sum = 0, worst = 0;
    int same = 0, at = 0, n = c->reference.n;
    for (int m = 0; logits && m < n; m++) {
        const float *const ours = logits->ours + (size_t)m * (size_t)logits->columns;
        const float *const theirs = logits->theirs + (size_t)m * (size_t)logits->columns;
        const double kl = divergence(theirs, ours, logits->columns);
        const bool agrees =
            qn_probe_argmax(ours, logits->columns) == qn_probe_argmax(theirs, logits->columns);
        json_array_append_new(
            positions, json_pack("{s:o, s:b}", "kl", qn_json_number(kl), "same_top", agrees));
        same += agrees;
        sum += kl;
        if (!(kl <= worst)) {
            worst = kl;
            at = m;
        }
    }
    json_object_set_new(c->v->stage, "positions", positions);
    if (!logits) return;
    /* Of quantized weights the tensors' bound speaks. */
    const bool bounded = c->precision != PRECISION_QUANTIZED && !c->requantized;
    const double off = c->measures[logits - c->reference.pairs].max;
    const bool near = c->precision != PRECISION_HALF || off <= HALF_LOGIT;
    const bool ok = bounded ? sum / n <= MOST_KL && near : isfinite(sum);
    char limit[80] = "";
    if (bounded)
        snprintf(limit, sizeof limit, ", allowed %.0e and %.0e", MOST_KL,
                 c->precision == PRECISION_HALF ? HALF_LOGIT : FLOAT_BOUND);
    QN_VERIFY_THAT(c->v, "logits", ok,
                   "mean KL from the reference %.2e, largest error %.1e deviations%s; largest KL "
                   "%.2e at position %d; the likeliest token is the same at %d of %d positions",
                   sum / n, off, limit, worst, at, same, n);
}

/* ---- answers ---------------------------------------------------------------------------- */

/* Tokens of an answer that are the reference's; -1 when it cannot be read. */
static int same_tokens(const struct compare *c, const json_t *answer, int *n_new,
                       struct qn_error *err) {
    const json_t *const given = json_object_get(answer, "ids"), *const wanted =
                                                                    json_object_get(answer, "new");
    const int n_given = (int)json_array_size(given);
    struct qn_session *session;
    int same = 0;
    *n_new = (int)json_array_size(wanted);
    if (n_given < 1 || n_given + *n_new > 1 << 16) return 0;
    if (qn_probe_new(c->v->model, QN_CACHE_F32, n_given + *n_new, 64, 1, &session, err) != QN_OK)
        return -1;
    for (int i = 0; i < n_given + *n_new; i++) {
        int32_t id;
        if (i < n_given) {
            id = (int32_t)json_integer_value(json_array_get(given, (size_t)i));
        } else {
            id = qn_probe_argmax(qn_session_logits(session, 0), c->v->model->spec.hparams.n_vocab);
            if (id != json_integer_value(json_array_get(wanted, (size_t)(i - n_given)))) break;
            same++;
        }
        if (qn_probe_eval(session, &id, 1, 0, err) != QN_OK) {
            same = -1;
            break;
        }
    }
    qn_session_free(session);
    return same;
}

static enum qn_status check_answers(struct compare *c, struct qn_error *err) {
    const json_t *const answers = json_object_get(c->reference.manifest, "answers");
    const size_t n = json_array_size(answers);
    size_t n_same = 0;
    char first[200] = "";
    for (size_t i = 0; i < n; i++) {
        const json_t *const answer = json_array_get(answers, i);
        const char *const prompt = json_string_value(json_object_get(answer, "prompt"));
        int n_new;
        const int same = same_tokens(c, answer, &n_new, err);
        if (same < 0) return err->status;
        n_same += same == n_new;
        if (same < n_new && !*first)
            snprintf(first, sizeof first, ": after '%.40s' token %d is another",
                     prompt ? prompt : "", same);
    }
    if (n == 0) return QN_OK;
    /* Rounding may tip the balance between two tokens of quantized weights. */
    const enum qn_verdict other =
        c->precision == PRECISION_QUANTIZED || c->requantized ? QN_VERDICT_NOTE : QN_VERDICT_FAIL;
    qn_verify_check(c->v, "answers", n_same == n ? QN_VERDICT_PASS : other,
                    "%zu of %zu greedy answers are those of the reference%s", n_same, n, first);
    return QN_OK;
}

/* ---- the stage -------------------------------------------------------------------------- */

static enum qn_status compare_all(struct compare *c, struct qn_error *err) {
    const char *made = json_string_value(json_object_get(c->reference.manifest, "made_with"));
    if (made) json_object_set_new(c->v->stage, "reference", json_string(made));
    QN_TRY(check_tokenizer(c, err));
    if (c->requantized)
        qn_verify_check(c->v, "quantized", QN_VERDICT_NOTE,
                        "matrices were quantized while they were loaded: differences include what "
                        "that costs, for which there is no bound");
    check_tensors(c);
    check_logits(c);
    return check_answers(c, err);
}

enum qn_status qn_verify_reference(struct qn_verify *v, struct qn_error *err) {
    struct compare c = {.v = v,
                        .precision = precision_of(&v->model->spec),
                        .requantized = is_requantized(&v->model->spec)};
    assert(v->options->reference);
    QN_TRY(qn_reference_open(v->options->reference, v->model, QN_CACHE_F32, &c.reference, err));
    c.measures = calloc(c.reference.n_pairs, sizeof *c.measures);
    const enum qn_status status = c.measures
                                      ? compare_all(&c, err)
                                      : qn_fail(err, QN_NO_MEMORY, "no memory for the comparison");
    free(c.measures);
    qn_reference_close(&c.reference);
    return status;
}
