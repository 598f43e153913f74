/* SPDX-License-Identifier: Apache-2.0
 *
 * Profiles: costs against the model's own sizes, sums, statistics, and that a kernel made slow is
 * found.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "report/predict.h"
#include "report/profile_diff.h"
#include "report/slow.h"
#include "run/access.h"
#include "run/random.h"

enum { N_PROMPT = 24 };

/* ---- a profile of a tiny model ---------------------------------------------------------- */

struct fixture {
    struct quern_model *model;
    struct quern_session *session;
    struct qn_profile profile;
};

static void open_threads(struct fixture *f, const char *file, int n_threads, int n_batch) {
    struct quern_error err = {QUERN_OK, ""};
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s", TEST_DATA, file);
    const struct quern_model_options model_options = {.n_threads = n_threads,
                                                      .n_threads_batch = n_batch};
    const struct quern_session_options session_options = {.n_ctx = 128};
    cr_assert_eq(quern_model_open(path, &model_options, &f->model, &err), QUERN_OK, "%s",
                 err.message);
    cr_assert_eq(quern_session_new(f->model, &session_options, &f->session, &err), QUERN_OK, "%s",
                 err.message);
}

static void open_fixture(struct fixture *f, const char *file, int n_threads) {
    open_threads(f, file, n_threads, n_threads);
}

static void close_fixture(struct fixture *f) {
    qn_profile_free(&f->profile);
    quern_session_free(f->session);
    quern_model_close(f->model);
}

/* A prompt, and so many tokens one by one. */
static void run_profile(struct fixture *f, int n_decode) {
    struct qn_error err = {QN_OK, ""};
    struct quern_error failure;
    int32_t tokens[N_PROMPT];
    for (int i = 0; i < N_PROMPT; i++) tokens[i] = 3 + 5 * i;
    cr_assert_eq(qn_profile_start(qn_session_of(f->session), (size_t)n_decode + 1,
                                  (size_t)n_decode + 1, &f->profile, &err),
                 QN_OK, "%s", err.message);
    quern_session_truncate(f->session, 0, 0);
    for (int i = 0; i <= n_decode; i++) {
        const uint64_t start = qn_clock_ns();
        const struct quern_batch batch = {.n = i == 0 ? N_PROMPT : 1, .tokens = tokens};
        cr_assert_eq(quern_session_eval(f->session, &batch, &failure), QUERN_OK);
        qn_profile_token(&f->profile, start, qn_clock_ns(), i == 0);
    }
    cr_assert_eq(qn_profile_finish(&f->profile, &err), QN_OK, "%s", err.message);
}

static struct qn_table table_of(const struct fixture *f, enum qn_phase phase, enum qn_by by) {
    struct qn_table table;
    struct qn_error err;
    cr_assert_eq(qn_profile_table(&f->profile, phase, by, &table, &err), QN_OK);
    return table;
}

/* ---- costs and sums --------------------------------------------------------------------- */

/* Weights that steps say they read are those that the model says a token reads; operations are two
 * for each weight and token, and for attention four for each head, component and position. */
Test(profile, costs_are_the_models) {
    struct fixture f = {NULL};
    open_fixture(&f, "llama-f32.gguf", 1);
    run_profile(&f, 3);
    const struct qn_spec *const spec = &qn_model_of(f.model)->spec;
    struct qn_table names = table_of(&f, QN_PHASE_DECODE, QN_BY_STEP);
    double weights = 0, attention = 0;
    for (int r = 0; r < names.n; r++) {
        const struct qn_row *const row = &names.rows[r];
        const struct qn_step *const step = &f.profile.session->plan.steps[row->step];
        const double flops = row->group.cost.flops / 3, bytes = row->group.cost.bytes / 3;
        if (step->op == QN_OP_MATMUL) {
            weights += flops / 2;
            cr_assert_geq(bytes, (double)step->bytes);
        }
        if (step->op == QN_OP_ATTENTION) attention += flops;
    }
    /* All weights are floats: packed bytes of rows that fill their tiles. */
    cr_assert_float_eq(weights * sizeof(float), (double)spec->decode_size,
                       0.001 * (double)spec->decode_size);
    const struct qn_hparams *const hp = &spec->hparams;
    const double positions = (N_PROMPT + 1 + N_PROMPT + 2 + N_PROMPT + 3) / 3.0;
    cr_assert_float_eq(attention, 4.0 * hp->n_layers * hp->n_heads * hp->head_size * positions,
                       1e-6 * attention);
    qn_table_free(&names);
    close_fixture(&f);
}

