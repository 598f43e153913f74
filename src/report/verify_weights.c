/* SPDX-License-Identifier: Apache-2.0
 *
 * The weights stage: what lies in the files. That each tensor which the architecture needs is
 * there, of the right shape and type, opening the model has proved; here its numbers are read.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "report/json_text.h"
#include "report/tensor_stats.h"
#include "report/verify.h"

/* Larger than trained weights and biases get (the largest known biases, of Qwen2's keys, reach
 * some hundreds); products of such numbers leave the range of the F16 cache. */
#define HUGE_VALUE 1e4
/* A matrix whose deviation is this many times the median of its kind in the other layers, or that
 * part of it, is worth a look. */
enum { ODD_DEVIATION = 10, LISTED = 4 };

struct weights {
    struct qn_verify *v;
    size_t n;
    struct qn_tensor_stats *stats; /* [n] */
    size_t *order;                 /* [n] tensors, sorted */
    bool *read;                    /* [n] the engine uses it; others are buffers, or a surprise */
};

static const struct qn_tensor *tensor_at(const struct weights *w, size_t i) {
    return qn_model_tensor_at(w->v->model, i);
}

static bool is_matrix(const struct qn_tensor *tensor) {
    return tensor->shape[0] > 1 && tensor->shape[1] > 1;
}

static bool is_constant(const struct qn_tensor_stats *stats) {
    return stats->n > 1 && stats->n_bad == 0 && stats->min == stats->max;
}

/* Where the number of the layer stands in a name ("blk.3.attn_q.weight"): its first part that is
 * made of digits. *end is the place behind it. NULL outside the layers. */
static const char *layer_number(const char *name, const char **end) {
    for (const char *part = name; part; part = strchr(part, '.')) {
        part += *part == '.';
        const size_t digits = strspn(part, "0123456789");
        *end = part + digits;
        if (digits && **end == '.') return part;
    }
    return NULL;
}

/* A list of names for a sentence: the first few, then how many more. */
struct names {
    char text[400];
    size_t n;
};

