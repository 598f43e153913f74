/* SPDX-License-Identifier: Apache-2.0 */
#include "report/diagnose.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A guess fits when it makes ours the reference's up to this; unrelated tensors are far from it. */
#define FITS 0.999

struct suspect {
    const struct qn_model *model;
    const struct qn_hparams *hp;
    const struct qn_reference *reference;
    const struct qn_pair *pair;
    size_t size; /* elements of the pair */
    char *text;
    size_t capacity;
};

double qn_cosine(const float *a, const float *b, size_t n) {
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    if (aa == 0 || bb == 0) return aa == bb ? 1 : 0;
    return dot / sqrt(aa * bb);
}

/* ---- values ----------------------------------------------------------------------------- */

static bool is_spoilt(const struct suspect *c) {
    size_t zeros = 0;
    for (size_t i = 0; i < c->size; i++) {
        if (!isfinite(c->pair->ours[i])) {
            snprintf(c->text, c->capacity, "ours holds NaN or infinity, first at position %zu",
                     i / (size_t)c->pair->columns);
            return true;
        }
        zeros += c->pair->ours[i] == 0;
    }
    if (zeros < c->size) return false;
    snprintf(c->text, c->capacity, "ours is all zero");
    return true;
}

/* A factor between the two: a scale, such as that of the embedding, is missing or doubled. */
static bool is_scaled(const struct suspect *c) {
    double dot = 0, theirs = 0;
    if (!(qn_cosine(c->pair->ours, c->pair->theirs, c->size) > FITS)) return false;
    for (size_t i = 0; i < c->size; i++) {
        dot += (double)c->pair->ours[i] * (double)c->pair->theirs[i];
        theirs += (double)c->pair->theirs[i] * (double)c->pair->theirs[i];
    }
    const double factor = dot / theirs;
    if (fabs(factor - 1) < 0.01) return false;
    snprintf(c->text, c->capacity, "ours is %.4g times the reference's", factor);
    return true;
}

/* ---- Q, K and V ------------------------------------------------------------------------- */

static bool is_product(const struct qn_pair *pair) {
    return strlen(pair->module) == 1 && strchr("qkv", *pair->module);
}

static bool is_another(const struct suspect *c) {
    static const char *const others[] = {"q", "k", "v"};
    for (size_t i = 0; i < 3; i++) {
        const struct qn_pair *const other =
            qn_reference_find(c->reference, c->pair->layer, others[i]);
        if (!other || other == c->pair || other->columns != c->pair->columns ||
            !(qn_cosine(c->pair->ours, other->theirs, c->size) > FITS))
            continue;
        const bool swapped = qn_cosine(other->ours, c->pair->theirs, c->size) > FITS;
        snprintf(c->text, c->capacity, "ours is the reference's layers.%d.%s%s", c->pair->layer,
                 others[i], swapped ? " and the other way round: the two are swapped" : "");
        return true;
    }
    return false;
}

/* Copies columns: ours in the order that `from` says, [columns]; the cosine with the reference. */
static double cosine_in_order(const struct suspect *c, const int *from) {
    const size_t columns = (size_t)c->pair->columns;
    float *const moved = malloc(c->size * sizeof *moved);
    for (size_t i = 0; moved && i < c->size; i++)
        moved[i] = c->pair->ours[i / columns * columns + (size_t)from[i % columns]];
    const double cosine = moved ? qn_cosine(moved, c->pair->theirs, c->size) : 0;
    free(moved);
    return cosine;
}

/* The order in which a rotated pair's components lie: beside each other, or half a head apart. */
static bool has_other_pairing(const struct suspect *c) {
    const int d = c->hp->head_size, half = c->hp->n_rot / 2, columns = c->pair->columns;
    int *const apart = malloc((size_t)columns * sizeof *apart);
    int *const beside = malloc((size_t)columns * sizeof *beside);
    bool fits = false;
    for (int i = 0; apart && beside && i < columns; i++) {
        const int h = i / d * d, at = i % d;
        const bool rotated = at < 2 * half;
        apart[i] = rotated ? h + (at < half ? 2 * at : 2 * (at - half) + 1) : i;
        beside[i] = rotated ? h + at / 2 + at % 2 * half : i;
    }
    if (apart && beside && half)
        fits = cosine_in_order(c, apart) > FITS || cosine_in_order(c, beside) > FITS;
    free(apart);
    free(beside);
    if (fits)
        snprintf(c->text, c->capacity,
                 "the components of each head are in the order of the other rotary pairing (beside "
                 "each other instead of half a head apart, or the other way round)");
    return fits;
}

static double head_cosine(const struct suspect *c, int ours, int theirs) {
    const size_t d = (size_t)c->hp->head_size, columns = (size_t)c->pair->columns;
    double sum = 0;
    for (int m = 0; m < c->reference->n; m++)
        sum += qn_cosine(c->pair->ours + (size_t)m * columns + (size_t)ours * d,
                         c->pair->theirs + (size_t)m * columns + (size_t)theirs * d, d);
    return sum / c->reference->n;
}

static bool has_other_heads(const struct suspect *c) {
    const int n_heads = c->pair->columns / c->hp->head_size;
    char order[256] = "";
    for (int h = 0; h < n_heads; h++) {
        int match = -1;
        for (int other = 0; match < 0 && other < n_heads; other++)
            if (head_cosine(c, other, h) > FITS) match = other;
        if (match < 0) return false;
        const size_t used = strlen(order);
        snprintf(order + used, sizeof order - used, "%s%d", h ? ", " : "", match);
    }
    snprintf(c->text, c->capacity,
             "the heads are in another order: the reference's heads 0 to %d are ours %s%s",
             n_heads - 1, order,
             n_heads < c->hp->n_heads ? "; query heads use the wrong KV heads" : "");
    return true;
}

