/* SPDX-License-Identifier: Apache-2.0
 *
 * quern bench compare: two results of bench -o json or jsonl, test by test. Results of llama-bench
 * have the same members and can be compared too.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_load.h"
#include "options.h"
#include "output.h"
#include "percent.h"
#include "profile_commands.h"
#include "report/json_text.h"
#include "report/statistics.h"

struct compare_args {
    const char *a, *b, *fail_above;
    bool anyway, json;
};

#define COMPARE(field) offsetof(struct compare_args, field)

static const struct option compare_options[] = {
    {"--fail-above", OPTION_TEXT, "PERCENT", 0, 0, COMPARE(fail_above), false, true,
     "exit status 1 if a test got slower by more than this, beyond doubt, or is in one file alone"},
    {"--anyway", OPTION_FLAG, NULL, 0, 0, COMPARE(anyway), false, true,
     "compare results of different processors"},
    {"--json", OPTION_FLAG, NULL, 0, 0, COMPARE(json), false, true, "as JSON"},
};

/* ---- which tests are alike -------------------------------------------------------------- */

static const char *const same[] = {"n_prompt", "n_gen", "n_depth"};
/* Of tests alike, those that agree in these too belong together. */
static const char *const settings[] = {"n_threads", "n_batch", "n_ubatch",  "type_k",
                                       "type_v",    "isa",     "model_type"};
static const char *const noted[] = {"build_commit", "model_filename", "model_type",
                                    "n_threads",    "n_batch",        "n_ubatch",
                                    "type_k",       "type_v",         "isa"};

/* Results of llama-bench, which runs one sequence, do not tell. */
static long long parallel_of(const json_t *test) {
    const json_t *const n = json_object_get(test, "n_parallel");
    return n != NULL ? json_integer_value(n) : 1;
}

static bool alike(const json_t *a, const json_t *b) {
    for (size_t i = 0; i < COUNT(same); i++)
        if (json_integer_value(json_object_get(a, same[i])) !=
            json_integer_value(json_object_get(b, same[i])))
            return false;
    return parallel_of(a) == parallel_of(b);
}

/* What only one of the programs writes tells nothing apart. */
static bool same_member(const json_t *a, const json_t *b, const char *name) {
    const json_t *const x = json_object_get(a, name), *const y = json_object_get(b, name);
    return x == NULL || y == NULL || json_equal(x, y);
}

static bool same_settings(const json_t *a, const json_t *b) {
    for (size_t i = 0; i < COUNT(settings); i++)
        if (!same_member(a, b, settings[i])) return false;
    return true;
}

#define ALONE SIZE_MAX

struct pairs {
    const json_t *a, *b; /* arrays of tests */
    size_t *of_a, *of_b; /* [tests of a], [tests of b]: the partner's index, or ALONE */
};

/* In the order of a, each with the first of b that is still alone. */
static void pair_up(struct pairs *pairs, bool by_settings) {
    size_t i, j;
    const json_t *test, *other;
    json_array_foreach(pairs->a, i, test) {
        json_array_foreach(pairs->b, j, other) {
            if (pairs->of_a[i] != ALONE || pairs->of_b[j] != ALONE || !alike(test, other) ||
                (by_settings && !same_settings(test, other)))
                continue;
            pairs->of_a[i] = j;
            pairs->of_b[j] = i;
        }
    }
}

/* Those of the same settings first: what is left may differ in what is being compared. */
static bool find_pairs(const json_t *a, const json_t *b, struct pairs *pairs) {
    const size_t n = json_array_size(a), m = json_array_size(b);
    *pairs = (struct pairs){a, b, calloc(n, sizeof *pairs->of_a), calloc(m, sizeof *pairs->of_b)};
    if (pairs->of_a == NULL || pairs->of_b == NULL) {
        out_error("no memory");
        return false;
    }
    for (size_t i = 0; i < n; i++) pairs->of_a[i] = ALONE;
    for (size_t j = 0; j < m; j++) pairs->of_b[j] = ALONE;
    pair_up(pairs, true);
    pair_up(pairs, false);
    return true;
}

static double *samples_of(const json_t *test, size_t *n) {
    const json_t *const array = json_object_get(test, "samples_ns");
    *n = json_array_size(array);
    double *const samples = calloc(*n + 1, sizeof *samples);
    for (size_t i = 0; samples != NULL && i < *n; i++)
        samples[i] = json_number_value(json_array_get(array, i));
    return samples;
}

static bool compare_test(const json_t *a, const json_t *b, struct qn_comparison *out) {
    size_t n, m;
    struct qn_error err = {.message = "no memory"};
    double *const x = samples_of(a, &n), *const y = samples_of(b, &m);
    const bool done =
        x != NULL && y != NULL && qn_compare_medians(x, n, y, m, 0.95, 0, out, &err) == QN_OK;
    free(x);
    free(y);
    if (!done) out_error("%s", err.message);
    return done;
}

/* ---- report ----------------------------------------------------------------------------- */

