/* SPDX-License-Identifier: Apache-2.0
 *
 * The attention stage: for every layer and head, the weights that the session's own kernel gives
 * to positions. What must hold of any softmax under a causal mask is checked on them; where they
 * go is summed up, and heads that are unlike the others are kept to be drawn.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "report/attention_probe.h"
#include "report/json_text.h"
#include "report/verify.h"
#include "run/spans.h"

struct head {
    int n_bad;        /* weights that are NaN or infinite */
    double sum_error; /* largest |sum of a row - 1| */
    double leak;      /* largest weight after the row's position or outside the window */
    double excess;    /* largest (weight - expected) / allowed */
    double off;       /* largest |weight - expected| */
    /* of rows that see two positions or more */
    double entropy_low, entropy_high, entropy_mean; /* nats */
    double entropy_excess;                          /* largest entropy - ln(positions seen) */
    double shade;                                   /* mean of entropy / ln(positions seen) */
    double first, previous, self, largest;          /* mean weights; largest: of a row */
};

struct attention {
    struct qn_verify *v;
    struct qn_attention_probe probe;
    int n_layers, n_heads;
    struct head *heads; /* [n_layers][n_heads] */
    atomic_int next, failed;
};

/* ---- one head --------------------------------------------------------------------------- */

static int first_visible(const struct attention *a, int layer, int m) {
    return qn_first_visible(m, qn_hparams_window(&a->v->model->spec.hparams, layer));
}

static double entropy_of(const float *w, int first, int last) {
    double entropy = 0;
    for (int p = first; p <= last; p++)
        if (w[p] > 0) entropy -= (double)w[p] * log((double)w[p]);
    return entropy;
}

static void check_row(const struct attention *a, int first, int m, const float *w,
                      const double *expected, double bound, struct head *head) {
    const double allowed = bound + qn_attention_value_error(a->v->options->cache);
    double sum = 0, largest = 0;
    for (int p = first; p <= m; p++) largest = fmax(largest, expected[p]);
    /* Weights below the smallest normal float may be flushed to zero. */
    const double anywhere = largest * qn_attention_weight_error(a->v->options->cache) + 0x1p-126;
    for (int p = 0; p < a->probe.n_slots; p++) {
        const double weight = (double)w[p];
        sum += weight;
        head->n_bad += !isfinite(w[p]);
        if (p < first || p > m) head->leak = fmax(head->leak, fabs(weight));
        const double off = fabs(weight - expected[p]);
        head->off = fmax(head->off, off);
        head->excess = fmax(head->excess, (off - 0x1p-126) / (allowed * expected[p] + anywhere));
    }
    head->sum_error = fmax(head->sum_error, fabs(sum - 1));
}

static void look_at_row(int first, int m, const float *w, struct head *head) {
    const double most = log((double)(m - first + 1)), entropy = entropy_of(w, first, m);
    float largest = 0;
    for (int p = first; p <= m; p++) largest = w[p] > largest ? w[p] : largest;
    head->entropy_low = fmin(head->entropy_low, entropy);
    head->entropy_high = fmax(head->entropy_high, entropy);
    head->entropy_excess = fmax(head->entropy_excess, entropy - most);
    head->entropy_mean += entropy;
    head->shade += entropy / most;
    head->first += (double)w[0];
    head->previous += (double)w[m - 1];
    head->self += (double)w[m];
    head->largest += (double)largest;
}

static void look_at_head(struct attention *a, int layer, int index, void *scratch, float *weights,
                         double *expected, double *bounds) {
    struct head *const head = &a->heads[layer * a->n_heads + index];
    const size_t n_slots = (size_t)a->probe.n_slots;
    const int n = a->probe.n;
    int n_rows = 0;
    *head = (struct head){.entropy_low = INFINITY, .entropy_excess = -INFINITY};
    qn_attention_weights(&a->probe, layer, index, scratch, weights);
    qn_attention_expected(&a->probe, layer, index, expected, bounds);
    for (int m = 0; m < n; m++) {
        const int first = first_visible(a, layer, m);
        const float *const row = weights + (size_t)m * n_slots;
        if (bounds[m] < 0) atomic_store(&a->failed, 1);
        check_row(a, first, m, row, expected + (size_t)m * n_slots, bounds[m], head);
        if (first == m) continue;
        look_at_row(first, m, row, head);
        n_rows++;
    }
    double *const means[] = {&head->entropy_mean, &head->shade, &head->first,
                             &head->previous,     &head->self,  &head->largest};
    for (size_t i = 0; n_rows && i < sizeof means / sizeof *means; i++) *means[i] /= n_rows;
}

