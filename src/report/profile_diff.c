/* SPDX-License-Identifier: Apache-2.0
 *
 * Aligns two profiles by layer and operation.
 */
#include "report/profile_diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of all resampling: the same two files give the same report. */
enum { SEED = 20090401 };

static enum qn_status no_memory(struct qn_error *err) {
    return qn_fail(err, QN_NO_MEMORY, "no memory for the comparison");
}

/* ---- can they be compared? -------------------------------------------------------------- */

static enum qn_status check_form(const json_t *profile, const char *which, struct qn_error *err) {
    const json_t *const form = json_object_get(profile, "quern_profile");
    if (!json_is_integer(form) || !json_is_array(json_object_get(profile, "steps")) ||
        !json_is_array(json_object_get(profile, "phases")))
        return qn_fail(err, QN_BAD_FILE, "%s is not what quern profile --json writes", which);
    if (json_integer_value(form) != QN_PROFILE_FORM)
        return qn_fail(err, QN_BAD_FILE, "%s has form %lld; this program reads form %d", which,
                       (long long)json_integer_value(form), QN_PROFILE_FORM);
    return QN_OK;
}

static void value_text(const json_t *value, char *text, size_t size) {
    if (json_is_string(value))
        snprintf(text, size, "%.60s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(text, size, "%lld", (long long)json_integer_value(value));
    else
        snprintf(text, size, "nothing");
}

/* refuses: two files of which this differs are not compared. parts: runs in one file are not taken
 * as repetitions of each other. */
static const struct difference {
    const char *object, *member, *what;
    bool refuses, parts;
} differences[] = {
    {"host", "processor", "another processor", true, true},
    {"host", "microcode", "another microcode", true, true},
    {"host", "processors", "another number of processors", true, true},
    {"model", "layers", "a model of another shape: layers", true, true},
    {"model", "width", "a model of another shape: width", true, true},
    {"model", "mlp_width", "a model of another shape: width of the MLP", true, true},
    {"model", "vocabulary", "a model of another shape: vocabulary", true, true},
    {"run", "prompt", "another prompt: tokens", true, true},
    {"run", "decoded", "another number of decoded tokens", true, true},
    {"run", "ubatch", "another ubatch", true, true},
    {"model", "file", "file", false, false},
    {"model", "type", "weights", false, true},
    {"host", "isa", "instruction set", false, true},
    {"host", "threads", "threads", false, true},
    {"host", "prefill_threads", "threads of prefill", false, true},
    {"run", "kv", "cache type", false, true},
    {"run", "repetitions", "repetitions", false, false},
};

/* "threads: 2 and 4" into out; false where it is the same. */
static bool difference_text(const struct difference *d, const json_t *a, const json_t *b, char *out,
                            size_t size) {
    const json_t *const x = json_object_get(json_object_get(a, d->object), d->member);
    const json_t *const y = json_object_get(json_object_get(b, d->object), d->member);
    char left[64], right[64];
    if ((!x && !y) || json_equal(x, y)) return false;
    value_text(x, left, sizeof left);
    value_text(y, right, sizeof right);
    snprintf(out, size, "%s: %s and %s", d->what, left, right);
    return true;
}

static void note_differences(const json_t *a, const json_t *b, struct qn_profile_diff *diff) {
    for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
        const struct difference *const d = &differences[i];
        char text[sizeof *diff->notes];
        if (!difference_text(d, a, b, text, sizeof text)) continue;
        if (d->refuses && !diff->refusal[0])
            snprintf(diff->refusal, sizeof diff->refusal, "%s", text);
        else if (!d->refuses && diff->n_notes < QN_DIFF_NOTES)
            snprintf(diff->notes[diff->n_notes++], sizeof *diff->notes, "%s", text);
    }
}

/* The runs of a file repeat the first one. */
static enum qn_status check_runs(const json_t *runs, const char *which, struct qn_error *err) {
    for (size_t r = 1; r < json_array_size(runs); r++)
        for (size_t i = 0; i < sizeof differences / sizeof *differences; i++) {
            char text[160];
            if (differences[i].parts && difference_text(&differences[i], json_array_get(runs, 0),
                                                        json_array_get(runs, r), text, sizeof text))
                return qn_fail(
                    err, QN_BAD_FILE,
                    "%s holds runs that do not repeat each other: runs 1 and %zu have %s", which,
                    r + 1, text);
        }
    return QN_OK;
}

/* ---- samples ---------------------------------------------------------------------------- */

struct samples {
    double *values; /* [n] */
    size_t n;
};

static const json_t *phase_of(const json_t *profile, enum qn_phase phase) {
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(profile, "phases"), i, item) {
        const char *const name = json_string_value(json_object_get(item, "phase"));
        if (name && strcmp(name, qn_phase_name(phase)) == 0) return item;
    }
    return NULL;
}

