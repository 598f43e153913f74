/* SPDX-License-Identifier: Apache-2.0
 *
 * Tables of speeds. Values are in quotes in CSV and SQL, as llama-bench has them; what is not known
 * is an empty text in CSV, null in JSON and SQL.
 */
#include "bench_output.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "options.h"
#include "report/json_text.h"

enum kind { TEXT, ARRAY, LONG, INT, REAL, BOOL };

struct column {
    const char *name;
    enum kind kind; /* TEXT: const char *, ARRAY: char [], LONG: int64_t, ... */
    size_t offset;  /* in struct bench_row */
};

#define COLUMN(name, kind, field)                                                                  \
    { name, kind, offsetof(struct bench_row, field) }

static const struct column columns[] = {
    COLUMN("build_commit", TEXT, build),
    COLUMN("cpu_info", ARRAY, cpu),
    COLUMN("gpu_info", TEXT, gpu),
    COLUMN("backends", TEXT, backend),
    COLUMN("model_filename", TEXT, model_path),
    COLUMN("model_type", ARRAY, model_type),
    COLUMN("model_size", LONG, model_size),
    COLUMN("model_n_params", LONG, n_params),
    COLUMN("n_batch", INT, test.n_batch),
    COLUMN("n_ubatch", INT, test.n_ubatch),
    COLUMN("n_threads", INT, n_threads),
    COLUMN("cpu_mask", ARRAY, cpu_mask),
    COLUMN("cpu_strict", BOOL, cpu_strict),
    COLUMN("type_k", TEXT, test.type_k),
    COLUMN("type_v", TEXT, test.type_v),
    COLUMN("n_gpu_layers", INT, n_gpu_layers),
    COLUMN("n_prompt", INT, test.n_prompt),
    COLUMN("n_gen", INT, test.n_gen),
    COLUMN("n_depth", INT, test.n_depth),
    COLUMN("test_time", ARRAY, time),
    COLUMN("avg_ns", LONG, avg_ns),
    COLUMN("stddev_ns", LONG, stddev_ns),
    COLUMN("avg_ts", REAL, avg_ts),
    COLUMN("stddev_ts", REAL, stddev_ts),
    COLUMN("n_parallel", INT, test.n_parallel),
    COLUMN("isa", TEXT, isa),
    COLUMN("pins", ARRAY, pins),
    COLUMN("numa", TEXT, numa),
    COLUMN("weights_on", ARRAY, weights_on),
    COLUMN("ci95_low_ts", REAL, low_ts),
    COLUMN("ci95_high_ts", REAL, high_ts),
    COLUMN("p50_ns", REAL, p50_ns),
    COLUMN("p95_ns", REAL, p95_ns),
    COLUMN("p99_ns", REAL, p99_ns),
    COLUMN("token_p50_ns", REAL, token_p50),
    COLUMN("token_p95_ns", REAL, token_p95),
    COLUMN("token_p99_ns", REAL, token_p99),
    COLUMN("gb_per_s", REAL, gb_s),
    COLUMN("gop_per_s", REAL, gop_s),
    COLUMN("peak_gb_per_s", REAL, peak_gb_s),
    COLUMN("percent_of_peak_read", REAL, of_peak),
    COLUMN("roofline_ts", REAL, roof_ts),
    COLUMN("percent_of_roofline", REAL, of_roof),
    COLUMN("governor", ARRAY, governor),
    COLUMN("cpu_mhz", REAL, mhz),
    COLUMN("steal_percent", REAL, stolen),
    COLUMN("weight_bytes", LONG, weight_size),
    COLUMN("kv_bytes", LONG, kv_size),
    COLUMN("buffer_bytes", LONG, buffer_size),
    COLUMN("resident_bytes", LONG, resident),
};

static const char *text_of(const struct column *column, const struct bench_row *row) {
    const char *const field = (const char *)row + column->offset;
    return column->kind == TEXT ? *(const char *const *)field : field;
}
static long long integer_of(const struct column *column, const struct bench_row *row) {
    const char *const field = (const char *)row + column->offset;
    return column->kind == LONG  ? *(const int64_t *)field
           : column->kind == INT ? *(const int *)field
                                 : *(const bool *)field;
}
static double real_of(const struct column *column, const struct bench_row *row) {
    return *(const double *)((const char *)row + column->offset);
}

/* ---- CSV and SQL ------------------------------------------------------------------------ */

static void print_names(const char *separator) {
    for (size_t i = 0; i < COUNT(columns); i++)
        printf("%s%s", i > 0 ? separator : "", columns[i].name);
}

/* A value in quotes, which are doubled within. */
static void print_quoted(const struct column *column, const struct bench_row *row, char quote) {
    putchar(quote);
    switch (column->kind) {
    case TEXT:
    case ARRAY:
        for (const char *c = text_of(column, row); *c != '\0'; c++) {
            if (*c == quote) putchar(quote);
            putchar(*c);
        }
        break;
    case REAL:
        if (isfinite(real_of(column, row))) printf("%.6f", real_of(column, row));
        break;
    default:
        printf("%lld", integer_of(column, row));
    }
    putchar(quote);
}

