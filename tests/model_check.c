/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the tiny models of tests/data and holds them to transformers' logits and texts, and to the
 * promise of equal bits for any number of threads, any ubatch and any mix of sequences.
 * usage: model_check DATA [FILTER]; QUERN_ISA chooses the kernels. A plain program, so that it
 * also runs under emulators and sanitizers. Ends with "N passed, N failed".
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc_meter.h"
#include "npy.h"
#include "quern.h"

enum { MAX_IDS = 64, PATH_SIZE = 512, LINE_SIZE = 4096 };

static struct {
    const char *data; /* folder */
    int passed, failed;
} run;

static void check(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void check(bool ok, const char *format, ...) {
    va_list arguments;
    run.passed += ok;
    run.failed += !ok;
    if (ok) return;
    va_start(arguments, format);
    printf("FAILED: ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

/* ---- models and sessions ---------------------------------------------------------------- */

static struct quern_model *open_model(const char *file, int n_threads) {
    char path[PATH_SIZE];
    struct quern_error err;
    struct quern_model *model;
    const struct quern_model_options options = {.n_threads = n_threads};
    snprintf(path, sizeof path, "%s/models/%s", run.data, file);
    if (quern_model_open(path, &options, &model, &err) == QUERN_OK) return model;
    check(false, "%s: %s", path, err.message);
    return NULL;
}

static struct quern_session *new_session(struct quern_model *model, int n_ubatch, int n_sequences,
                                         const char *kv) {
    struct quern_error err;
    struct quern_session *session;
    const struct quern_session_options options = {.n_ctx = 192,
                                                  .n_ubatch = n_ubatch,
                                                  .n_sequences = n_sequences,
                                                  .n_logits = 128,
                                                  .kv_type_k = kv,
                                                  .kv_type_v = kv};
    if (quern_session_new(model, &options, &session, &err) == QUERN_OK) return session;
    check(false, "new session: %s", err.message);
    exit(1);
}

static void eval(struct quern_session *session, const int32_t *ids, const int32_t *sequences,
                 size_t n) {
    bool logits[2 * MAX_IDS];
    struct quern_error err;
    for (size_t i = 0; i < n; i++) logits[i] = true;
    const struct quern_batch batch = {
        .n = n, .tokens = ids, .sequences = sequences, .logits = logits};
    if (quern_session_eval(session, &batch, &err) != QUERN_OK)
        check(false, "eval: %s", err.message);
}

/* ---- against transformers --------------------------------------------------------------- */

struct difference {
    double max; /* of |ours - theirs|, in standard deviations of theirs */
    double kl;  /* KL(theirs || ours) */
};

static double log_sum_exp(const float *x, size_t n) {
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) max = fmax(max, x[i]);
    for (size_t i = 0; i < n; i++) sum += exp(x[i] - max);
    return max + log(sum);
}

static struct difference compare_row(const float *ours, const float *theirs, size_t n) {
    struct difference d = {0};
    double mean = 0, variance = 0;
    const double sum_ours = log_sum_exp(ours, n), sum_theirs = log_sum_exp(theirs, n);
    for (size_t i = 0; i < n; i++) mean += theirs[i] / (double)n;
    for (size_t i = 0; i < n; i++) variance += (theirs[i] - mean) * (theirs[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double log_p = theirs[i] - sum_theirs, log_q = ours[i] - sum_ours;
        d.kl += exp(log_p) * (log_p - log_q);
        const double away = fabs((double)ours[i] - theirs[i]) / sqrt(variance);
        if (!(away <= d.max)) d.max = away;
    }
    return d;
}

/* Mean over the positions of KL(theirs || ours). */
static double mean_kl(const struct npy *ours, const struct npy *theirs) {
    double kl = 0;
    for (size_t i = 0; i < theirs->rows; i++)
        kl += compare_row(ours->f32 + i * ours->columns, theirs->f32 + i * theirs->columns,
                          theirs->columns)
                  .kl /
              (double)theirs->rows;
    return kl;
}

/* Float weights: within 1e-3 of the logits' deviation (BF16, whose kernels may round inputs to
 * 8 bits of mantissa: 2^-8 of it for each of the four products in a row of two layers and the
 * head, in square 9 of them). Quantized weights: transformers with inputs rounded to int8 by the
 * same rule rounds alike (mean KL of some 1e-13), but where float errors carry an input over the
 * boundary between two steps; from there on a row is another draw of the same noise, so the
 * distance stays below what the rounding itself costs. */
static void check_golden(struct quern_model *model, const char *name, const char *type,
                         const struct npy *ids, const struct npy *positions,
                         const struct npy *golden) {
    struct quern_session *const session = new_session(model, 0, 1, "f32");
    struct npy ours = {.rows = golden->rows, .columns = golden->columns};
    double away = 0;
    char path[PATH_SIZE];
    ours.data = malloc(ours.rows * ours.columns * sizeof(float));
    eval(session, ids->i32, NULL, ids->rows);
    for (size_t i = 0; i < positions->rows; i++) {
        float *const row = ours.f32 + i * ours.columns;
        memcpy(row, quern_session_logits(session, (size_t)positions->i32[i]),
               ours.columns * sizeof(float));
        const double d = compare_row(row, golden->f32 + i * golden->columns, golden->columns).max;
        if (!(d <= away)) away = d;
    }
    const double kl = mean_kl(&ours, golden);
    snprintf(path, sizeof path, "%s/golden/%s.rounded.npy", run.data, name);
    printf("%-20s max difference %.2e deviations, mean KL %.2e", name, away, kl);
    if (access(path, R_OK) == 0) {
        struct npy rounded = npy_read(path, "f4");
        const double cost = mean_kl(&rounded, golden), from_rounded = mean_kl(&ours, &rounded);
        check(from_rounded <= cost,
              "%s: mean KL %.3g from transformers with rounded inputs; the rounding costs %.3g",
              name, from_rounded, cost);
        printf(" (rounding costs %.2e; from rounded %.2e)", cost, from_rounded);
        npy_free(&rounded);
    } else {
        const double allowed = strcmp(type, "bf16") ? 1e-3 : 3 * sqrt(9) / 256;
        check(away < allowed, "%s: logits differ by %.3g deviations; expected under %.3g", name,
              away, allowed);
    }
    printf("\n");
    npy_free(&ours);
    quern_session_free(session);
}

/* ---- equal bits ------------------------------------------------------------------------- */

/* Evaluates the ids in calls of `step` tokens, in a session of `ubatch`, and compares every row of
 * logits with those of all at once. */
static void check_chunks(struct quern_model *model, const char *name, const struct npy *ids,
                         const char *kv, int ubatch, size_t step, const float *expected,
                         size_t n_vocab) {
    struct quern_session *const session = new_session(model, ubatch, 1, kv);
    bool equal = true;
    for (size_t first = 0; first < ids->rows; first += step) {
        const size_t n = ids->rows - first < step ? ids->rows - first : step;
        eval(session, ids->i32 + first, NULL, n);
        for (size_t i = 0; i < n; i++)
            equal = equal && memcmp(quern_session_logits(session, i),
                                    expected + (first + i) * n_vocab, n_vocab * sizeof(float)) == 0;
    }
    check(equal, "%s: KV %s, ubatch %d, %zu tokens a call: bits differ from all at once", name, kv,
          ubatch, step);
    quern_session_free(session);
}

static float *all_logits(struct quern_model *model, const struct npy *ids, const char *kv,
                         size_t n_vocab) {
    float *const all = malloc(ids->rows * n_vocab * sizeof *all);
    struct quern_session *const session = new_session(model, 0, 1, kv);
    eval(session, ids->i32, NULL, ids->rows);
    for (size_t i = 0; i < ids->rows; i++)
        memcpy(all + i * n_vocab, quern_session_logits(session, i), n_vocab * sizeof *all);
    quern_session_free(session);
    return all;
}

/* Two sequences interleaved, one of them truncated and refilled, give what each gives alone. */
static void check_sequences(struct quern_model *model, const char *name, const struct npy *ids,
                            const float *expected, size_t n_vocab) {
    struct quern_session *const session = new_session(model, 32, 2, "f16");
    int32_t tokens[2 * MAX_IDS], sequences[2 * MAX_IDS];
    bool equal = true;
    const size_t n = ids->rows;
    eval(session, ids->i32, NULL, n / 2); /* will be dropped from position 3 on */
    quern_session_truncate(session, 0, 3);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        tokens[total] = ids->i32[i];
        sequences[total++] = 1;
        if (i < 3) continue;
        tokens[total] = ids->i32[i];
        sequences[total++] = 0;
    }
    eval(session, tokens, sequences, total);
    size_t next[2] = {3, 0};
    for (size_t i = 0; i < total; i++)
        equal = equal &&
                memcmp(quern_session_logits(session, i), expected + next[sequences[i]]++ * n_vocab,
                       n_vocab * sizeof(float)) == 0;
    check(equal, "%s: two sequences together give other bits than alone", name);
    check(quern_session_length(session, 0) == (int)n && quern_session_length(session, 1) == (int)n,
          "%s: sequences hold %d and %d positions; expected %zu", name,
          quern_session_length(session, 0), quern_session_length(session, 1), n);
    quern_session_free(session);
}

static void check_bits(struct quern_model *model, const char *file, const char *name,
                       const struct npy *ids) {
    static const char *const kinds[] = {"f16", "f32", "q8_0"};
    static const size_t steps[] = {1, 7, 17};
    struct quern_model_info info;
    quern_model_info(model, &info);
    const size_t n_vocab = (size_t)info.n_vocab;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        if (!strcmp(kinds[k], "q8_0") && info.head_size % 32) continue;
        float *const expected = all_logits(model, ids, kinds[k], n_vocab);
        for (size_t s = 0; s < sizeof steps / sizeof *steps; s++)
            check_chunks(model, name, ids, kinds[k], 64, steps[s], expected, n_vocab);
        check_chunks(model, name, ids, kinds[k], 5, ids->rows, expected, n_vocab);
        if (k == 0) {
            check_sequences(model, name, ids, expected, n_vocab);
            for (int threads = 1; threads <= 4; threads++) {
                struct quern_model *const other = open_model(file, threads);
                check_chunks(other, name, ids, kinds[k], 64, ids->rows, expected, n_vocab);
                check_chunks(other, name, ids, kinds[k], 64, 1, expected, n_vocab);
                quern_model_close(other);
            }
        }
        free(expected);
    }
}

/* ---- limits ----------------------------------------------------------------------------- */

static void check_refused(struct quern_session *session, const char *name, const char *what,
                          struct quern_batch batch, enum quern_status expected) {
    struct quern_error err = {0};
    const int length = quern_session_length(session, 0);
    const enum quern_status status = quern_session_eval(session, &batch, &err);
    check(status == expected && err.message[0] && quern_session_length(session, 0) == length,
          "%s: %s gave status %d '%s'; expected %d and nothing changed", name, what, status,
          err.message, expected);
}

static void check_limits(struct quern_model *model, const char *name) {
    struct quern_session *const session = new_session(model, 16, 1, NULL);
    int32_t many[193] = {0}, wrong = 1 << 30, negative = -1, gap = 5, sequence = 1;
    const int32_t one = 1;
    check_refused(session, name, "a batch longer than the context",
                  (struct quern_batch){.n = 193, .tokens = many}, QUERN_CONTEXT_FULL);
    check_refused(session, name, "a token beyond the vocabulary",
                  (struct quern_batch){.n = 1, .tokens = &wrong}, QUERN_BAD_ARGUMENT);
    check_refused(session, name, "a negative token",
                  (struct quern_batch){.n = 1, .tokens = &negative}, QUERN_BAD_ARGUMENT);
    check_refused(session, name, "a position that leaves a gap",
                  (struct quern_batch){.n = 1, .tokens = &one, .positions = &gap},
                  QUERN_BAD_ARGUMENT);
    check_refused(session, name, "a sequence that is not there",
                  (struct quern_batch){.n = 1, .tokens = &one, .sequences = &sequence},
                  QUERN_BAD_ARGUMENT);
    const struct quern_batch full = {.n = 192, .tokens = many};
    check(quern_session_eval(session, &full, NULL) == QUERN_OK, "%s: the context does not fill",
          name);
    check_refused(session, name, "a token after a full context",
                  (struct quern_batch){.n = 1, .tokens = &one}, QUERN_CONTEXT_FULL);
    quern_session_free(session);
}

static void check_allocations(struct quern_model *model, const char *name) {
    struct quern_session *const session = new_session(model, 16, 1, NULL);
    const int32_t prompt[20] = {0}, token = 3;
    eval(session, prompt, NULL, 20);
    alloc_meter_reset();
    for (int i = 0; i < 100; i++) eval(session, &token, NULL, 1);
    check(alloc_meter_calls() == 0, "%s: %zu allocations in 100 decode steps; expected none", name,
          alloc_meter_calls());
    quern_session_free(session);
}

/* ---- text ------------------------------------------------------------------------------- */

/* Undoes \n, \t and \\ in place. */
static void unescape(char *text) {
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from != '\\') {
            *to++ = *from;
            continue;
        }
        from++;
        *to++ = (char)(*from == 'n' ? '\n' : *from == 't' ? '\t' : *from);
    }
    *to = '\0';
}