static void test_name(const json_t *test, char *name, size_t size) {
    const long long prompt = json_integer_value(json_object_get(test, "n_prompt"));
    const long long gen = json_integer_value(json_object_get(test, "n_gen"));
    const long long depth = json_integer_value(json_object_get(test, "n_depth"));
    char both[48], parallel[24] = "", deep[32] = "";
    if (prompt > 0 && gen > 0)
        snprintf(both, sizeof both, "pp%lld+tg%lld", prompt, gen);
    else
        snprintf(both, sizeof both, "%s%lld", prompt > 0 ? "pp" : "tg", prompt > 0 ? prompt : gen);
    if (parallel_of(test) > 1) snprintf(parallel, sizeof parallel, " x%lld", parallel_of(test));
    if (depth > 0) snprintf(deep, sizeof deep, " @ d%lld", depth);
    snprintf(name, size, "%s%s%s", both, parallel, deep);
}

static double tokens_of(const json_t *test) {
    return (double)parallel_of(test) *
           (double)(json_integer_value(json_object_get(test, "n_prompt")) +
                    json_integer_value(json_object_get(test, "n_gen")));
}

static void print_row(const json_t *test, const struct qn_comparison *c) {
    char name[96], interval[48] = "      -";
    test_name(test, name, sizeof name);
    /* Speeds are the other way round than times. */
    if (c->has_interval)
        snprintf(interval, sizeof interval, "%+8.1f to %+.1f", 100 * (1 / c->ratio_high - 1),
                 100 * (1 / c->ratio_low - 1));
    printf("  %-22s %11.2f %11.2f %+9.1f %% %s %s\n", name, 1e9 * tokens_of(test) / c->a,
           1e9 * tokens_of(test) / c->b, 100 * (c->a / c->b - 1), interval,
           qn_differ(c) ? "" : "~");
}

static json_t *row_json(const json_t *test, const struct qn_comparison *c, json_t *notes) {
    char name[96];
    test_name(test, name, sizeof name);
    return json_pack("{s:s, s:f, s:f, s:f, s:o, s:b, s:O}", "test", name, "a_ts",
                     1e9 * tokens_of(test) / c->a, "b_ts", 1e9 * tokens_of(test) / c->b,
                     "change_percent", 100 * (c->a / c->b - 1), "change_percent_95",
                     qn_json_interval(c->has_interval, 100 * (1 / c->ratio_high - 1),
                                      100 * (1 / c->ratio_low - 1)),
                     "differs", qn_differ(c), "differs_in", notes);
}

/* {member: [of a, of b]}, a new reference. */
static json_t *notes_of(const json_t *a, const json_t *b) {
    json_t *const notes = json_object();
    for (size_t i = 0; i < COUNT(noted); i++)
        if (!same_member(a, b, noted[i]))
            json_object_set_new(
                notes, noted[i],
                json_pack("[O, O]", json_object_get(a, noted[i]), json_object_get(b, noted[i])));
    return notes;
}

/* What all pairs differ in alike, which is said once; a new reference. */
static json_t *common_notes(const struct pairs *pairs) {
    json_t *common = NULL;
    for (size_t i = 0; i < json_array_size(pairs->a); i++) {
        if (pairs->of_a[i] == ALONE) continue;
        json_t *const notes =
            notes_of(json_array_get(pairs->a, i), json_array_get(pairs->b, pairs->of_a[i]));
        if (common == NULL) common = json_incref(notes);
        for (size_t k = 0; k < COUNT(noted); k++)
            if (!json_equal(json_object_get(common, noted[k]), json_object_get(notes, noted[k])))
                json_object_del(common, noted[k]);
        json_decref(notes);
    }
    return common;
}

/* Those that have not been said: `said` may be NULL. */
static void print_notes(const json_t *notes, const json_t *said, int indent) {
    for (size_t i = 0; i < COUNT(noted); i++) {
        const json_t *const note = json_object_get(notes, noted[i]);
        if (note == NULL || json_object_get(said, noted[i]) != NULL) continue;
        char *const left = json_dumps(json_array_get(note, 0), JSON_ENCODE_ANY);
        char *const right = json_dumps(json_array_get(note, 1), JSON_ENCODE_ANY);
        printf("%*sdiffers in %s: %s and %s\n", indent, "", noted[i], left != NULL ? left : "",
               right != NULL ? right : "");
        free(left);
        free(right);
    }
}

/* ---- the subcommand --------------------------------------------------------------------- */

/* All tests of a file: of one array or of several behind each other, or of lines. A new reference;
 * NULL with the sentence printed. */
static json_t *read_tests(const char *path) {
    json_t *const values = json_load_all(path), *const tests = json_array();
    size_t i;
    json_t *value;
    json_array_foreach(values, i, value) {
        if (json_is_array(value))
            json_array_extend(tests, value);
        else
            json_array_append(tests, value);
    }
    json_decref(values);
    if (values != NULL) return tests;
    json_decref(tests);
    return NULL;
}

static bool is_result(const json_t *list, const char *path) {
    size_t i;
    const json_t *test;
    bool good = json_array_size(list) > 0;
    json_array_foreach(list, i, test) {
        good = good && json_array_size(json_object_get(test, "samples_ns")) > 0;
    }
    if (!good) out_error("%s is not what bench -o json or jsonl writes", path);
    return good;
}