static void work(void *context, int thread) {
    struct attention *const a = context;
    const size_t n = (size_t)a->probe.n, area = n * (size_t)a->probe.n_slots;
    void *const scratch = aligned_alloc(64, qn_attention_scratch_size(&a->probe));
    float *const weights = malloc(area * sizeof *weights);
    double *const expected = malloc(area * sizeof *expected);
    double *const bounds = malloc(n * sizeof *bounds);
    if (!scratch || !weights || !expected || !bounds) atomic_store(&a->failed, 1);
    while (!atomic_load(&a->failed)) {
        const int item = atomic_fetch_add(&a->next, 1);
        if (item >= a->n_layers * a->n_heads) break;
        look_at_head(a, item / a->n_heads, item % a->n_heads, scratch, weights, expected, bounds);
        if (thread == 0) qn_verify_progress(a->v, (double)item / (a->n_layers * a->n_heads));
    }
    free(scratch);
    free(weights);
    free(expected);
    free(bounds);
}

/* ---- verdicts --------------------------------------------------------------------------- */

/* The head with the largest of some number. */
static int worst(const struct attention *a, size_t offset) {
    int at = 0;
    for (int i = 1; i < a->n_layers * a->n_heads; i++) {
        const double here = *(const double *)(const void *)((const char *)&a->heads[i] + offset);
        const double best = *(const double *)(const void *)((const char *)&a->heads[at] + offset);
        if (here > best) at = i;
    }
    return at;
}

static void judge(const struct attention *a) {
    struct qn_verify *const v = a->v;
    const int n = a->probe.n, n_all = a->n_layers * a->n_heads;
    /* The float sums of a row and of its normalization, and the cache's type. */
    const double sum_allowed = (2 * n + 16) * 0x1p-24 +
                               qn_attention_value_error(v->options->cache) +
                               qn_attention_sum_error(v->options->cache);
    int n_bad = 0, bad = -1;
    for (int i = 0; i < n_all; i++) {
        if (a->heads[i].n_bad && bad < 0) bad = i;
        n_bad += a->heads[i].n_bad;
    }
    if (bad >= 0)
        qn_verify_check(v, "finite", QN_VERDICT_FAIL,
                        "%d weights are NaN or infinite, first in layer %d head %d", n_bad,
                        bad / a->n_heads, bad % a->n_heads);
    else
        qn_verify_check(v, "finite", QN_VERDICT_PASS,
                        "all weights of %d layers of %d heads at %d positions are finite",
                        a->n_layers, a->n_heads, n);
    const int sum = worst(a, offsetof(struct head, sum_error));
    QN_VERIFY_THAT(v, "sums", bad < 0 && a->heads[sum].sum_error <= sum_allowed,
                   "rows sum to 1 within %.1e (layer %d head %d); float sums allow %.1e",
                   a->heads[sum].sum_error, sum / a->n_heads, sum % a->n_heads, sum_allowed);
    const int leak = worst(a, offsetof(struct head, leak));
    QN_VERIFY_THAT(
        v, "mask", bad < 0 && a->heads[leak].leak == 0,
        "the largest weight on a later position or outside a window is %g%s", a->heads[leak].leak,
        n <= v->model->spec.hparams.window ? " (no position is outside yet: see --tokens)" : "");
    const int high = worst(a, offsetof(struct head, entropy_excess));
    QN_VERIFY_THAT(v, "entropy", bad < 0 && a->heads[high].entropy_excess <= 1e-5,
                   "no row's entropy is above ln(positions it sees) by more than %.1e",
                   fmax(a->heads[high].entropy_excess, 0));
    const int off = worst(a, offsetof(struct head, excess));
    QN_VERIFY_THAT(v, "softmax", bad < 0 && a->heads[off].excess <= 1,
                   "weights differ from a softmax of q . k in double precision by up to %.1e; at "
                   "worst %.3g of what float rounding allows (layer %d head %d)",
                   a->heads[worst(a, offsetof(struct head, off))].off, a->heads[off].excess,
                   off / a->n_heads, off % a->n_heads);
}