/* However steps are grouped, the same time is told. */
Test(profile, groups_agree) {
    struct fixture f = {NULL};
    open_fixture(&f, "qwen2-mixed.gguf", 2);
    run_profile(&f, 12);
    for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
        struct qn_phase_times times;
        struct qn_error err;
        cr_assert_eq(qn_profile_phase(&f.profile, (enum qn_phase)phase, &times, &err), QN_OK);
        cr_assert_eq(times.n_passes, phase == QN_PHASE_DECODE ? 12 : 1);
        for (int by = QN_BY_PHASE; by <= QN_BY_STEP; by++) {
            struct qn_table table = table_of(&f, (enum qn_phase)phase, (enum qn_by)by);
            double sum = 0;
            for (int r = 0; r < table.n; r++) sum += table.rows[r].group.wall.sum;
            cr_assert_float_eq(1e-9 * sum, times.steps, 1e-9);
            qn_table_free(&table);
        }
    }
    close_fixture(&f);
}

/* What was run is held against the roof that a plan is told by: of a prompt, and of the token
 * behind it. */
Test(profile, plans_have_the_same_roof) {
    static const char *const files[] = {"qwen2-mixed.gguf", "llama-f16.gguf"};
    struct qn_roof roof = {.weights = QN_LEVEL_MEMORY};
    for (int i = 0; i < QN_LEVEL_COUNT; i++) roof.limits.read[i].best = 50.0 / (1 + i);
    for (int i = 0; i < QN_PEAK_COUNT; i++) roof.limits.peak[i].best = 30 + 20 * i;
    static const struct qn_run runs[QN_PHASE_COUNT] = {{0, N_PROMPT, 0, 1}, {N_PROMPT, 0, 1, 1}};
    for (int i = 0; i < 2; i++) {
        struct fixture f = {NULL};
        open_fixture(&f, files[i], 1);
        run_profile(&f, 1);
        const struct qn_session *const session = f.profile.session;
        for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
            const double expected = qn_predict_run(&session->plan, &roof,
                                                   session->model->kernels.bundles, &runs[phase]);
            double found;
            struct qn_error err;
            cr_assert_eq(qn_roofline_pass(&f.profile, &roof, (enum qn_phase)phase, &found, &err),
                         QN_OK);
            cr_assert_float_eq(found, expected, 1e-9 * expected, "%s %s: %g, planned %g", files[i],
                               qn_phase_name((enum qn_phase)phase), found, expected);
        }
        close_fixture(&f);
    }
}

/* A thread that takes no part in a phase has no events of it, and counts for nothing there. */
Test(profile, phases_may_have_other_threads) {
    for (int n_decode = 1; n_decode <= 3; n_decode += 2) {
        struct fixture f = {NULL};
        open_threads(&f, "llama-q4_k.gguf", n_decode, 4 - n_decode);
        run_profile(&f, 5);
        for (int phase = 0; phase < QN_PHASE_COUNT; phase++) {
            const int n_threads = phase == QN_PHASE_DECODE ? n_decode : 4 - n_decode;
            cr_assert_eq(qn_profile_threads(&f.profile, (enum qn_phase)phase), n_threads);
            struct qn_table whole = table_of(&f, (enum qn_phase)phase, QN_BY_PHASE);
            const struct qn_group *const g = &whole.rows[0].group;
            cr_assert_geq(g->most_work, g->work);
            if (n_threads == 1) cr_assert_float_eq(g->work + g->wait, g->wall.sum, 1);
            qn_table_free(&whole);
        }
        for (size_t pass = 0; pass < f.profile.n_passes; pass++)
            for (int t = 0; t < 3; t++)
                for (size_t i = f.profile.first[pass]; i < f.profile.first[pass + 1]; i++)
                    cr_assert_eq(qn_event_happened(&qn_profile_events(&f.profile, t)[i]),
                                 t < f.profile.passes[pass].n_threads);
        close_fixture(&f);
    }
}