static void print_csv(struct bench_output *output, const struct bench_row *row) {
    if (output->n_printed == 0) {
        print_names(",");
        putchar('\n');
    }
    for (size_t i = 0; i < COUNT(columns); i++) {
        if (i > 0) putchar(',');
        print_quoted(&columns[i], row, '"');
    }
    putchar('\n');
}

static void print_sql(struct bench_output *output, const struct bench_row *row) {
    static const char *const types[] = {[TEXT] = "TEXT",   [ARRAY] = "TEXT", [LONG] = "INTEGER",
                                        [INT] = "INTEGER", [REAL] = "REAL",  [BOOL] = "INTEGER"};
    if (output->n_printed == 0) {
        fputs("CREATE TABLE IF NOT EXISTS llama_bench (\n", stdout);
        for (size_t i = 0; i < COUNT(columns); i++)
            printf("  %s %s%s\n", columns[i].name, types[columns[i].kind],
                   i + 1 < COUNT(columns) ? "," : "");
        fputs(");\n\n", stdout);
    }
    fputs("INSERT INTO llama_bench (", stdout);
    print_names(", ");
    fputs(") VALUES (", stdout);
    for (size_t i = 0; i < COUNT(columns); i++) {
        if (i > 0) fputs(", ", stdout);
        if (columns[i].kind == REAL && !isfinite(real_of(&columns[i], row)))
            fputs("NULL", stdout);
        else
            print_quoted(&columns[i], row, '\'');
    }
    fputs(");\n", stdout);
}

/* ---- JSON ------------------------------------------------------------------------------- */

static json_t *json_value(const struct column *column, const struct bench_row *row) {
    switch (column->kind) {
    case TEXT:
    case ARRAY:
        return qn_json_text(text_of(column, row), strlen(text_of(column, row)));
    case BOOL:
        return json_boolean(integer_of(column, row));
    case REAL:
        return qn_json_number(real_of(column, row));
    default:
        return json_integer(integer_of(column, row));
    }
}

static json_t *json_row(const struct bench_row *row) {
    json_t *const object = json_object();
    json_t *const ns = json_array(), *const ts = json_array();
    for (size_t i = 0; i < COUNT(columns); i++)
        json_object_set_new(object, columns[i].name, json_value(&columns[i], row));
    for (int i = 0; i < row->samples->n; i++) {
        json_array_append_new(ns, json_integer((json_int_t)row->samples->ns[i]));
        json_array_append_new(ts, json_real(bench_tokens_per_second(row, i)));
    }
    json_object_set_new(object, "samples_ns", ns);
    json_object_set_new(object, "samples_ts", ts);
    return object;
}

static void print_json(struct bench_output *output, const struct bench_row *row) {
    json_t *const object = json_row(row);
    fputs(output->n_printed == 0 ? "[\n" : ",\n", stdout);
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(object);
}

static void print_jsonl(struct bench_output *output, const struct bench_row *row) {
    (void)output;
    json_t *const object = json_row(row);
    json_dumpf(object, stdout, JSON_REAL_PRECISION(9));
    putchar('\n');
    json_decref(object);
}

/* ---- Markdown --------------------------------------------------------------------------- */

enum { MD_TEXT = 64 };

static void md_size(const struct bench_row *row, char *text) {
    const double mib = (double)row->model_size / (1 << 20);
    snprintf(text, MD_TEXT, mib < 1024 ? "%.2f MiB" : "%.2f GiB", mib < 1024 ? mib : mib / 1024);
}
static void md_params(const struct bench_row *row, char *text) {
    const double n = (double)row->n_params;
    snprintf(text, MD_TEXT, n < 1e9 ? "%.2f M" : "%.2f B", n < 1e9 ? n * 1e-6 : n * 1e-9);
}
static void md_model(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%s", row->model_type);
}
static void md_backend(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%s", row->backend);
}
static void md_threads(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%d", row->n_threads);
}
static void md_batch(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%d", row->test.n_batch);
}
static void md_ubatch(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%d", row->test.n_ubatch);
}
static void md_type_k(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%s", row->test.type_k);
}
static void md_type_v(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%s", row->test.type_v);
}
static void md_test(const struct bench_row *row, char *text) {
    bench_test_name(&row->test, text, MD_TEXT);
}
static void md_speed(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%.2f ± %.2f", row->avg_ts, row->stddev_ts);
}
/* Of decoded tokens where there are any, else of repetitions. */
static void md_percentiles(const struct bench_row *row, char *text) {
    const bool tokens = isfinite(row->token_p50);
    const double p50 = tokens ? row->token_p50 : row->p50_ns;
    const double p95 = tokens ? row->token_p95 : row->p95_ns;
    const double p99 = tokens ? row->token_p99 : row->p99_ns;
    const int digits = p99 < 1e8 ? 2 : 0; /* below 100 ms */
    snprintf(text, MD_TEXT, "%.*f %.*f %.*f", digits, 1e-6 * p50, digits, 1e-6 * p95, digits,
             1e-6 * p99);
}
static void md_read(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%.2f", row->gb_s);
}
static void md_of_roof(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, isfinite(row->of_roof) ? "%.0f" : "-", row->of_roof);
}
static void md_isa(const struct bench_row *row, char *text) {
    snprintf(text, MD_TEXT, "%s", row->isa);
}