static void names_add(struct names *names, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void names_add(struct names *names, const char *format, ...) {
    if (names->n++ >= LISTED) return;
    size_t used = strlen(names->text);
    if (used + 3 > sizeof names->text) return;
    if (used) used = (size_t)(stpcpy(names->text + used, ", ") - names->text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(names->text + used, sizeof names->text - used, format, arguments);
    va_end(arguments);
}

static const char *names_end(struct names *names) {
    const size_t used = strlen(names->text);
    if (names->n > LISTED)
        snprintf(names->text + used, sizeof names->text - used, " and %zu more", names->n - LISTED);
    return names->text;
}

/* ---- checks ----------------------------------------------------------------------------- */

static void find_read(const struct weights *w) {
    const struct qn_spec *const spec = &w->v->model->spec;
    for (size_t i = 0; i < w->n; i++)
        for (size_t k = 0; k < spec->n_sources && !w->read[i]; k++)
            w->read[i] = spec->sources[k].tensor == tensor_at(w, i);
}

static void check_read(const struct weights *w) {
    const struct qn_spec *const spec = &w->v->model->spec;
    qn_verify_check(w->v, "present", QN_VERDICT_PASS,
                    "every tensor that %s needs is there, of the right shape and a known type",
                    spec->family->name);
    if (spec->unused)
        qn_verify_check(w->v, "unread", QN_VERDICT_FAIL,
                        "%zu of %zu tensors are read by nothing, one is %s", spec->n_unused, w->n,
                        spec->unused);
    else if (spec->n_unused)
        qn_verify_check(w->v, "unread", QN_VERDICT_NOTE,
                        "%zu of %zu tensors are for images or sound and read by nothing: this is "
                        "the language model alone",
                        spec->n_unused, w->n);
    else
        qn_verify_check(w->v, "unread", QN_VERDICT_PASS,
                        "all %zu tensors are read, or are buffers that are computed", w->n);
}

static void check_finite(const struct weights *w) {
    uint64_t n_elements = 0, n_bad = 0;
    size_t first = w->n;
    for (size_t i = 0; i < w->n; i++) {
        if (!w->read[i]) continue;
        n_elements += w->stats[i].n;
        n_bad += w->stats[i].n_bad;
        if (w->stats[i].n_bad && first == w->n) first = i;
    }
    if (first == w->n) {
        qn_verify_check(w->v, "finite", QN_VERDICT_PASS, "all %llu numbers are finite",
                        (unsigned long long)n_elements);
        return;
    }
    const struct qn_tensor *const tensor = tensor_at(w, first);
    const uint64_t at = w->stats[first].first_bad;
    qn_verify_check(w->v, "finite", QN_VERDICT_FAIL,
                    "%llu of %llu numbers are NaN or infinite; the first is in %s at row %llu, "
                    "column %llu",
                    (unsigned long long)n_bad, (unsigned long long)n_elements, tensor->name,
                    (unsigned long long)(at / tensor->shape[0]),
                    (unsigned long long)(at % tensor->shape[0]));
}

static void check_values(const struct weights *w) {
    struct names zero = {.n = 0}, constant = {.n = 0}, vectors = {.n = 0}, huge = {.n = 0};
    for (size_t i = 0; i < w->n; i++) {
        const struct qn_tensor_stats *const s = &w->stats[i];
        const struct qn_tensor *const tensor = tensor_at(w, i);
        if (!w->read[i]) continue;
        if (s->n_zero == s->n && is_matrix(tensor))
            names_add(&zero, "%s", tensor->name);
        else if (is_constant(s) && is_matrix(tensor))
            names_add(&constant, "%s (%g)", tensor->name, s->min);
        else if (is_constant(s))
            names_add(&vectors, "%s (%g)", tensor->name, s->min);
        const double largest = fmax(fabs(s->min), fabs(s->max));
        if (s->n > s->n_bad && largest > HUGE_VALUE)
            names_add(&huge, "%s (%g)", tensor->name, largest);
    }
    if (zero.n)
        qn_verify_check(w->v, "zero", QN_VERDICT_FAIL, "%zu matrices are all zero: %s", zero.n,
                        names_end(&zero));
    if (constant.n)
        qn_verify_check(w->v, "constant", QN_VERDICT_FAIL, "%zu matrices hold one value: %s",
                        constant.n, names_end(&constant));
    if (!zero.n && !constant.n)
        qn_verify_check(w->v, "values", QN_VERDICT_PASS, "no matrix is zero or constant");
    if (vectors.n)
        qn_verify_check(w->v, "vectors", QN_VERDICT_NOTE,
                        "%zu vectors hold one value, as in untrained models: %s", vectors.n,
                        names_end(&vectors));
    if (huge.n)
        qn_verify_check(w->v, "huge", QN_VERDICT_NOTE, "%zu tensors hold numbers beyond %g: %s",
                        huge.n, HUGE_VALUE, names_end(&huge));
}

/* ---- tensors beside each other ---------------------------------------------------------- */

/* qsort has no context: what is sorted carries its keys. */
struct keyed {
    uint64_t hash;
    size_t index;
};

static int compare_keyed(const void *a, const void *b) {
    const struct keyed *const x = a, *const y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Sorts the tensors by a key, equal ones in the order of the file. */
static enum qn_status sort_by(const struct weights *w,
                              uint64_t (*key)(const struct weights *, size_t),
                              struct qn_error *err) {
    struct keyed *const keyed = malloc((w->n ? w->n : 1) * sizeof *keyed);
    if (!keyed) return qn_fail(err, QN_NO_MEMORY, "no memory to sort %zu tensors", w->n);
    for (size_t i = 0; i < w->n; i++) keyed[i] = (struct keyed){key(w, i), i};
    qsort(keyed, w->n, sizeof *keyed, compare_keyed);
    for (size_t i = 0; i < w->n; i++) w->order[i] = keyed[i].index;
    free(keyed);
    return QN_OK;
}

static uint64_t contents_key(const struct weights *w, size_t i) {
    const struct qn_tensor *const tensor = tensor_at(w, i);
    return qn_hash(tensor->shape, sizeof tensor->shape, w->stats[i].hash + (uint64_t)tensor->type);
}

/* Neighbours in the order of contents with equal keys are copies. */
static enum qn_status check_copies(const struct weights *w, struct qn_error *err) {
    struct names copies = {.n = 0}, tied = {.n = 0};
    QN_TRY(sort_by(w, contents_key, err));
    for (size_t i = 1; i < w->n; i++) {
        const size_t a = w->order[i - 1], b = w->order[i];
        const char *const one = tensor_at(w, a)->name, *const other = tensor_at(w, b)->name, *end;
        if (contents_key(w, a) != contents_key(w, b) || is_constant(&w->stats[a]) ||
            !is_matrix(tensor_at(w, a)) || !w->read[a] || !w->read[b])
            continue;
        const bool in_layers = layer_number(one, &end) && layer_number(other, &end);
        names_add(in_layers ? &copies : &tied, "%s = %s", one, other);
    }
    /* Merges that repeat layers have copies by design, so they are no failure. */
    if (copies.n)
        qn_verify_check(w->v, "copies", QN_VERDICT_NOTE,
                        "%zu matrices are copies of another layer's, as in merges that repeat "
                        "layers: %s",
                        copies.n, names_end(&copies));
    else
        qn_verify_check(w->v, "copies", QN_VERDICT_PASS, "no matrix of a layer is in twice");
    if (tied.n)
        qn_verify_check(w->v, "tied", QN_VERDICT_NOTE,
                        "the head is the embedding, and stored twice: %s", names_end(&tied));
    return QN_OK;
}

/* The name without the layer's number. */
static uint64_t kind_key(const struct weights *w, size_t i) {
    const char *const name = tensor_at(w, i)->name, *end;
    const char *const number = layer_number(name, &end);
    if (!number || !is_matrix(tensor_at(w, i)) || !w->read[i]) return 0;
    return qn_hash(name, (size_t)(number - name), qn_hash(end, strlen(end), 1)) | 1;
}

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* order [first, end) are one kind's matrices. */
static void find_odd(const struct weights *w, size_t first, size_t end, double *deviations,
                     struct names *odd) {
    for (size_t i = first; i < end; i++)
        deviations[i - first] = qn_tensor_deviation(&w->stats[w->order[i]]);
    qsort(deviations, end - first, sizeof *deviations, compare_doubles);
    const double median = deviations[(end - first) / 2];
    for (size_t i = first; i < end; i++) {
        const double deviation = qn_tensor_deviation(&w->stats[w->order[i]]);
        if (deviation > median * ODD_DEVIATION || deviation * ODD_DEVIATION < median)
            names_add(odd, "%s (%.1e)", tensor_at(w, w->order[i])->name, deviation);
    }
}

static enum qn_status check_layers(const struct weights *w, struct qn_error *err) {
    struct names odd = {.n = 0};
    double *const deviations = malloc((w->n ? w->n : 1) * sizeof *deviations);
    if (!deviations) return qn_fail(err, QN_NO_MEMORY, "no memory for %zu deviations", w->n);
    const enum qn_status status = sort_by(w, kind_key, err);
    for (size_t first = 0, end; status == QN_OK && first < w->n; first = end) {
        const uint64_t kind = kind_key(w, w->order[first]);
        for (end = first + 1; end < w->n && kind_key(w, w->order[end]) == kind;) end++;
        if (kind && end - first >= 3) find_odd(w, first, end, deviations, &odd);
    }
    free(deviations);
    if (odd.n)
        qn_verify_check(w->v, "layers", QN_VERDICT_NOTE,
                        "%zu matrices deviate over %d times more or less than in the median layer: "
                        "%s",
                        odd.n, ODD_DEVIATION, names_end(&odd));
    return status;
}

/* ---- numbers ---------------------------------------------------------------------------- */

static uint64_t name_key(const struct weights *w, size_t i) {
    const char *const name = tensor_at(w, i)->name;
    return qn_hash(name, strlen(name), 0);
}

/* Over names, types, shapes and bytes of all tensors, in an order of their names' own: the same
 * for the same weights in one file or many. */
static enum qn_status fingerprint(const struct weights *w, struct qn_error *err) {
    uint64_t hash = 0, n_bytes = 0;
    char text[24];
    QN_TRY(sort_by(w, name_key, err));
    for (size_t i = 0; i < w->n; i++) {
        const struct qn_tensor *const tensor = tensor_at(w, w->order[i]);
        const uint64_t one[] = {name_key(w, w->order[i]), contents_key(w, w->order[i])};
        hash = qn_hash(one, sizeof one, hash);
        n_bytes += tensor->size;
    }
    snprintf(text, sizeof text, "%016llx", (unsigned long long)hash);
    json_object_set_new(w->v->stage, "fingerprint", json_string(text));
    qn_verify_check(w->v, "fingerprint", QN_VERDICT_PASS,
                    "%s (XXH64 of all tensors, %.1f MB, whatever files they lie in)", text,
                    (double)n_bytes / 1e6);
    return QN_OK;
}

static json_t *statistics_of(const struct weights *w, size_t i) {
    const struct qn_tensor *const tensor = tensor_at(w, i);
    const struct qn_tensor_stats *const s = &w->stats[i];
    char hash[24];
    json_t *const shape = json_array();
    for (int d = tensor->n_dims - 1; d >= 0; d--)
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[d]));
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)s->hash);
    json_t *name = json_string(tensor->name);
    return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:s}", "name",
                     name ? name : json_null(), "type", qn_type_infos[tensor->type].name, "shape",
                     shape, "min", qn_json_number(s->min), "max", qn_json_number(s->max), "mean",
                     qn_json_number(qn_tensor_mean(s)), "std",
                     qn_json_number(qn_tensor_deviation(s)), "zeros", (json_int_t)s->n_zero,
                     "not_finite", (json_int_t)s->n_bad, "hash", hash);
}