/* As many of each kind as there are passes, or a token would seem to take more than it does. */
Test(profile, spans_behind_the_prompt_are_none_of_decode) {
    struct fixture f = {NULL};
    open_fixture(&f, "llama-f32.gguf", 1);
    run_profile(&f, 3);
    const size_t n_tokens = f.profile.n_tokens;
    cr_assert_eq(n_tokens, 4);
    for (size_t i = 0; i < n_tokens; i++) {
        const uint64_t end = f.profile.tokens[i].end, length = i == 0 ? 1000 : 10;
        qn_profile_span(&f.profile, QN_SPAN_SAMPLE, end - length, end);
    }
    struct qn_phase_times times;
    struct qn_error err;
    cr_assert_eq(qn_profile_phase(&f.profile, QN_PHASE_DECODE, &times, &err), QN_OK);
    cr_assert_float_eq(times.spans[QN_SPAN_SAMPLE], 30e-9, 1e-15);
    cr_assert_eq(qn_profile_phase(&f.profile, QN_PHASE_PREFILL, &times, &err), QN_OK);
    cr_assert_eq(times.spans[QN_SPAN_SAMPLE], 0);
    close_fixture(&f);
}

/* ---- statistics ------------------------------------------------------------------------- */

Test(statistics, quantiles) {
    const double sorted[5] = {1, 2, 4, 8, 16};
    cr_assert_eq(qn_quantile(sorted, 5, 0), 1);
    cr_assert_eq(qn_quantile(sorted, 5, 0.5), 4);
    cr_assert_eq(qn_quantile(sorted, 5, 1), 16);
    cr_assert_float_eq(qn_quantile(sorted, 5, 0.875), 12, 1e-12);
    cr_assert_eq(qn_quantile(sorted, 0, 0.5), 0);
}

/* Times as a machine gives them: a floor, a tail, and disturbances that last for some samples. */
static void make_samples(uint64_t seed, double scale, double *samples, int n) {
    struct qn_random random;
    double disturbed = 0;
    qn_random_seed(&random, seed);
    for (int i = 0; i < n; i++) {
        if (qn_random_unit(&random) < 0.05) disturbed = 0.3 * qn_random_unit(&random);
        disturbed *= 0.8;
        const double tail = -0.03 * log(1 - qn_random_unit(&random));
        samples[i] = scale * (1 + tail + disturbed);
    }
}

enum { SAMPLES = 300, PAIRS = 200 };

static int count_differences(double scale) {
    static double a[SAMPLES], b[SAMPLES];
    struct qn_comparison c;
    struct qn_error err;
    int n = 0;
    for (uint64_t pair = 0; pair < PAIRS; pair++) {
        make_samples(2 * pair, 1000, a, SAMPLES);
        make_samples(2 * pair + 1, 1000 * scale, b, SAMPLES);
        cr_assert_eq(qn_compare_medians(a, SAMPLES, b, SAMPLES, 0.95, pair, &c, &err), QN_OK);
        n += qn_differ(&c);
    }
    return n;
}

/* An interval of 95 % errs once in twenty: 10 of 200 on average, more than 22 in fewer than one of
 * 5000 runs (binomial). Seeds are fixed, so this is one run. */
Test(statistics, equals_do_not_differ) {
    cr_assert_leq(count_differences(1), 22, "%d", count_differences(1));
}

/* The tail alone spreads the median by 0.03 / sqrt(300) = 0.2 % of the scale; disturbances hold a
 * quarter of the samples, some five at a time, and spread it to 1 %. A tenth is far outside. */
Test(statistics, a_tenth_is_found) {
    cr_assert_eq(count_differences(1.1), PAIRS);
    cr_assert_eq(count_differences(0.9), PAIRS);
}

Test(statistics, few_samples_must_lie_apart) {
    const double a[4] = {10, 11, 12, 13}, b[4] = {13.5, 14, 15, 16}, c[4] = {12.5, 14, 15, 16};
    struct qn_comparison result;
    struct qn_error err;
    cr_assert_eq(qn_compare_medians(a, 4, b, 4, 0.95, 1, &result, &err), QN_OK);
    cr_assert(qn_differ(&result));
    cr_assert_eq(qn_compare_medians(a, 4, c, 4, 0.95, 1, &result, &err), QN_OK);
    cr_assert_not(qn_differ(&result));
    cr_assert_eq(qn_compare_medians(a, 3, b + 1, 3, 0.95, 1, &result, &err), QN_OK);
    cr_assert_not(qn_differ(&result), "three lie apart by chance in one of ten cases");
    cr_assert_eq(qn_compare_medians(a, 0, c, 4, 0.95, 1, &result, &err), QN_BAD_ARGUMENT);
}