static bool is_step(const json_t *step, enum qn_phase phase, const char *name, int layer) {
    const char *const in = json_string_value(json_object_get(step, "phase"));
    const char *const named = json_string_value(json_object_get(step, "name"));
    return in && named && strcmp(in, qn_phase_name(phase)) == 0 && strcmp(named, name) == 0 &&
           (layer < 0 || json_integer_value(json_object_get(step, "layer")) == layer);
}

/* Adds an array of numbers, element by element. */
static bool add_samples(const json_t *array, struct samples *samples) {
    const size_t n = json_array_size(array);
    if (!samples->values) {
        samples->values = calloc(n + 1, sizeof *samples->values);
        if (!samples->values) return false;
        samples->n = n;
    }
    for (size_t i = 0; i < n && i < samples->n; i++)
        samples->values[i] += json_number_value(json_array_get(array, i));
    return true;
}

/* What an operation took in each pass in which it was done. layer -1: in all layers. */
static bool step_samples(const json_t *profile, enum qn_phase phase, const char *name, int layer,
                         struct samples *samples) {
    size_t i, kept = 0;
    const json_t *step;
    *samples = (struct samples){.n = 0};
    json_array_foreach(json_object_get(profile, "steps"), i, step) {
        if (is_step(step, phase, name, layer) &&
            !add_samples(json_object_get(step, "samples_ns"), samples)) {
            free(samples->values);
            return false;
        }
    }
    for (i = 0; i < samples->n; i++)
        if (samples->values[i] > 0) samples->values[kept++] = samples->values[i];
    samples->n = kept;
    return true;
}

/* ---- several runs ----------------------------------------------------------------------- */

static double median_of(const json_t *array) {
    struct samples samples = {0};
    size_t kept = 0;
    if (!add_samples(array, &samples)) return 0;
    for (size_t i = 0; i < samples.n; i++)
        if (samples.values[i] > 0) samples.values[kept++] = samples.values[i];
    const double median = qn_spread_of(samples.values, kept).p50;
    free(samples.values);
    return median;
}

static bool same_member(const json_t *a, const json_t *b, const char *name) {
    const json_t *const x = json_object_get(a, name), *const y = json_object_get(b, name);
    return (!x && !y) || json_equal(x, y);
}

/* Item i of a member in each run, as an array of its medians; NULL where a run lacks it or has
 * another in its place. */
static json_t *medians_of(const json_t *runs, const char *list, size_t i, const char *name) {
    size_t r;
    const json_t *run;
    json_t *const medians = json_array();
    json_array_foreach(runs, r, run) {
        const json_t *const item = json_array_get(json_object_get(run, list), i);
        const json_t *const first =
            json_array_get(json_object_get(json_array_get(runs, 0), list), i);
        if (!item || !same_member(item, first, name) || !same_member(item, first, "layer")) {
            json_decref(medians);
            return NULL;
        }
        json_array_append_new(medians, json_real(median_of(json_object_get(item, "samples_ns"))));
    }
    return medians;
}

static bool merge_list(const json_t *runs, const char *list, const char *name, json_t *merged) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(merged, list), i, item) {
        json_t *const medians = medians_of(runs, list, i, name);
        if (!medians) return false;
        json_object_set_new(item, "samples_ns", medians);
        if (json_object_get(item, "wall_ns"))
            json_object_set_new(item, "wall_ns", json_pack("{s:f}", "p50", median_of(medians)));
    }
    return true;
}

/* One profile whose samples are the runs' medians; a new reference. */
static enum qn_status merge(const json_t *runs, const char *which, json_t **merged,
                            struct qn_error *err) {
    size_t r;
    const json_t *run;
    *merged = NULL;
    json_array_foreach(runs, r, run) QN_TRY(check_form(run, which, err));
    QN_TRY(check_runs(runs, which, err));
    json_t *const copy = json_deep_copy(json_array_get(runs, 0));
    if (!copy) return no_memory(err);
    if (!merge_list(runs, "phases", "phase", copy) || !merge_list(runs, "steps", "name", copy)) {
        json_decref(copy);
        return qn_fail(err, QN_BAD_FILE, "%s holds runs of different steps", which);
    }
    *merged = copy;
    return QN_OK;
}

/* ---- rows ------------------------------------------------------------------------------- */