static void progress(void *context, double done) {
    qn_verify_progress(context, done);
}

static enum qn_status examine(struct weights *w, struct qn_error *err) {
    QN_TRY(qn_tensor_stats_read(w->v->model, w->stats, progress, w->v, err));
    find_read(w);
    check_read(w);
    check_finite(w);
    check_values(w);
    QN_TRY(check_copies(w, err));
    QN_TRY(check_layers(w, err));
    QN_TRY(fingerprint(w, err));
    json_t *const tensors = json_array();
    for (size_t i = 0; i < w->n; i++) json_array_append_new(tensors, statistics_of(w, i));
    json_object_set_new(w->v->stage, "tensors", tensors);
    return QN_OK;
}

enum qn_status qn_verify_weights(struct qn_verify *v, struct qn_error *err) {
    struct weights w = {.v = v, .n = qn_model_n_tensors(v->model)};
    w.stats = calloc(w.n ? w.n : 1, sizeof *w.stats);
    w.order = calloc(w.n ? w.n : 1, sizeof *w.order);
    w.read = calloc(w.n ? w.n : 1, sizeof *w.read);
    const enum qn_status status =
        w.stats && w.order && w.read ? examine(&w, err)
                                     : qn_fail(err, QN_NO_MEMORY, "no memory for %zu tensors", w.n);
    free(w.stats);
    free(w.order);
    free(w.read);
    return status;
}
