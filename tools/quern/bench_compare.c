/* SPDX-License-Identifier: Apache-2.0
 *
 * quern bench compare: two results of bench -o json or jsonl, test by test. Results of llama-bench
 * have the same members and can be compared too.
 */
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
static const char *const noted[] = {"build_commit", "model_filename", "model_type", "n_threads",
                                    "n_ubatch",     "type_k",         "type_v",     "isa"};

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

/* The k-th test of the list that is like this one, where this is the k-th of its own. */
static const json_t *partner(const json_t *list, const json_t *others, size_t index) {
    const json_t *const test = json_array_get(list, index);
    size_t skip = 0, i;
    const json_t *other;
    for (i = 0; i < index; i++) skip += alike(json_array_get(list, i), test);
    json_array_foreach(others, i, other) {
        if (alike(test, other) && skip-- == 0) return other;
    }
    return NULL;
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

static json_t *row_json(const json_t *test, const struct qn_comparison *c) {
    char name[96];
    test_name(test, name, sizeof name);
    return json_pack("{s:s, s:f, s:f, s:f, s:o, s:b}", "test", name, "a_ts",
                     1e9 * tokens_of(test) / c->a, "b_ts", 1e9 * tokens_of(test) / c->b,
                     "change_percent", 100 * (c->a / c->b - 1), "change_percent_95",
                     qn_json_interval(c->has_interval, 100 * (1 / c->ratio_high - 1),
                                      100 * (1 / c->ratio_low - 1)),
                     "differs", qn_differ(c));
}

static void print_notes(const json_t *a, const json_t *b) {
    for (size_t i = 0; i < COUNT(noted); i++) {
        const json_t *const x = json_object_get(a, noted[i]), *const y =
                                                                  json_object_get(b, noted[i]);
        if (json_equal(x, y) || x == NULL || y == NULL) continue;
        char *const left = json_dumps(x, JSON_ENCODE_ANY), *const right =
                                                               json_dumps(y, JSON_ENCODE_ANY);
        printf("  differs in %s: %s and %s\n", noted[i], left != NULL ? left : "",
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

/* Names the tests of the list at `path` that the others lack; how many there are. */
static int name_missing(const json_t *list, const char *path, const json_t *others,
                        const char *other_path) {
    int n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        char name[96];
        if (partner(list, others, i) != NULL) continue;
        test_name(json_array_get(list, i), name, sizeof name);
        out_error("%s is in %s alone, not in %s", name, path, other_path);
        n++;
    }
    return n;
}

static int compare(const struct compare_args *args, const json_t *a, const json_t *b) {
    double limit = -1;
    size_t i;
    const json_t *test;
    bool slow = false, few = false;
    int n = 0;
    if (!percent_parse("--fail-above", args->fail_above, &limit)) return EXIT_WRONG_USAGE;
    if (!is_result(a, args->a) || !is_result(b, args->b) || !same_processor(args, a, b))
        return EXIT_FAILED;
    json_t *const rows = json_array();
    json_array_foreach(a, i, test) {
        struct qn_comparison c;
        const json_t *const other = partner(a, b, i);
        if (other == NULL) continue;
        if (!compare_test(test, other, &c)) {
            json_decref(rows);
            return EXIT_FAILED;
        }
        if (!args->json && n == 0) {
            printf("A  %s\nB  %s\n", args->a, args->b);
            print_notes(test, other);
            puts("\n  test                      t/s, A      t/s, B      change  95 %");
        }
        if (!args->json) print_row(test, &c);
        json_array_append_new(rows, row_json(test, &c));
        n++;
        few |= !c.has_interval;
        slow |= qn_differ(&c) && 100 * (c.b / c.a - 1) > limit;
    }
    if (args->json) {
        json_dumpf(rows, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        putchar('\n');
    } else if (n > 0) {
        printf("\nOf medians; ~: within what chance gives%s.\n",
               few ? "; -: too few runs for an interval" : "");
    }
    json_decref(rows);
    if (n == 0) {
        out_error("%s and %s have no test in common", args->a, args->b);
        return EXIT_FAILED;
    }
    const bool missing =
        name_missing(a, args->a, b, args->b) + name_missing(b, args->b, a, args->a) > 0;
    return limit >= 0 && (slow || missing) ? EXIT_FAILED : EXIT_DONE;
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
