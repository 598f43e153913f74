/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of speeds.
 */
#include "bench_output.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "json_text.h"
#include "options.h"

/* ---- statistics ------------------------------------------------------------------------- */

struct spread {
    double mean, deviation; /* of a sample: divided by n - 1 */
};

static double tokens_per_second(const struct bench_result *r, int i) {
    return 1e9 * (r->n_prompt + r->n_gen) / (double)r->samples[i];
}

static double nanoseconds(const struct bench_result *r, int i) {
    return (double)r->samples[i];
}

static struct spread spread_of(const struct bench_result *r,
                               double value(const struct bench_result *r, int i)) {
    double sum = 0, squares = 0;
    for (int i = 0; i < r->n_samples; i++) sum += value(r, i);
    const double mean = sum / r->n_samples;
    for (int i = 0; i < r->n_samples; i++) squares += pow(value(r, i) - mean, 2);
    return (struct spread){mean, r->n_samples > 1 ? sqrt(squares / (r->n_samples - 1)) : 0};
}

/* ---- what a row says -------------------------------------------------------------------- */

/* "llama 135M Q4_1" */
static void model_type(const struct bench_result *r, char *text, size_t capacity) {
    static const struct {
        double from, unit;
        const char *format;
    } scales[] = {{1e9, 1e9, "%s %.1fB %s"}, {1e6, 1e6, "%s %.0fM %s"}, {0, 1e3, "%s %.0fK %s"}};
    const double n = (double)r->model.n_params;
    size_t i = 0;
    while (n < scales[i].from) i++;
    snprintf(text, capacity, scales[i].format, r->model.architecture, n / scales[i].unit,
             r->model.type);
}

static void cpu_name(char *text, size_t capacity) {
    snprintf(text, capacity, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file == NULL) return;
    char line[256];
    while (fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || colon == NULL) continue;
        colon += 1 + strspn(colon + 1, " ");
        snprintf(text, capacity, "%.*s", (int)strcspn(colon, "\n"), colon);
        break;
    }
    fclose(file);
}

static json_t *samples(const struct bench_result *r, bool speeds) {
    json_t *list = json_array();
    for (int i = 0; i < r->n_samples; i++)
        json_array_append_new(list, speeds ? json_real(tokens_per_second(r, i))
                                           : json_integer((json_int_t)r->samples[i]));
    return list;
}

/* A row as an object; its order is the order of the CSV's columns. */
static json_t *row_of(const struct bench_result *r, bool with_samples) {
    char type[64], cpu[128], when[32];
    model_type(r, type, sizeof type);
    cpu_name(cpu, sizeof cpu);
    const time_t now = time(NULL);
    struct tm utc;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    const struct spread ns = spread_of(r, nanoseconds), ts = spread_of(r, tokens_per_second);
    json_t *row = json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:I, s:I, s:i, s:i, s:i, s:s, s:s, s:i, s:i, s:i, s:s, s:I, "
        "s:I, s:f, s:f, s:s, s:f}",
        "build_commit", quern_version(), "cpu_info", cpu, "backends", "CPU", "model_filename",
        json_text(r->model_path, strlen(r->model_path)), "model_type", type, "model_size",
        (json_int_t)r->model.file_size, "model_n_params", (json_int_t)r->model.n_params, "n_batch",
        r->n_batch, "n_ubatch", r->n_ubatch, "n_threads", r->model.n_threads, "type_k", r->type_k,
        "type_v", r->type_v, "n_prompt", r->n_prompt, "n_gen", r->n_gen, "n_depth", 0, "test_time",
        when, "avg_ns", (json_int_t)ns.mean, "stddev_ns", (json_int_t)ns.deviation, "avg_ts",
        ts.mean, "stddev_ts", ts.deviation, "isa", r->model.isa, "gb_per_s",
        (double)r->bytes / ns.mean);
    if (with_samples && row != NULL) {
        json_object_set_new(row, "samples_ns", samples(r, false));
        json_object_set_new(row, "samples_ts", samples(r, true));
    }
    return row;
}

/* ---- forms ------------------------------------------------------------------------------ */

static void print_md(const struct bench_result *r, bool first) {
    char type[64], test[32];
    model_type(r, type, sizeof type);
    snprintf(test, sizeof test, "%s%d", r->n_prompt > 0 ? "pp" : "tg",
             r->n_prompt > 0 ? r->n_prompt : r->n_gen);
    if (first)
        puts("| model                    |       size |     params | backend | threads | n_ubatch |"
             "   test |              t/s |    GB/s | isa          |\n"
             "| ------------------------ | ---------: | ---------: | ------- | ------: | -------: |"
             " -----: | ---------------: | ------: | ------------ |");
    const struct spread ts = spread_of(r, tokens_per_second), ns = spread_of(r, nanoseconds);
    char speed[48];
    snprintf(speed, sizeof speed, "%.2f ± %.2f", ts.mean, ts.deviation);
    printf("| %-24s | %6.2f MiB | %8.2f M | CPU     | %7d | %8d | %6s | %*s | %7.2f | %-12s |\n",
           type, (double)r->model.file_size / (1 << 20), (double)r->model.n_params * 1e-6,
           r->model.n_threads, r->n_ubatch, test, 17 /* the sign has two bytes */, speed,
           (double)r->bytes / ns.mean, r->model.isa);
}

static void print_csv_text(const char *text) {
    putchar('"');
    for (; *text != '\0'; text++) {
        if (*text == '"') putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_csv(const struct bench_result *r, bool first) {
    json_t *row = row_of(r, false);
    const char *name, *separator = "";
    json_t *value;
    if (first) {
        json_object_foreach(row, name, value) {
            printf("%s%s", separator, name);
            separator = ",";
        }
        putchar('\n');
        separator = "";
    }
    json_object_foreach(row, name, value) {
        fputs(separator, stdout);
        separator = ",";
        if (json_is_string(value))
            print_csv_text(json_string_value(value));
        else if (json_is_boolean(value))
            fputs(json_is_true(value) ? "\"1\"" : "\"0\"", stdout);
        else if (json_is_real(value))
            printf("\"%.6f\"", json_real_value(value));
        else if (json_is_integer(value))
            printf("\"%" JSON_INTEGER_FORMAT "\"", json_integer_value(value));
    }
    putchar('\n');
    json_decref(row);
}

static void print_json(const struct bench_result *r, bool first) {
    json_t *row = row_of(r, true);
    fputs(first ? "[\n" : ",\n", stdout);
    json_dumpf(row, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(row);
}

static const struct {
    const char *name;
    void (*print)(const struct bench_result *result, bool first);
} forms[] = {{"md", print_md}, {"csv", print_csv}, {"json", print_json}};

void bench_print_result(const char *form, const struct bench_result *result, bool first) {
    for (size_t i = 0; i < COUNT(forms); i++)
        if (strcmp(form, forms[i].name) == 0) forms[i].print(result, first);
}

void bench_print_end(const char *form, int n_printed) {
    if (strcmp(form, "json") == 0) puts(n_printed == 0 ? "[]" : "\n]");
}
