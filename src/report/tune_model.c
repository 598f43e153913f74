/* SPDX-License-Identifier: Apache-2.0 */
#include "report/tune_model.h"

#include <math.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "run/random.h"

enum {
    MAX_PROMPT = 1024, /* twice the usual ubatch, so that a larger one can show */
    MAX_GEN = 64,
    MAX_SESSIONS = 8, /* one for each ubatch and each type of cache */
    MAX_VALUES = 16
};

static const int ubatches[] = {256, 512, 1024};
/* Microseconds; 0 is the pool's own choice. A sleep and a wake-up cost 7 to 40. */
static const int spins[] = {0, 10, 200, 1000};

struct variant {
    int n_ubatch;
    enum qn_kv kv;
    struct qn_session *session;
};

struct tuner {
    struct qn_model *model;
    const struct qn_tune_options *options;
    struct qn_tune_report *report;
    struct qn_error *err;
    enum qn_status status;
    struct variant variants[MAX_SESSIONS];
    int n_variants, n_ctx;
    enum qn_tune_what what;
    double started, deadline;
    double alone_wall, alone_used; /* seconds of runs of a single thread, which never waits */
    struct qn_random random;
    int32_t tokens[MAX_PROMPT];
};

static int min_int(int a, int b) {
    return a < b ? a : b;
}

double qn_tune_end(enum qn_tune_what what, bool spin, bool kv) {
    static const double ends[QN_TUNE_COUNT] = {0.25, 0.5, 0.85, 1, 1};
    static const double kv_part = 0.2;
    if (what == QN_TUNE_UBATCH && !spin) what = QN_TUNE_SPIN;
    return what != QN_TUNE_KV && kv ? (1 - kv_part) * ends[what] : ends[what];
}

int qn_tune_most_threads(const struct qn_topology *topology) {
    const double quota = topology->quota > 0 ? floor(topology->quota) : QN_POOL_MAX_THREADS;
    const int most = min_int(min_int(topology->n_allowed, QN_POOL_MAX_THREADS), (int)quota);
    return most > 1 ? most : 1;
}

/* ---- one measurement ---- */

static struct qn_session *session_of(struct tuner *t, int n_ubatch, enum qn_kv kv) {
    for (int i = 0; i < t->n_variants; i++)
        if (t->variants[i].n_ubatch == n_ubatch && t->variants[i].kv == kv)
            return t->variants[i].session;
    const struct qn_session_options options = {.n_ctx = t->n_ctx,
                                               .n_ubatch = min_int(n_ubatch, t->n_ctx),
                                               .n_sequences = 1,
                                               .n_logits = 1,
                                               .cache = qn_cache_of(kv, kv),
                                               .huge_pages = true};
    struct variant *const variant = &t->variants[t->n_variants];
    *variant = (struct variant){.n_ubatch = n_ubatch, .kv = kv};
    t->status = qn_session_new(t->model, &options, &variant->session, t->err);
    if (t->status != QN_OK) return NULL;
    t->n_variants++;
    return variant->session;
}

static bool eval(struct tuner *t, struct qn_session *session, int n) {
    const int n_vocab = t->model->spec.hparams.n_vocab;
    for (int i = 0; i < n; i++)
        t->tokens[i] = (int32_t)(qn_random_next(&t->random) % (uint64_t)n_vocab);
    const struct qn_batch batch = {.n = (size_t)n, .tokens = t->tokens};
    t->status = qn_session_eval(session, &batch, t->err);
    return t->status == QN_OK;
}

/* The choice of the likeliest token stands for sampling, during which workers wait. */
static float likeliest(const struct qn_session *session, const float *logits) {
    float most = logits[0];
    for (int i = 1; i < session->model->spec.hparams.n_vocab; i++)
        most = logits[i] > most ? logits[i] : most;
    return most;
}

static bool decode(struct tuner *t, struct qn_session *session, int n) {
    volatile float sink;
    for (int i = 0; i < n; i++) {
        if (!eval(t, session, 1)) return false;
        sink = likeliest(session, qn_session_logits(session, 0));
    }
    (void)sink;
    return true;
}

static bool is_prefill(enum qn_tune_what what) {
    return what == QN_TUNE_THREADS_BATCH || what == QN_TUNE_UBATCH;
}

/* The settings found so far, and the value in place of the one that is searched. */
static struct qn_session *apply(struct tuner *t, int value) {
    struct qn_tuned now_used = t->report->tuned;
    enum qn_kv kv = QN_KV_DEFAULT;
    if (t->what == QN_TUNE_THREADS) now_used.n_threads = value;
    if (t->what == QN_TUNE_THREADS_BATCH) now_used.n_threads_batch = value;
    if (t->what == QN_TUNE_UBATCH) now_used.n_ubatch = value;
    if (t->what == QN_TUNE_SPIN) now_used.spin_us = value;
    if (t->what == QN_TUNE_KV) kv = (enum qn_kv)value;
    t->model->n_threads = now_used.n_threads;
    t->model->n_threads_batch = now_used.n_threads_batch;
    qn_pool_set_spin(t->model->pool, now_used.spin_us);
    return session_of(t, now_used.n_ubatch, kv);
}