/* ---- a kernel made slow ----------------------------------------------------------------- */

/* Kernels are a table of functions in the model: the test's own take their places, so the engine
 * has nothing for it. Each does the work of the real one, then burns time. */
static struct qn_kernels real;

/* Several times what a token takes without it, whatever kernels and machine: the machine's own
 * noise, a token that takes half as long in another run, must not hide it. */
static uint64_t burn_ns;

static void measure_burn(const struct fixture *f) {
    struct qn_phase_times times;
    struct qn_error err;
    cr_assert_eq(qn_profile_phase(&f->profile, QN_PHASE_DECODE, &times, &err), QN_OK);
    burn_ns = (uint64_t)fmax(300e3, 5 * times.pass.p50);
}

static void burn(void) {
    const uint64_t until = qn_clock_ns() + burn_ns;
    while (qn_clock_ns() < until) {
    }
}

static void slow_attention(const struct qn_attention *a) {
    real.attention[QN_CACHE_DEFAULT](a);
    burn();
}
static void slow_activation(const float *g, const float *u, int n, float *y) {
    real.activation[QN_ACTIVATION_SILU](g, u, n, y);
    burn();
}
static void slow_head(const struct qn_matmul *a) { /* no other product has so many rows */
    real.matvec[QN_PACK_F16](a);
    if (a->n1 - a->n0 > 300) burn();
}

static json_t *json_of(struct fixture *f) {
    struct qn_profile_about about = {.file = "tiny.gguf", .kv = "f16", .n_prompt = N_PROMPT};
    quern_model_info(f->model, &about.model);
    json_t *const json = json_pack("[o]", qn_profile_json(&f->profile, &about));
    cr_assert_not_null(json);
    return json;
}

static json_t *profile_with(void plant(struct qn_kernels *kernels)) {
    struct fixture f = {NULL};
    open_fixture(&f, "llama-f16.gguf", 1);
    struct qn_kernels *const kernels = &qn_model_of(f.model)->kernels;
    real = *kernels;
    if (plant) plant(kernels);
    run_profile(&f, 60);
    if (!plant) measure_burn(&f);
    json_t *const json = json_of(&f);
    close_fixture(&f);
    return json;
}

static void plant_attention(struct qn_kernels *k) {
    k->attention[QN_CACHE_DEFAULT] = slow_attention;
}
static void plant_activation(struct qn_kernels *k) {
    k->activation[QN_ACTIVATION_SILU] = slow_activation;
}
static void plant_head(struct qn_kernels *k) {
    k->matvec[QN_PACK_F16] = slow_head;
}

static const struct {
    void (*plant)(struct qn_kernels *kernels);
    const char *found;
} plants[] = {{plant_attention, "attention"}, {plant_activation, "gate_up"}, {plant_head, "head"}};

Test(diff, finds_what_was_made_slow) {
    json_t *const before = profile_with(NULL);
    for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
        json_t *const after = profile_with(plants[i].plant);
        struct qn_profile_diff diff;
        struct qn_error err = {QN_OK, ""};
        cr_assert_eq(qn_profile_diff(before, after, 0.02, &diff, &err), QN_OK, "%s", err.message);
        const struct qn_diff_phase *const decode = &diff.phases[QN_PHASE_DECODE];
        cr_assert_str_eq(diff.refusal, "");
        cr_assert(decode->present && decode->differs && decode->whole.b > decode->whole.a);
        cr_assert_str_eq(decode->rows[0].name, plants[i].found);
        cr_assert(decode->rows[0].differs);
        /* Each token burns at least once. What it takes without is a fifth of that at most. */
        const struct qn_comparison *const times = &decode->rows[0].times;
        cr_assert_geq(times->b - times->a, 0.8 * (double)burn_ns);
        qn_profile_diff_free(&diff);
        json_decref(after);
    }
    json_decref(before);
}

/* ---- slow tokens ------------------------------------------------------------------------ */