/* Greedy continuation of a prompt as text, until an end token. */
static void generate(struct quern_model *model, const char *prompt, char *text, size_t capacity) {
    struct quern_session *const session = new_session(model, 0, 1, NULL);
    struct quern_model_info info;
    struct quern_text_stream stream = {0};
    int32_t ids[MAX_IDS], next;
    size_t n, used = 0;
    quern_model_info(model, &info);
    text[0] = '\0';
    if (quern_encode(model, prompt, strlen(prompt), QUERN_ENCODE_BOS | QUERN_ENCODE_SPECIAL, ids,
                     MAX_IDS, &n, NULL) != QUERN_OK)
        n = 0;
    for (int step = 0; step < 60 && n; step++) {
        eval(session, ids, NULL, n);
        const float *const logits = quern_session_logits(session, n - 1);
        next = 0;
        for (int i = 1; i < info.n_vocab; i++)
            if (logits[i] > logits[next]) next = i;
        if (quern_token_is_end(model, next) || used + 64 > capacity) break;
        used += quern_text_next(&stream, model, next, false, text + used, capacity - used - 1);
        text[used] = '\0';
        ids[0] = next;
        n = 1;
    }
    quern_session_free(session);
}

static void check_greedy(struct quern_model *model, const char *name) {
    char path[PATH_SIZE], line[LINE_SIZE], text[LINE_SIZE];
    snprintf(path, sizeof path, "%s/golden/%s.greedy.tsv", run.data, name);
    FILE *const file = fopen(path, "r");
    if (!file) return;
    while (fgets(line, sizeof line, file)) {
        char *const prompt = strtok(line, "\t"), *const expected = strtok(NULL, "\t");
        unescape(prompt);
        unescape(expected);
        generate(model, prompt, text, sizeof text);
        check(strcmp(text, expected) == 0, "%s: '%s' continues '%s'; expected '%s'", name, prompt,
              text, expected);
    }
    fclose(file);
}