static enum qn_status compare_row(const json_t *a, const json_t *b, enum qn_phase phase,
                                  double confidence, double least, struct qn_diff_row *row,
                                  struct qn_error *err) {
    struct samples x, y = {0};
    if (!step_samples(a, phase, row->name, row->layer, &x)) return no_memory(err);
    enum qn_status status = QN_OK;
    if (!step_samples(b, phase, row->name, row->layer, &y)) {
        y.values = NULL;
        status = no_memory(err);
    }
    row->only_a = y.n == 0;
    row->only_b = x.n == 0;
    /* What only one has took no time at all in the other. */
    double zero = 0;
    if (status == QN_OK && (x.n || y.n))
        status = qn_compare_medians(x.n ? x.values : &zero, x.n ? x.n : 1, y.n ? y.values : &zero,
                                    y.n ? y.n : 1, confidence, SEED, &row->times, err);
    row->differs = qn_differ(&row->times) && fabs(row->times.b - row->times.a) >= least;
    free(x.values);
    free(y.values);
    return status;
}

static bool has_row(const struct qn_diff_phase *phase, const char *name) {
    for (int i = 0; i < phase->n_rows; i++)
        if (strcmp(phase->rows[i].name, name) == 0) return true;
    return false;
}

/* The names of both profiles' operations, in the order of the plan. */
static enum qn_status find_names(const json_t *profile, enum qn_phase phase,
                                 struct qn_diff_phase *out, struct qn_error *err) {
    size_t i;
    const json_t *step;
    json_array_foreach(json_object_get(profile, "steps"), i, step) {
        const char *const name = json_string_value(json_object_get(step, "name"));
        if (!name || has_row(out, name) || !is_step(step, phase, name, -1)) continue;
        struct qn_diff_row *const rows =
            realloc(out->rows, (size_t)(out->n_rows + 1) * sizeof *rows);
        if (!rows) return no_memory(err);
        out->rows = rows;
        rows[out->n_rows] = (struct qn_diff_row){.layer = -1};
        snprintf(rows[out->n_rows++].name, sizeof rows->name, "%s", name);
    }
    return QN_OK;
}

static double change_of(const struct qn_diff_row *row) {
    return row->times.b - row->times.a;
}

static int compare_changes(const void *a, const void *b) {
    const double x = fabs(change_of(a)), y = fabs(change_of(b));
    return (x < y) - (x > y);
}

double qn_diff_part(const struct qn_diff_phase *phase, const struct qn_diff_row *row) {
    const double all = phase->whole.b - phase->whole.a;
    return all != 0 ? change_of(row) / all : 0;
}

/* ---- single layers ---------------------------------------------------------------------- */

static double median_ns(const json_t *step) {
    return json_number_value(json_object_get(json_object_get(step, "wall_ns"), "p50"));
}

static const json_t *find_step(const json_t *profile, enum qn_phase phase, const char *name,
                               int layer) {
    size_t i;
    const json_t *step;
    json_array_foreach(json_object_get(profile, "steps"), i, step) {
        if (is_step(step, phase, name, layer)) return step;
    }
    return NULL;
}

/* Keeps the largest changes, sorted. */
static void keep_cell(struct qn_diff_phase *out, const struct qn_diff_row *cell) {
    int place = out->n_cells;
    while (place > 0 && fabs(change_of(&out->cells[place - 1])) < fabs(change_of(cell))) place--;
    if (place == QN_DIFF_CELLS) return;
    const int end = out->n_cells < QN_DIFF_CELLS ? out->n_cells++ : QN_DIFF_CELLS - 1;
    memmove(&out->cells[place + 1], &out->cells[place], (size_t)(end - place) * sizeof *cell);
    out->cells[place] = *cell;
}

static enum qn_status find_cells(const json_t *a, const json_t *b, enum qn_phase phase,
                                 double least, struct qn_diff_phase *out, struct qn_error *err) {
    size_t i;
    const json_t *step;
    json_array_foreach(json_object_get(a, "steps"), i, step) {
        const char *const name = json_string_value(json_object_get(step, "name"));
        const int layer = (int)json_integer_value(json_object_get(step, "layer"));
        if (!name || layer < 0 || !is_step(step, phase, name, layer)) continue;
        const json_t *const other = find_step(b, phase, name, layer);
        if (!other) continue;
        struct qn_diff_row cell = {.layer = layer,
                                   .times = {.a = median_ns(step), .b = median_ns(other)}};
        snprintf(cell.name, sizeof cell.name, "%s", name);
        keep_cell(out, &cell);
    }
    const double confidence = 1 - 0.05 / QN_DIFF_CELLS;
    for (int c = 0; c < out->n_cells; c++)
        QN_TRY(compare_row(a, b, phase, confidence, least, &out->cells[c], err));
    return QN_OK;
}

/* ---- the machine's drift ---------------------------------------------------------------- */

/* Runs of one build a minute apart differed by up to 12 % on the shared machine where this was
 * measured, every operation alike. */
static const double most_drift = 0.15;

/* Operations of less than a hundredth of a pass have no vote: of one large operation that changed
 * and many small ones the small ones would say nothing. */