static const struct qn_slow_reading usual = {
    .ns = 3000000, .delay_ns = 10000, .khz = 3000000, .bytes = 100000000};

static void check_cause(struct qn_slow_reading token, const char *expected) {
    char text[320];
    qn_slow_explain(&token, &usual, text, sizeof text);
    cr_assert_str_eq(text, expected);
}

Test(slow, causes_are_named_by_what_they_explain) {
    struct qn_slow_reading t = usual;
    t.ns = 13000000;
    check_cause(t, "unknown");
    t.delay_ns = 9000000;
    t.switches = 3;
    check_cause(t, "preempted: a thread waited 9.0 ms for a processor (3 switches)");
    t.throttled_ns = 9500000;
    check_cause(t, "the CPU quota of its control group held it for 9.5 ms; preempted: a thread "
                   "waited 9.0 ms for a processor (3 switches)");
    t = usual;
    t.ns = 13000000;
    t.delay_ns = 500000; /* a twentieth of what is to be explained */
    t.major_faults = 41;
    check_cause(t, "41 pages read from storage (major faults)");
    t = usual;
    t.ns = 9500000;
    t.bytes = 300000000;
    check_cause(t, "a longer context: it read 300.0 MB, the median 100.0");
    t.bytes = usual.bytes;
    t.khz = 1000000;
    t.stolen_ns = 10000000;
    check_cause(t, "the host took processors away for about 10 ms (steal); clock at 1.00 GHz, "
                   "usually 3.00");
}

Test(slow, typical_is_the_median) {
    const struct qn_slow_reading readings[4] = {{.ns = 5, .bytes = 1},
                                                {.ns = 900, .bytes = 3, .switches = 9},
                                                {.ns = 7, .bytes = 2},
                                                {.ns = 11, .bytes = 8}};
    const struct qn_slow_reading typical = qn_slow_typical(readings, 3);
    cr_assert_eq(typical.ns, 7);
    cr_assert_eq(typical.bytes, 2);
    cr_assert_eq(typical.switches, 0);
    const struct qn_slow_reading even = qn_slow_typical(readings, 4);
    cr_assert_eq(even.ns, 9, "between 7 and 11");
    cr_assert_eq(even.bytes, 2, "between 2 and 3, a whole number");
}

/* Threads that share one processor wait for it, and the look says how long. */
static void *spin(void *until) {
    while (qn_clock_ns() < atomic_load((_Atomic uint64_t *)until)) {
    }
    return NULL;
}

Test(slow, a_shared_processor_shows) {
    struct qn_slow_watch watch;
    pthread_t threads[2];
    cpu_set_t before, one;
    const uint64_t time = 200 * 1000000u;
    _Atomic uint64_t until = UINT64_MAX;
    sched_getaffinity(0, sizeof before, &before);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &before)) cpu++;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one); /* new threads inherit it */
    for (int i = 0; i < 2; i++) cr_assert_eq(pthread_create(&threads[i], NULL, spin, &until), 0);
    qn_slow_watch_open(&watch);
    atomic_store(&until, qn_clock_ns() + time);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    const struct qn_slow_reading seen = qn_slow_watch_look(&watch);
    cr_assert_geq(seen.ns, time);
    /* Two threads that want all of one processor for 200 ms: the kernel takes turns. */
    cr_assert(seen.switches > 0, "nobody was taken off the processor");
    qn_slow_watch_close(&watch);
}

/* ---- what can be compared --------------------------------------------------------------- */

static const char *const synthetic_steps[] = {"qkv", "gate_up", "down"};

static json_t *synthetic(void) {
    json_t *const steps = json_array();
    for (size_t i = 0; i < sizeof synthetic_steps / sizeof *synthetic_steps; i++)
        json_array_append_new(steps,
                              json_pack("{s:s, s:s, s:i, s:{s:i}, s:[i, i, i, i, i]}", "phase",
                                        "decode", "name", synthetic_steps[i], "layer", 0, "wall_ns",
                                        "p50", 12, "samples_ns", 10, 11, 12, 13, 14));
    return json_pack(
        "[{s:i, s:{s:s, s:s, s:i, s:s, s:i}, s:{s:s, s:s, s:i, s:i, s:i, s:i}, s:{s:i, s:i, s:i, "
        "s:i, s:s}, s:[{s:s, s:[i, i, i, i, i]}], s:o}]",
        "quern_profile", QN_PROFILE_FORM, "host", "processor", "P", "microcode", "1", "processors",
        4, "isa", "avx2", "threads", 2, "model", "file", "f", "type", "Q4_0", "layers", 2, "width",
        64, "mlp_width", 128, "vocabulary", 99, "run", "prompt", 8, "decoded", 5, "ubatch", 512,
        "repetitions", 1, "kv", "f16", "phases", "phase", "decode", "samples_ns", 30, 33, 36, 39,
        42, "steps", steps);
}