static bool same_processor(const struct compare_args *args, const json_t *a, const json_t *b) {
    const char *const x = json_string_value(json_object_get(json_array_get(a, 0), "cpu_info"));
    const char *const y = json_string_value(json_object_get(json_array_get(b, 0), "cpu_info"));
    if (args->anyway || (x != NULL && y != NULL && strcmp(x, y) == 0)) return true;
    out_error("not comparable: processor %s and %s (--anyway compares all the same)",
              x != NULL ? x : "unknown", y != NULL ? y : "unknown");
    return false;
}

/* Names the tests of the list at `path` that have no partner in the others; how many there are. */
static int name_missing(const json_t *list, const char *path, const size_t *partners,
                        const char *other_path) {
    int n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        char name[96];
        if (partners[i] != ALONE) continue;
        test_name(json_array_get(list, i), name, sizeof name);
        out_error("%s is in %s alone, not in %s", name, path, other_path);
        n++;
    }
    return n;
}

struct totals {
    bool slow, few;
};

/* Compares the pairs into rows, and prints them unless JSON is asked for. */
static bool compare_pairs(const struct compare_args *args, const struct pairs *pairs, double limit,
                          json_t *rows, struct totals *totals) {
    json_t *const common = common_notes(pairs);
    bool done = true;
    for (size_t i = 0; i < json_array_size(pairs->a); i++) {
        if (pairs->of_a[i] == ALONE) continue;
        struct qn_comparison c;
        const json_t *const test = json_array_get(pairs->a, i);
        const json_t *const other = json_array_get(pairs->b, pairs->of_a[i]);
        done = compare_test(test, other, &c);
        if (!done) break;
        json_t *const notes = notes_of(test, other);
        if (!args->json && json_array_size(rows) == 0) {
            printf("A  %s\nB  %s\n", args->a, args->b);
            print_notes(common, NULL, 2);
            puts("\n  test                      t/s, A      t/s, B      change  95 %");
        }
        if (!args->json) {
            print_row(test, &c);
            print_notes(notes, common, 4);
        }
        json_array_append_new(rows, row_json(test, &c, notes));
        json_decref(notes);
        totals->few |= !c.has_interval;
        totals->slow |= qn_differ(&c) && 100 * (c.b / c.a - 1) > limit;
    }
    json_decref(common);
    return done;
}

static int report(const struct compare_args *args, const struct pairs *pairs, double limit) {
    struct totals totals = {.slow = false};
    json_t *const rows = json_array();
    const bool done = compare_pairs(args, pairs, limit, rows, &totals);
    const size_t n = json_array_size(rows);
    if (done && args->json) {
        json_dumpf(rows, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (done && n > 0) {
        printf("\nOf medians; ~: within what chance gives%s.\n",
               totals.few ? "; -: too few runs for an interval" : "");
    }
    json_decref(rows);
    if (!done) return EXIT_FAILED;
    if (n == 0) {
        out_error("%s and %s have no test in common", args->a, args->b);
        return EXIT_FAILED;
    }
    const bool missing = name_missing(pairs->a, args->a, pairs->of_a, args->b) +
                             name_missing(pairs->b, args->b, pairs->of_b, args->a) >
                         0;
    return limit >= 0 && (totals.slow || missing) ? EXIT_FAILED : EXIT_DONE;
}

static int compare(const struct compare_args *args, const json_t *a, const json_t *b) {
    double limit = -1;
    if (!percent_parse("--fail-above", args->fail_above, &limit)) return EXIT_WRONG_USAGE;
    if (!is_result(a, args->a) || !is_result(b, args->b) || !same_processor(args, a, b))
        return EXIT_FAILED;
    struct pairs pairs;
    const int status = find_pairs(a, b, &pairs) ? report(args, &pairs, limit) : EXIT_FAILED;
    free(pairs.of_a);
    free(pairs.of_b);
    return status;
}

int command_bench_compare(int argc, char **argv) {
    struct compare_args args = {.a = NULL};
    const struct option_group groups[] = {OPTION_GROUP("Options", compare_options, &args)};
    const struct positional positionals[] = {{"A", &args.a}, {"B", &args.b}};
    const struct command command = {
        .name = "bench compare",
        .arguments = "[options] A.json B.json",
        .summary = "two results of bench -o json",
        .description =
            "Compares the tests that both files have, by medians with bootstrap "
            "confidence intervals. Files of -o json and jsonl are read, of several runs behind "
            "each other too, and those of llama-bench.",
        .groups = groups,
        .n_groups = COUNT(groups),
        .positionals = positionals,
        .n_positionals = COUNT(positionals)};
    int status;
    if (!args_parse(&command, argc, argv, &status)) return status;
    if (args.a == NULL || args.b == NULL) {
        out_error("two results are compared: quern bench compare A.json B.json");
        return EXIT_WRONG_USAGE;
    }
    json_t *const a = read_tests(args.a), *const b = a != NULL ? read_tests(args.b) : NULL;
    status = b != NULL ? compare(&args, a, b) : EXIT_FAILED;
    json_decref(a);
    json_decref(b);
    return status;
}