static enum qn_status find_shared(struct qn_diff_phase *phase, struct qn_error *err) {
    double *const ratios = calloc((size_t)phase->n_rows + 1, sizeof *ratios);
    size_t n = 0;
    if (!ratios) return no_memory(err);
    for (int i = 0; i < phase->n_rows; i++) {
        const struct qn_comparison *const t = &phase->rows[i].times;
        if (t->a >= 0.01 * phase->whole.a && t->b > 0) ratios[n++] = t->b / t->a;
    }
    phase->shared = n ? qn_spread_of(ratios, n).p50 : 1;
    free(ratios);
    return QN_OK;
}

static bool lies_beyond(const struct qn_comparison *whole, double floor) {
    return whole->ratio_low > 1 + floor || whole->ratio_high < 1 - floor;
}

/* Of one run a side. least: ns of a pass. */
static bool is_of_the_build(struct qn_diff_phase *phase, double least) {
    bool any = false;
    for (int i = 0; i < phase->n_rows; i++) {
        struct qn_diff_row *const row = &phase->rows[i];
        const double shift = (phase->shared - 1) * row->times.a;
        row->stands_out =
            row->differs && (row->times.low - shift > least || row->times.high - shift < -least);
        any = any || row->stands_out;
    }
    return any || lies_beyond(&phase->whole, most_drift);
}

/* ---- the whole -------------------------------------------------------------------------- */

static enum qn_status compare_phase(const json_t *a, const json_t *b, enum qn_phase phase,
                                    bool several, double floor, struct qn_diff_phase *out,
                                    struct qn_error *err) {
    struct samples x = {0}, y = {0};
    const json_t *const in_a = json_object_get(phase_of(a, phase), "samples_ns");
    const json_t *const in_b = json_object_get(phase_of(b, phase), "samples_ns");
    if (json_array_size(in_a) == 0 || json_array_size(in_b) == 0) return QN_OK;
    out->present = true;
    enum qn_status status = add_samples(in_a, &x) && add_samples(in_b, &y) ? QN_OK : no_memory(err);
    if (status == QN_OK)
        status = qn_compare_medians(x.values, x.n, y.values, y.n, 0.95, SEED, &out->whole, err);
    free(x.values);
    free(y.values);
    QN_TRY(status);
    out->beyond = qn_differ(&out->whole) && lies_beyond(&out->whole, floor);
    const double least = floor * out->whole.a;
    QN_TRY(find_names(a, phase, out, err));
    QN_TRY(find_names(b, phase, out, err));
    for (int i = 0; i < out->n_rows; i++)
        QN_TRY(compare_row(a, b, phase, 1 - 0.05 / out->n_rows, least, &out->rows[i], err));
    QN_TRY(find_shared(out, err));
    const bool of_the_build = is_of_the_build(out, least);
    out->differs = out->beyond && (several || of_the_build);
    if (out->n_rows > 0) qsort(out->rows, (size_t)out->n_rows, sizeof *out->rows, compare_changes);
    return find_cells(a, b, phase, least, out, err);
}

static enum qn_status compare(const json_t *a, const json_t *b, bool several, double floor,
                              struct qn_profile_diff *diff, struct qn_error *err) {
    QN_TRY(check_form(a, "the first file", err));
    QN_TRY(check_form(b, "the second file", err));
    note_differences(a, b, diff);
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++)
        QN_TRY(
            compare_phase(a, b, (enum qn_phase)phase, several, floor, &diff->phases[phase], err));
    return QN_OK;
}

/* The one run of a side, or its several as one; a new reference. */
static enum qn_status side_of(const json_t *runs, const char *which, json_t **side,
                              struct qn_error *err) {
    if (json_array_size(runs) > 1) return merge(runs, which, side, err);
    *side = json_incref(json_array_get(runs, 0));
    return QN_OK;
}

enum qn_status qn_profile_diff(const json_t *a, const json_t *b, double floor,
                               struct qn_profile_diff *diff, struct qn_error *err) {
    *diff = (struct qn_profile_diff){.n_runs = {(int)json_array_size(a), (int)json_array_size(b)}};
    const bool several = diff->n_runs[0] > 1 && diff->n_runs[1] > 1;
    json_t *x = NULL, *y = NULL;
    enum qn_status status = side_of(a, "the first file", &x, err);
    if (status == QN_OK) status = side_of(b, "the second file", &y, err);
    if (status == QN_OK) status = compare(x, y, several, floor, diff, err);
    json_decref(x);
    json_decref(y);
    if (status != QN_OK) qn_profile_diff_free(diff);
    return status;
}

void qn_profile_diff_free(struct qn_profile_diff *diff) {
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
        free(diff->phases[phase].rows);
        diff->phases[phase] = (struct qn_diff_phase){.present = false};
    }
}