static struct qn_profile_diff diff_with(const char *object, const char *member, json_t *value) {
    struct qn_profile_diff diff;
    struct qn_error err = {QN_OK, ""};
    json_t *const a = synthetic(), *const b = synthetic();
    cr_assert_not_null(a);
    json_object_set_new(json_object_get(json_array_get(b, 0), object), member, value);
    cr_assert_eq(qn_profile_diff(a, b, 0.02, &diff, &err), QN_OK, "%s", err.message);
    json_decref(a);
    json_decref(b);
    return diff;
}

Test(diff, says_what_is_not_comparable) {
    static const char *const refused[][3] = {
        {"host", "processor", "another processor: P and X"},
        {"host", "microcode", "another microcode: 1 and X"},
        {"model", "layers", "a model of another shape: layers: 2 and X"},
        {"run", "prompt", "another prompt: tokens: 8 and X"},
        {"run", "ubatch", "another ubatch: 512 and X"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct qn_profile_diff diff = diff_with(refused[i][0], refused[i][1], json_string("X"));
        cr_assert_str_eq(diff.refusal, refused[i][2]);
        qn_profile_diff_free(&diff);
    }
    struct qn_profile_diff diff = diff_with("host", "isa", json_string("avx512"));
    cr_assert_str_eq(diff.refusal, "");
    cr_assert_eq(diff.n_notes, 1);
    cr_assert_str_eq(diff.notes[0], "instruction set: avx2 and avx512");
    cr_assert_not(diff.phases[QN_PHASE_PREFILL].present);
    cr_assert(diff.phases[QN_PHASE_DECODE].present);
    cr_assert_not(diff.phases[QN_PHASE_DECODE].differs);
    qn_profile_diff_free(&diff);
}

Test(diff, refuses_what_is_no_profile) {
    struct qn_profile_diff diff;
    struct qn_error err;
    json_t *const a = synthetic(), *const other = json_pack("[{s:i}]", "quern_profile", 1);
    cr_assert_eq(qn_profile_diff(a, other, 0.02, &diff, &err), QN_BAD_FILE);
    json_object_set_new(json_array_get(a, 0), "quern_profile", json_integer(QN_PROFILE_FORM + 1));
    cr_assert_eq(qn_profile_diff(a, a, 0.02, &diff, &err), QN_BAD_FILE);
    json_decref(a);
    json_decref(other);
}

/* Samples that agree to a thousandth. */
static json_t *samples_near(double value) {
    json_t *const samples = json_array();
    for (int i = 0; i < 20; i++) json_array_append_new(samples, json_real(value + i % 7));
    return samples;
}

/* A run in which step i of three takes times[i] ns. */
static json_t *run_of(const double times[3]) {
    json_t *const one = synthetic(), *const run = json_incref(json_array_get(one, 0));
    json_decref(one);
    for (size_t i = 0; i < 3; i++)
        json_object_set_new(json_array_get(json_object_get(run, "steps"), i), "samples_ns",
                            samples_near(times[i]));
    json_object_set_new(json_array_get(json_object_get(run, "phases"), 0), "samples_ns",
                        samples_near(times[0] + times[1] + times[2]));
    return run;
}

static bool differ(json_t *a, json_t *b, const char **first) {
    struct qn_profile_diff diff;
    struct qn_error err = {QN_OK, ""};
    cr_assert_eq(qn_profile_diff(a, b, 0.03, &diff, &err), QN_OK, "%s", err.message);
    const struct qn_diff_phase *const decode = &diff.phases[QN_PHASE_DECODE];
    const bool differ = decode->differs;
    for (size_t i = 0; first && i < sizeof synthetic_steps / sizeof *synthetic_steps; i++)
        if (strcmp(decode->rows[0].name, synthetic_steps[i]) == 0) *first = synthetic_steps[i];
    qn_profile_diff_free(&diff);
    json_decref(a);
    json_decref(b);
    return differ;
}

/* All steps slower by so many percent, in n runs. */
static json_t *runs_of(const int *percents, int n) {
    json_t *const runs = json_array();
    for (int r = 0; r < n; r++) {
        const double time = 100000 + 1000 * percents[r];
        json_array_append_new(runs, run_of((double[]){time, 3 * time, 2 * time}));
    }
    return runs;
}

static bool runs_differ(const int *a, const int *b, int n) {
    return differ(runs_of(a, n), runs_of(b, n), NULL);
}

/* Runs of one build differ by a tenth, every step alike. */
Test(diff, what_all_steps_share_is_the_machine_s) {
    const int a[5] = {0, 10, 2, 8, 5}, b[5] = {9, 4, 1, 6, 11}, slow[5] = {20, 28, 22, 30, 25};
    cr_assert_not(runs_differ(a, b, 1));
    cr_assert_not(runs_differ(a, b, 5));
    cr_assert(runs_differ(a, slow, 1), "no machine drifts by a fifth");
    cr_assert(runs_differ(a, slow, 5));
    cr_assert_not(runs_differ(a, slow, 3), "three of each say nothing");
}

/* Whatever keeps two files from being compared keeps runs of one file from being one. */
Test(diff, runs_of_a_file_repeat_the_first) {
    static const char *const members[][2] = {
        {"host", "processor"}, {"host", "threads"}, {"host", "prefill_threads"},
        {"host", "isa"},       {"model", "width"},  {"model", "type"},
        {"run", "prompt"},     {"run", "ubatch"},   {"run", "kv"},
    };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        struct qn_profile_diff diff;
        struct qn_error err = {QN_OK, ""};
        json_t *const good = runs_of((int[]){0, 1, 2}, 3), *const bad =
                                                               runs_of((int[]){0, 1, 2}, 3);
        json_object_set_new(json_object_get(json_array_get(bad, 2), members[i][0]), members[i][1],
                            json_string("X"));
        cr_assert_eq(qn_profile_diff(good, bad, 0.03, &diff, &err), QN_BAD_FILE, "%s",
                     members[i][1]);
        cr_assert_not_null(strstr(err.message, "the second file holds runs"));
        cr_assert_not_null(strstr(err.message, "runs 1 and 3 have "));
        cr_assert_not_null(strstr(err.message, "and X"));
        cr_assert_eq(qn_profile_diff(bad, good, 0.03, &diff, &err), QN_BAD_FILE);
        json_decref(good);
        json_decref(bad);
    }
}

