/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs the tiny models of tests/data: the GGUF files of every stored type, or the folders and
 * their GGUF twins in the order of the five stages, from the simplest family to the richest. Each
 * is held to transformers' logits and texts and to the promise of equal bits.
 * usage: model_check DATA types|stages [FILTER]; QUERN_ISA chooses the kernels. A plain program, so
 * that it also runs under emulators and sanitizers. Ends with "N passed, N failed".
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checks.h"

static struct { int passed, failed; } run;

void check(bool ok, const char *format, ...) {
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

int check_result(void) {
    printf("%d passed, %d failed\n", run.passed, run.failed);
    return run.failed != 0;
}

struct quern_model *open_model(const char *path, int n_threads, int n_threads_batch) {
    struct quern_error err;
    struct quern_model *model;
    const struct quern_model_options options = {.n_threads = n_threads,
                                                .n_threads_batch = n_threads_batch};
    if (quern_model_open(path, &options, &model, &err) == QUERN_OK) return model;
    check(false, "%s: %s", path, err.message);
    return NULL;
}

struct quern_session *new_session(struct quern_model *model, int n_ubatch, int n_sequences,
                                  const char *kv) {
    struct quern_error err;
    struct quern_session *session;
    char k[8] = "f16", v[8] = "f16";
    if (kv) {
        const char *const slash = strchr(kv, '/');
        snprintf(k, sizeof k, "%.*s", (int)strcspn(kv, "/"), kv);
        snprintf(v, sizeof v, "%s", slash ? slash + 1 : kv);
    }
    const struct quern_session_options options = {.n_ctx = N_CTX,
                                                  .n_ubatch = n_ubatch,
                                                  .n_sequences = n_sequences,
                                                  .n_logits = 128,
                                                  .kv_type_k = k,
                                                  .kv_type_v = v};
    if (quern_session_new(model, &options, &session, &err) == QUERN_OK) return session;
    check(false, "new session: %s", err.message);
    exit(1);
}

void eval(struct quern_session *session, const int32_t *ids, const int32_t *sequences, size_t n) {
    bool logits[2 * MAX_IDS];
    struct quern_error err;
    for (size_t i = 0; i < n; i++) logits[i] = true;
    const struct quern_batch batch = {
        .n = n, .tokens = ids, .sequences = sequences, .logits = logits};
    if (quern_session_eval(session, &batch, &err) != QUERN_OK)
        check(false, "eval: %s", err.message);
}

/* ---- the tables ------------------------------------------------------------------------- */

static void check_model(const struct subject *subject, const struct golden *golden,
                        const char *prefix) {
    struct quern_model *const model = open_model(subject->path, 0, 0);
    if (!model) return;
    check_logits(model, subject, golden, prefix);
    check_bits(model, subject, &golden->ids);
    check_long(subject, &golden->ids);
    check_limits(model, subject->name);
    check_greedy(model, subject);
    check_words(model, subject);
    quern_model_close(model);
}

/* The files in golden/; beside LOGITS some of the same name with other ends. */
static void find_golden(struct subject *subject, const char *data, const char *logits) {
    const int stem = (int)(strlen(logits) - strlen(".logits.npy"));
    snprintf(subject->logits, PATH_SIZE, "%s/golden/%s", data, logits);
    snprintf(subject->rounded, PATH_SIZE, "%s/golden/%.*s.rounded.npy", data, stem, logits);
    snprintf(subject->greedy, PATH_SIZE, "%s/golden/%.*s.greedy.tsv", data, stem, logits);
    snprintf(subject->words, PATH_SIZE, "%s/golden/words.tsv", data);
}

/* Splits a line at its tabs into at most n fields; returns how many there are. */
static int split(char *line, char **fields, int n) {
    int found = 0;
    line[strcspn(line, "\n")] = '\0';
    for (char *field = strtok(line, "\t"); field && found < n; field = strtok(NULL, "\t"))
        fields[found++] = field;
    return found;
}

/* golden/models.tsv: name, file, type, logits */
static void check_file(const char *data, char **fields, const struct golden *golden) {
    struct subject subject;
    snprintf(subject.name, sizeof subject.name, "%s", fields[0]);
    snprintf(subject.path, sizeof subject.path, "%s/models/%s", data, fields[1]);
    snprintf(subject.type, sizeof subject.type, "%s", fields[2]);
    snprintf(subject.file, sizeof subject.file, "%s", fields[1]);
    find_golden(&subject, data, fields[3]);
    check_model(&subject, golden, "");
}

/* hf/models.tsv: folder, stage, model_type, type, logits, GGUF file or "-" */
static void check_folder(const char *data, char **fields, const struct golden *golden) {
    struct subject subject;
    char prefix[32];
    snprintf(prefix, sizeof prefix, strlen(fields[1]) == 1 ? "stage %s  " : "%-7s  ", fields[1]);
    snprintf(subject.type, sizeof subject.type, "%s", fields[3]);
    find_golden(&subject, data, fields[4]);
    snprintf(subject.name, sizeof subject.name, "hf/%s", fields[0]);
    snprintf(subject.path, sizeof subject.path, "%s/hf/%s", data, fields[0]);
    snprintf(subject.file, sizeof subject.file, "hf/%s", fields[0]);
    check_model(&subject, golden, prefix);
    if (strcmp(fields[5], "-") == 0) return;
    snprintf(subject.name, sizeof subject.name, "%s", fields[5]);
    snprintf(subject.file, sizeof subject.file, "%s", fields[5]);
    snprintf(subject.path, sizeof subject.path, "%s/models/%s", data, fields[5]);
    check_model(&subject, golden, prefix);
}

struct table {
    const char *name, *path; /* path: under DATA */
    int n_fields;
    void (*check)(const char *data, char **fields, const struct golden *golden);
};

static const struct table tables[] = {
    {"types", "golden/models.tsv", 4, check_file},
    {"stages", "hf/models.tsv", 6, check_folder},
};

static const struct table *find_table(const char *name) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (strcmp(tables[i].name, name) == 0) return &tables[i];
    return NULL;
}

static bool check_table(const struct table *table, const char *data, const char *filter,
                        const struct golden *golden) {
    char path[PATH_SIZE], line[LINE_SIZE], *fields[6];
    snprintf(path, sizeof path, "%s/%s", data, table->path);
    FILE *const file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s: cannot open\n", path);
        return false;
    }
    while (fgets(line, sizeof line, file))
        if (split(line, fields, table->n_fields) == table->n_fields &&
            (!filter || strstr(fields[0], filter)))
            table->check(data, fields, golden);
    fclose(file);
    return true;
}

int main(int argc, char **argv) {
    const struct table *const table = argc > 2 ? find_table(argv[2]) : NULL;
    if (!table) {
        fprintf(stderr, "usage: model_check DATA types|stages [FILTER]\n");
        return 2;
    }
    const char *const data = argv[1], *const filter = argc > 3 ? argv[3] : NULL;
    char path[PATH_SIZE];
    struct golden golden;
    snprintf(path, sizeof path, "%s/golden/ids.npy", data);
    golden.ids = npy_read(path, "i4");
    snprintf(path, sizeof path, "%s/golden/positions.npy", data);
    golden.positions = npy_read(path, "i4");
    if (!check_table(table, data, filter, &golden)) return 1;
    npy_free(&golden.ids);
    npy_free(&golden.positions);
    return check_result();
}