/* Decodes from an empty cache, but types of cache are compared behind a prompt. */
static bool reach_start(struct tuner *t, struct qn_session *session) {
    const int depth = t->what == QN_TUNE_KV ? t->report->n_prompt[t->what] : 0;
    const int length = session->kv.lengths[0];
    if (length > depth) qn_kv_blocks_truncate(&session->kv, 0, depth);
    return length >= depth || eval(t, session, depth - length);
}

static bool run(struct tuner *t, int value, int n, double *seconds, double *joules) {
    const struct qn_energy *const energy = &t->report->energy;
    struct qn_session *const session = apply(t, value);
    if (!session || !reach_start(t, session)) return false;
    const struct qn_energy_mark before = qn_energy_read(energy);
    const double start = qn_clock_seconds(CLOCK_MONOTONIC),
                 used = qn_clock_seconds(CLOCK_THREAD_CPUTIME_ID);
    if (!(is_prefill(t->what) ? eval(t, session, n) : decode(t, session, n))) return false;
    *seconds = qn_clock_seconds(CLOCK_MONOTONIC) - start;
    if ((is_prefill(t->what) ? t->model->n_threads_batch : t->model->n_threads) == 1) {
        t->alone_wall += *seconds;
        t->alone_used += qn_clock_seconds(CLOCK_THREAD_CPUTIME_ID) - used;
    }
    const struct qn_energy_mark after = qn_energy_read(energy);
    *joules = qn_energy_between(energy, &before, &after) / n;
    return true;
}

static bool measure(void *context, int value, double *rate, double *joules) {
    struct tuner *const t = context;
    const struct qn_tune_report *const r = t->report;
    const int n = is_prefill(t->what) ? r->n_prompt[t->what] : r->n_gen[t->what];
    if (t->options->keep_going && !t->options->keep_going(t->options->keep_going_context))
        t->report->stopped = true;
    double seconds;
    if (t->report->stopped || qn_clock_seconds(CLOCK_MONOTONIC) > t->deadline ||
        !run(t, value, n, &seconds, joules))
        return false;
    *rate = n / seconds;
    return true;
}

/* ---- one search ---- */

/* Tokens of a measurement: as many as the search's time allows, of about n_values values. A short
 * run warms up and tells how fast the machine is. */
static bool size(struct tuner *t, int usual, int n_values) {
    struct qn_tune_report *const r = t->report;
    const int prompt_max = r->prompt_max, gen_max = min_int(MAX_GEN, prompt_max);
    const int probe = is_prefill(t->what) ? min_int(32, prompt_max) : min_int(4, gen_max);
    const int measurements = n_values * QN_TUNE_ROUNDS + 2 * QN_TUNE_DUEL;
    double seconds = 0, joules;
    r->n_prompt[t->what] = t->what == QN_TUNE_KV ? prompt_max : probe;
    for (int i = 0; i < 2; i++)
        if (!run(t, usual, probe, &seconds, &joules)) return false;
    const double tokens =
        (t->deadline - qn_clock_seconds(CLOCK_MONOTONIC)) / measurements * probe / seconds;
    if (is_prefill(t->what)) {
        int n = probe;
        while (2 * n <= prompt_max && 2 * n <= tokens) n *= 2;
        r->n_prompt[t->what] = n;
    } else {
        r->n_gen[t->what] = tokens < 1 ? 1 : tokens > gen_max ? gen_max : (int)tokens;
    }
    return true;
}

static void find(struct tuner *t, const int *values, int n, int usual) {
    const struct qn_tune_meter meter = {measure, t};
    const bool refine = t->what == QN_TUNE_THREADS || t->what == QN_TUNE_THREADS_BATCH;
    qn_tune_find(values, n, usual, refine, &meter, &t->report->searches[t->what]);
}

static void search(struct tuner *t, const int *values, int n, int usual) {
    if (size(t, usual, n)) find(t, values, n, usual);
}

static void search_threads(struct tuner *t, int usual) {
    const struct qn_topology *const topology = &t->model->topology;
    const int most = min_int(qn_tune_most_threads(topology), qn_pool_n_threads(t->model->pool));
    int values[MAX_VALUES];
    const int n = qn_tune_threads(topology->n_cores, topology->n_allowed, most, values);
    /* Halving takes about as many values again, where there is something between. */
    if (size(t, usual, n > 2 ? 2 * n : n)) find(t, values, n, usual);
}

/* Ubatches that the prompt does not fill are all alike: the usual one stands for them. */
static void search_ubatch(struct tuner *t) {
    enum { N = sizeof ubatches / sizeof *ubatches };
    int values[N], n = 0;
    if (!size(t, QN_DEFAULT_UBATCH, N)) return;
    const int n_prompt = t->report->n_prompt[t->what];
    for (int i = 0; i < N; i++)
        if (ubatches[i] < n_prompt || (ubatches[i] == n_prompt && n_prompt > QN_DEFAULT_UBATCH))
            values[n++] = ubatches[i];
    if (n > 0) find(t, values, n, QN_DEFAULT_UBATCH);
}