static const struct {
    const char *name;
    int width; /* negative: to the left */
    void (*write)(const struct bench_row *row, char *text);
    size_t shown; /* a bool of struct bench_output; SIZE_MAX: always */
} md_columns[] = {
    {"model", -24, md_model, SIZE_MAX},
    {"size", 10, md_size, SIZE_MAX},
    {"params", 10, md_params, SIZE_MAX},
    {"backend", -7, md_backend, SIZE_MAX},
    {"threads", 7, md_threads, SIZE_MAX},
    {"n_batch", 7, md_batch, offsetof(struct bench_output, n_batch)},
    {"n_ubatch", 8, md_ubatch, offsetof(struct bench_output, n_ubatch)},
    {"type_k", 6, md_type_k, offsetof(struct bench_output, type_k)},
    {"type_v", 6, md_type_v, offsetof(struct bench_output, type_v)},
    {"test", 17, md_test, SIZE_MAX},
    {"t/s", 20, md_speed, SIZE_MAX},
    {"ms p50 p95 p99", 20, md_percentiles, SIZE_MAX},
    {"GB/s", 6, md_read, SIZE_MAX},
    {"%roof", 5, md_of_roof, SIZE_MAX},
    {"isa", -12, md_isa, SIZE_MAX},
};

static bool md_shown(const struct bench_output *output, size_t column) {
    const size_t at = md_columns[column].shown;
    return at == SIZE_MAX || *(const bool *)((const char *)output + at);
}

static void print_md_head(const struct bench_output *output) {
    static const char dashes[] = "------------------------------";
    for (size_t i = 0; i < COUNT(md_columns); i++)
        if (md_shown(output, i)) printf("| %*s ", md_columns[i].width, md_columns[i].name);
    fputs("|\n", stdout);
    for (size_t i = 0; i < COUNT(md_columns); i++) {
        const int width = md_columns[i].width;
        if (md_shown(output, i))
            printf("| %.*s%s ", width < 0 ? -width : width - 1, dashes, width < 0 ? "" : ":");
    }
    fputs("|\n", stdout);
}

static void print_md(struct bench_output *output, const struct bench_row *row) {
    if (output->n_printed == 0) print_md_head(output);
    for (size_t i = 0; i < COUNT(md_columns); i++) {
        if (!md_shown(output, i)) continue;
        char text[MD_TEXT];
        md_columns[i].write(row, text);
        const int wide = strstr(text, "±") != NULL; /* its sign has two bytes */
        printf("| %*s ", md_columns[i].width + wide, text);
    }
    fputs("|\n", stdout);
}

static void print_md_end(const struct bench_row *row) {
    printf("\nbuild: %s\nthreads on processors %s\ngovernor %s", row->build, row->pins,
           row->governor[0] != '\0' ? row->governor : "not shown");
    if (isfinite(row->mhz)) printf("; %.2f GHz", 1e-3 * row->mhz);
    if (isfinite(row->stolen)) printf("; %.1f %% stolen in the last test", row->stolen);
    const bool shown = row->weights_on[0] != '\0';
    printf("\n%.1f MiB resident: weights %.1f%s%s, KV cache %.1f, buffers %.1f\n",
           (double)row->resident / 1048576, (double)row->weight_size / 1048576, shown ? " on " : "",
           row->weights_on, (double)row->kv_size / 1048576, (double)row->buffer_size / 1048576);
    if (isfinite(row->peak_gb_s))
        printf("%%roof: of the speed at which each step takes the least time, by %.1f GB/s of\n"
               "weights and the peaks that as many threads were measured to reach\n",
               row->peak_gb_s);
}

/* ---- all forms -------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*print)(struct bench_output *output, const struct bench_row *row);
} forms[] = {{"md", print_md},
             {"csv", print_csv},
             {"json", print_json},
             {"jsonl", print_jsonl},
             {"sql", print_sql}};

void bench_print_row(struct bench_output *output, const struct bench_row *row) {
    for (size_t i = 0; i < COUNT(forms); i++)
        if (strcmp(output->form, forms[i].name) == 0) forms[i].print(output, row);
    output->n_printed++;
}

void bench_print_end(const struct bench_output *output, const struct bench_row *last) {
    if (strcmp(output->form, "json") == 0) puts("\n]");
    if (strcmp(output->form, "md") == 0) print_md_end(last);
}