/* Beside a side of one run, too. */
Test(diff, all_runs_of_a_side_count) {
    struct qn_profile_diff diff;
    struct qn_error err = {QN_OK, ""};
    json_t *const one = runs_of((int[]){0}, 1), *const four = runs_of((int[]){0, 50, 50, 50}, 4);
    cr_assert_eq(qn_profile_diff(one, four, 0.03, &diff, &err), QN_OK, "%s", err.message);
    const struct qn_comparison *const whole = &diff.phases[QN_PHASE_DECODE].whole;
    cr_assert_float_eq(whole->b / whole->a, 1.5, 0.01);
    qn_profile_diff_free(&diff);
    cr_assert_eq(qn_profile_diff(four, one, 0.03, &diff, &err), QN_OK, "%s", err.message);
    cr_assert_float_eq(whole->a / whole->b, 1.5, 0.01);
    qn_profile_diff_free(&diff);
    json_decref(one);
    json_decref(four);
}

/* Of one run a side: a step that changed is found on a machine that did not change, got slower and
 * got faster. */
Test(diff, a_step_stands_out_from_what_all_share) {
    const double drifts[3] = {1, 1.08, 0.97};
    for (int i = 0; i < 3; i++) {
        const double time = 100000 * drifts[i];
        const char *first = "";
        json_t *const a = json_array(), *const b = json_array();
        json_array_append_new(a, run_of((double[]){100000, 300000, 200000}));
        json_array_append_new(b, run_of((double[]){time, 1.3 * 3 * time, 2 * time}));
        cr_assert(differ(a, b, &first));
        cr_assert_str_eq(first, "gate_up");
    }
}