/* ---- rotation --------------------------------------------------------------------------- */

/* The base that rotates component `i` of a head, in K of the reference, from position 0 to 1; by
 * its angle. 0 when it is not a rotation. */
static double base_of(const struct suspect *c, const float *before, const float *after, int i) {
    const int half = c->hp->n_rot / 2;
    const double a = (double)before[i], b = (double)before[i + half];
    const double x = (double)after[i], y = (double)after[i + half];
    const double angle = atan2(a * y - b * x, a * x + b * y);
    if (fabs(hypot(a, b) / hypot(x, y) - 1) > 1e-3 || !(angle > 0)) return 0;
    return pow(angle, -(double)half / i);
}

/* By the pair in the middle, whose angle at position 1 is 1 / sqrt(base). */
static bool has_other_base(const struct suspect *c) {
    const struct qn_pair *const k = qn_reference_find(c->reference, c->pair->layer, "k");
    const struct qn_pair *const rotated = qn_reference_find(c->reference, c->pair->layer, "k_rope");
    const int i = c->hp->n_rot / 4;
    if (!k || !rotated || c->reference->n < 2 || i == 0) return false;
    const size_t at = (size_t)k->columns; /* position 1, head 0 */
    const double theirs = base_of(c, k->theirs + at, rotated->theirs + at, i);
    const double ours = base_of(c, k->ours + at, rotated->ours + at, i);
    if (theirs == 0 || ours == 0 || fabs(ours / theirs - 1) < 0.01) return false;
    snprintf(c->text, c->capacity,
             "the angle of pair %d at position 1 is that of rope_theta %.5g, the reference's that "
             "of %.5g",
             i, ours, theirs);
    return true;
}

static bool has_other_angles(const struct suspect *c) {
    const size_t columns = (size_t)c->pair->columns;
    const bool is_q = strcmp(c->pair->module, "q_rope") == 0;
    const struct qn_pair *const before =
        qn_reference_find(c->reference, c->pair->layer, is_q ? "q" : "k");
    if (!before || !(qn_cosine(before->ours, before->theirs, c->size) > FITS)) return false;
    if (has_other_base(c)) return true;
    const bool first = qn_cosine(c->pair->ours, c->pair->theirs, columns) > 0.9999;
    snprintf(c->text, c->capacity,
             first ? "position 0 agrees and later ones do not: the angles of the rotation differ "
                     "(rope_theta, scaling, rotated part, pairing)"
                   : "position 0 differs already, where nothing is rotated: norms of heads, or "
                     "positions do not start at 0");
    return true;
}

/* ---- embedding -------------------------------------------------------------------------- */

/* The learned position that row m of x carries: what is left without its token. */
static void position_of(const struct suspect *c, const float *x, int m, float *token, float *out) {
    qn_model_row(c->model, QN_ROLE_TOKEN_EMBD, c->reference->ids[m], token);
    for (int i = 0; i < c->pair->columns; i++)
        out[i] = x[(size_t)m * (size_t)c->pair->columns + (size_t)i] - token[i];
}

/* Is the reference's position in row m ours in row m + shift, for all rows that have one? */
static bool shift_fits(const struct suspect *c, int shift, float *work) {
    const int columns = c->pair->columns, n = c->reference->n;
    float *const ours = work, *const theirs = work + columns, *const token = work + 2 * columns;
    int n_rows = 0;
    for (int m = 0; m < n; m++) {
        if (m + shift < 0 || m + shift >= n) continue;
        position_of(c, c->pair->ours, m + shift, token, ours);
        position_of(c, c->pair->theirs, m, token, theirs);
        if (!(qn_cosine(ours, theirs, (size_t)columns) > FITS)) return false;
        n_rows++;
    }
    return n_rows > 0;
}

static bool has_shifted_positions(const struct suspect *c) {
    enum { MOST = 4 };
    if (!c->hp->learned_positions || c->hp->n_token_embd != c->pair->columns) return false;
    float *const work = malloc(3 * (size_t)c->pair->columns * sizeof *work);
    int shift = 0;
    for (int s = 1; work && s <= MOST && shift == 0; s++)
        shift = shift_fits(c, s, work) ? s : shift_fits(c, -s, work) ? -s : 0;
    free(work);
    if (shift == 0) return false;
    snprintf(c->text, c->capacity,
             "learned positions are off by %d: the reference adds to token i what ours adds to "
             "token i%+d",
             abs(shift), shift);
    return true;
}

/* ---- in order --------------------------------------------------------------------------- */

void qn_diagnose(const struct qn_model *model, const struct qn_reference *reference,
                 const struct qn_pair *pair, char *text, size_t capacity) {
    const struct suspect c = {.model = model,
                              .hp = &model->spec.hparams,
                              .reference = reference,
                              .pair = pair,
                              .size = (size_t)reference->n * (size_t)pair->columns,
                              .text = text,
                              .capacity = capacity};
    *text = '\0';
    if (is_spoilt(&c)) return;
    if (is_product(pair) && (is_another(&c) || has_other_pairing(&c) || has_other_heads(&c)))
        return;
    const bool rotated = strcmp(pair->module, "q_rope") == 0 || strcmp(pair->module, "k_rope") == 0;
    if (rotated && has_other_angles(&c)) return;
    if (strcmp(pair->module, "embed") == 0 && has_shifted_positions(&c)) return;
    if (is_scaled(&c)) return;
    if (strcmp(pair->module, "attn") == 0)
        snprintf(text, capacity,
                 "attention itself: which KV head a query head uses, scale, window or mask");
}