static void search_kv(struct tuner *t) {
    static const int values[] = {QN_KV_I16, QN_KV_F16, QN_KV_F32, QN_KV_Q8_0};
    search(t, values, t->model->spec.hparams.head_size % 32 == 0 ? 4 : 3, QN_KV_DEFAULT);
}

static void search_what(struct tuner *t, enum qn_tune_what what) {
    struct qn_tuned *const tuned = &t->report->tuned;
    struct qn_tune_search *const found = &t->report->searches[what];
    t->what = what;
    if (t->options->progress) t->options->progress(t->options->progress_context, what);
    switch (what) {
    case QN_TUNE_THREADS:
        search_threads(t, tuned->n_threads);
        break;
    case QN_TUNE_THREADS_BATCH:
        search_threads(t, tuned->n_threads_batch);
        break;
    case QN_TUNE_UBATCH:
        search_ubatch(t);
        break;
    case QN_TUNE_SPIN:
        search(t, spins, sizeof spins / sizeof *spins, 0);
        break;
    default:
        search_kv(t);
    }
    if (found->n_points == 0) return;
    if (what == QN_TUNE_THREADS) tuned->n_threads = found->chosen;
    if (what == QN_TUNE_THREADS_BATCH) tuned->n_threads_batch = found->chosen;
    if (what == QN_TUNE_UBATCH) tuned->n_ubatch = found->chosen;
    if (what == QN_TUNE_SPIN) tuned->spin_us = found->chosen;
    /* Another type changes the numbers: it is shown and not taken. */
    if (what == QN_TUNE_KV) found->chosen = found->usual;
}

/* A thread that is alone waits for nobody. */
static bool is_asked(const struct tuner *t, enum qn_tune_what what) {
    return what == QN_TUNE_KV     ? t->options->kv
           : what == QN_TUNE_SPIN ? t->report->tuned.n_threads > 1
                                  : true;
}

/* ---- all ---- */

/* Of the last search that measured it. */
static double rate_of(const struct qn_tune_report *r, enum qn_tune_what first,
                      enum qn_tune_what last) {
    const enum qn_tune_what order[] = {last, first};
    for (int i = 0; i < 2; i++) {
        const struct qn_tune_search *const s = &r->searches[order[i]];
        const struct qn_tune_point *const point = qn_tune_at(s, s->chosen);
        if (point && point->n > 0) return point->rate;
    }
    return 0;
}

enum qn_status qn_tune_model(struct qn_model *model, const struct qn_tune_options *options,
                             struct qn_tune_report *report, struct qn_error *err) {
    const int n_threads = model->n_threads, n_threads_batch = model->n_threads_batch;
    const int usual = min_int(model->topology.n_default, qn_pool_n_threads(model->pool));
    memset(report, 0, sizeof *report);
    report->tuned = (struct qn_tuned){
        .n_threads = usual, .n_threads_batch = usual, .n_ubatch = QN_DEFAULT_UBATCH};
    struct tuner t = {.model = model,
                      .options = options,
                      .report = report,
                      .err = err,
                      .n_ctx = min_int(2 * MAX_PROMPT, model->spec.hparams.n_ctx_train),
                      .started = qn_clock_seconds(CLOCK_MONOTONIC)};
    report->prompt_max = min_int(MAX_PROMPT, t.n_ctx / 2);
    qn_random_seed(&t.random, 0);
    qn_energy_open(options->root, &report->energy);
    for (int what = 0; what < QN_TUNE_COUNT && t.status == QN_OK && !report->stopped; what++) {
        const double end = qn_tune_end((enum qn_tune_what)what, is_asked(&t, QN_TUNE_SPIN),
                                       is_asked(&t, QN_TUNE_KV));
        t.deadline = t.started + options->seconds * end;
        if (is_asked(&t, (enum qn_tune_what)what)) search_what(&t, (enum qn_tune_what)what);
    }
    report->tuned.decode = rate_of(report, QN_TUNE_THREADS, QN_TUNE_SPIN);
    report->tuned.prefill = rate_of(report, QN_TUNE_THREADS_BATCH, QN_TUNE_UBATCH);
    report->tuned.measured_at = (long long)time(NULL);
    report->seconds = qn_clock_seconds(CLOCK_MONOTONIC) - t.started;
    report->taken = t.alone_wall > 0 ? fmax(0, 1 - t.alone_used / t.alone_wall) : 0;
    for (int i = 0; i < t.n_variants; i++) qn_session_free(t.variants[i].session);
    model->n_threads = n_threads;
    model->n_threads_batch = n_threads_batch;
    qn_pool_set_spin(model->pool, 0);
    return t.status;
}