/* ---- numbers ---------------------------------------------------------------------------- */

static json_t *head_json(const struct head *h) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "entropy_mean",
                     qn_json_number(h->entropy_mean), "entropy_min", qn_json_number(h->entropy_low),
                     "entropy_max", qn_json_number(h->entropy_high), "relative_entropy",
                     qn_json_number(h->shade), "first", qn_json_number(h->first), "previous",
                     qn_json_number(h->previous), "self", qn_json_number(h->self), "largest",
                     qn_json_number(h->largest));
}

static struct head layer_of(const struct attention *a, int layer) {
    struct head sum = {.entropy_low = INFINITY};
    for (int i = 0; i < a->n_heads; i++) {
        const struct head *const h = &a->heads[layer * a->n_heads + i];
        sum.entropy_low = fmin(sum.entropy_low, h->entropy_low);
        sum.entropy_high = fmax(sum.entropy_high, h->entropy_high);
        sum.entropy_mean += h->entropy_mean / a->n_heads;
        sum.shade += h->shade / a->n_heads;
        sum.first += h->first / a->n_heads;
        sum.previous += h->previous / a->n_heads;
        sum.self += h->self / a->n_heads;
        sum.largest += h->largest / a->n_heads;
    }
    return sum;
}

static void add_numbers(const struct attention *a) {
    json_t *const layers = json_array();
    for (int layer = 0; layer < a->n_layers; layer++) {
        const struct head sum = layer_of(a, layer);
        json_t *const one = head_json(&sum), *const heads = json_array();
        for (int i = 0; i < a->n_heads; i++)
            json_array_append_new(heads, head_json(&a->heads[layer * a->n_heads + i]));
        json_object_set_new(one, "heads", heads);
        json_array_append_new(layers, one);
    }
    json_object_set_new(a->v->stage, "tokens", json_integer(a->probe.n));
    json_object_set_new(a->v->stage, "layers", layers);
}

/* ---- heads to draw ---------------------------------------------------------------------- */

struct drawn {
    int item;
    const char *why;
};

/* The heads with the most of something, each once. */
static int choose_heads(const struct attention *a, struct drawn *chosen) {
    static const struct {
        size_t offset;
        double sign;
        const char *why;
    } kinds[] = {{offsetof(struct head, shade), -1, "sharpest"},
                 {offsetof(struct head, shade), 1, "most even"},
                 {offsetof(struct head, first), 1, "most on the first token"},
                 {offsetof(struct head, previous), 1, "most on the token before"},
                 {offsetof(struct head, self), 1, "most on the token itself"},
                 {offsetof(struct head, first), -1, "least on the first token"}};
    int n = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        int best = -1;
        double most = -INFINITY;
        for (int i = 0; i < a->n_layers * a->n_heads; i++) {
            bool taken = false;
            for (int c = 0; c < n; c++) taken = taken || chosen[c].item == i;
            const double here =
                kinds[k].sign *
                *(const double *)(const void *)((const char *)&a->heads[i] + kinds[k].offset);
            if (taken || !(here > most)) continue;
            most = here;
            best = i;
        }
        if (best >= 0) chosen[n++] = (struct drawn){best, kinds[k].why};
    }
    return n;
}

enum qn_status qn_verify_check_heads(const struct qn_model *model,
                                     const struct qn_verify_options *options,
                                     struct qn_error *err) {
    const struct qn_hparams *const hp = &model->spec.hparams;
    for (int i = 0; i < options->n_heads; i++) {
        const struct qn_verify_head *const h = &options->heads[i];
        if (h->layer >= hp->n_layers || h->head >= hp->n_heads)
            return qn_fail(err, QN_BAD_ARGUMENT,
                           "there is no head %d.%d, the model has %d layers of %d heads", h->layer,
                           h->head, hp->n_layers, hp->n_heads);
    }
    return QN_OK;
}

static void given_heads(const struct attention *a, struct drawn *chosen) {
    const struct qn_verify_options *const options = a->v->options;
    for (int i = 0; i < options->n_heads; i++) {
        const struct qn_verify_head *const h = &options->heads[i];
        chosen[i] = (struct drawn){h->layer * a->n_heads + h->head, "chosen"};
    }
}