/* ---- the table of models ---------------------------------------------------------------- */

static void check_model(const char *name, const char *file, const char *type, const char *logits,
                        const struct npy *ids, const struct npy *positions) {
    char path[PATH_SIZE];
    struct quern_model *const model = open_model(file, 0);
    if (!model) return;
    snprintf(path, sizeof path, "%s/golden/%s", run.data, logits);
    struct npy golden = npy_read(path, "f4");
    check_golden(model, name, type, ids, positions, &golden);
    check_bits(model, file, name, ids);
    check_limits(model, name);
    check_allocations(model, name);
    check_greedy(model, name);
    npy_free(&golden);
    quern_model_close(model);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: model_check DATA [FILTER]\n");
        return 2;
    }
    run.data = argv[1];
    char path[PATH_SIZE], line[LINE_SIZE];
    snprintf(path, sizeof path, "%s/golden/ids.npy", run.data);
    struct npy ids = npy_read(path, "i4");
    snprintf(path, sizeof path, "%s/golden/positions.npy", run.data);
    struct npy positions = npy_read(path, "i4");
    snprintf(path, sizeof path, "%s/golden/models.tsv", run.data);
    FILE *const table = fopen(path, "r");
    if (!table) {
        fprintf(stderr, "%s: cannot open\n", path);
        return 1;
    }
    while (fgets(line, sizeof line, table)) {
        const char *const name = strtok(line, "\t"), *const file = strtok(NULL, "\t");
        const char *const type = strtok(NULL, "\t"), *const logits = strtok(NULL, "\t\n");
        if (!logits || (argc > 2 && !strstr(name, argv[2]))) continue;
        check_model(name, file, type, logits, &ids, &positions);
    }
    fclose(table);
    npy_free(&ids);
    npy_free(&positions);
    printf("%d passed, %d failed\n", run.passed, run.failed);
    return run.failed != 0;
}