/* Weights as bytes, 255 sqrt(w), rows one behind the other, in hexadecimal: small weights stay
 * visible, and a page of some heads stays small. */
static json_t *weights_json(const struct attention *a, int item, void *scratch, float *weights) {
    static const char digits[] = "0123456789abcdef";
    const size_t n = (size_t)a->probe.n, n_slots = (size_t)a->probe.n_slots;
    char *const text = malloc(2 * n * n + 1);
    if (!text) return json_null();
    qn_attention_weights(&a->probe, item / a->n_heads, item % a->n_heads, scratch, weights);
    char *to = text;
    for (size_t m = 0; m < n; m++)
        for (size_t p = 0; p < n; p++) {
            const double w = fmin(fmax((double)weights[m * n_slots + p], 0), 1);
            const int byte = (int)lrint(255 * sqrt(w));
            *to++ = digits[byte >> 4];
            *to++ = digits[byte & 15];
        }
    json_t *const result = json_stringn(text, 2 * n * n);
    free(text);
    return result;
}

static json_t *tokens_json(const struct attention *a, const int32_t *ids) {
    json_t *const tokens = json_array();
    for (int i = 0; i < a->probe.n; i++) {
        const struct qn_text piece = qn_tokenizer_piece(a->v->model->tokenizer, ids[i], true);
        json_t *text = json_stringn(piece.size ? piece.data : "", piece.size);
        json_array_append_new(tokens, text ? text : json_string("\xEF\xBF\xBD"));
    }
    return tokens;
}

static void draw(const struct attention *a, const int32_t *ids) {
    struct drawn chosen[QN_VERIFY_MAX_HEADS];
    int n = a->v->options->n_heads;
    if (n)
        given_heads(a, chosen);
    else
        n = choose_heads(a, chosen);
    void *const scratch = aligned_alloc(64, qn_attention_scratch_size(&a->probe));
    float *const weights = malloc((size_t)a->probe.n * (size_t)a->probe.n_slots * sizeof *weights);
    json_t *const drawn = json_array();
    for (int i = 0; scratch && weights && i < n; i++)
        json_array_append_new(
            drawn, json_pack("{s:i, s:i, s:s, s:o}", "layer", chosen[i].item / a->n_heads, "head",
                             chosen[i].item % a->n_heads, "why", chosen[i].why, "weights",
                             weights_json(a, chosen[i].item, scratch, weights)));
    json_object_set_new(a->v->stage, "drawn", drawn);
    json_object_set_new(a->v->stage, "drawn_tokens", tokens_json(a, ids));
    free(scratch);
    free(weights);
}

/* ---- the stage -------------------------------------------------------------------------- */

static enum qn_status examine(struct attention *a, const int32_t *ids, struct qn_error *err) {
    a->heads = calloc((size_t)a->n_layers * (size_t)a->n_heads, sizeof *a->heads);
    if (!a->heads) return qn_fail(err, QN_NO_MEMORY, "no memory for the numbers of all heads");
    qn_pool_run(a->v->model->pool, work, a);
    if (atomic_load(&a->failed))
        return qn_fail(err, QN_NO_MEMORY, "no memory for attention at %d positions", a->probe.n);
    judge(a);
    add_numbers(a);
    if (a->v->options->draw) draw(a, ids);
    return QN_OK;
}

enum qn_status qn_verify_attention(struct qn_verify *v, struct qn_error *err) {
    const struct qn_hparams *const hp = &v->model->spec.hparams;
    struct attention a = {.v = v, .n_layers = hp->n_layers, .n_heads = hp->n_heads};
    int n = v->options->n_tokens;
    int32_t *ids;
    if (n > hp->n_ctx_train) n = hp->n_ctx_train;
    QN_TRY(qn_verify_text(v->model, n, &ids, err));
    enum qn_status status =
        qn_attention_probe_open(v->model, v->options->cache, ids, n, &a.probe, err);
    if (status == QN_OK) {
        status = examine(&a, ids, err);
        qn_attention_probe_close(&a.probe);
    }
    free(a.heads);
    free(ids);
    return status;
}
