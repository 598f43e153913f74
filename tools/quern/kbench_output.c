/* SPDX-License-Identifier: Apache-2.0
 *
 * How a kernel's row is printed.
 */
#include "kbench_output.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/json_text.h"

static double gops(const struct kbench_row *row) {
    return 1e-9 * row->result.ops / row->result.median;
}

static double gbs(const struct kbench_row *row) {
    return 1e-9 * row->result.bytes / row->result.median;
}

static double percent(double part, double whole) {
    return whole > 0 ? 100 * part / whole : 0;
}

/* ---- tables ---- */

/* "512x5632x2048", with the long names shortened to fit 80 columns. */
static void name_of(const struct kbench_row *row, char *text, size_t size) {
    if (row->name != NULL) {
        snprintf(text, size, "%s", row->name);
        return;
    }
    const char *op = row->op;
    if (strcmp(op, "prepare") == 0) op = "prep";
    if (strcmp(op, "activation") == 0) op = "act";
    if (strcmp(op, "attention") == 0) op = "attn";
    if (strcmp(op, "attention_merge") == 0) op = "merge";
    snprintf(text, size, "%s%s%s", op, row->variant[0] ? " " : "", row->variant);
}

static void print_heading(struct kbench_output *output, const struct kbench_row *row) {
    char group[sizeof output->group];
    snprintf(group, sizeof group, "%s, %d thread%s, operands in %s", row->isa, row->n_threads,
             row->n_threads == 1 ? "" : "s", qn_level_name(row->where));
    if (strcmp(group, output->group) == 0) return;
    memcpy(output->group, group, sizeof group);
    printf("%s**%s**\n\n"
           "|kernel       |shape         |in|       us| +-|  GOP/s|%%pk|  GB/s| %%rd|error|\n"
           "|-------------|--------------|--|--------:|--:|------:|--:|-----:|---:|----:|\n",
           output->n_printed > 0 ? "\n" : "", group);
}

/* "%*.0f" of a value that means something, else a dash. */
static void print_percent(double value, int width) {
    if (value > 0)
        printf("|%*.0f", width, value);
    else
        printf("|%*s", width, "-");
}

static void print_md(struct kbench_output *output, const struct kbench_row *row) {
    static const char *const levels[QN_LEVEL_COUNT] = {"L2", "L3", "M "};
    const struct qn_lab_result *const r = &row->result;
    char name[64], shape[64];
    name_of(row, name, sizeof name);
    qn_lab_shape_text(row->op, &row->shape, shape, sizeof shape);
    print_heading(output, row);
    printf("|%-13s|%-14s|%s|%9.2f", name, shape, r->in_l1 ? "L1" : levels[r->where],
           1e6 * r->median);
    if (isfinite(r->low)) /* few samples have no interval */
        printf("|%2.0f%%", 50 * (r->high - r->low) / r->median);
    else
        printf("|%3s", "-");
    if (r->ops > 0)
        printf("|%7.1f", gops(row));
    else
        printf("|%7s", "-");
    print_percent(r->ops > 0 ? percent(gops(row), row->peak) : 0, 3);
    printf("|%6.1f", gbs(row));
    print_percent(percent(gbs(row), row->read), 4);
    if (r->right)
        printf("|%5.0e|%s\n", r->error, row->noisy ? " ~" : "");
    else
        printf("|WRONG| %.1e\n", r->error);
}

/* ---- JSON and CSV ---- */

static json_t *counts_of(const struct qn_lab_result *r) {
    static const char *const names[QN_COUNTER_COUNT] = {"cycles", "instructions", "llc_misses",
                                                        "dtlb_misses"};
    json_t *const object = json_object();
    for (int i = 0; i < QN_COUNTER_COUNT; i++)
        json_object_set_new(object, names[i],
                            r->counted[i] ? json_integer((json_int_t)r->counts[i]) : json_null());
    return object;
}

/* A row in the order of the CSV's columns. */
static json_t *row_json(const struct kbench_row *row) {
    const struct qn_lab_result *const r = &row->result;
    const struct qn_lab_shape *const s = &row->shape;
    json_t *const object =
        json_pack("{s:s, s:s, s:o, s:o, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:s, s:I}",
                  "op", row->op, "variant", row->variant, "function",
                  qn_json_text(row->function, strlen(row->function)), "isa",
                  qn_json_text(row->isa, strlen(row->isa)), "threads", row->n_threads, "m", s->m,
                  "n", s->n, "k", s->k, "t", s->t, "heads", s->heads, "g", s->g, "d", s->d, "where",
                  qn_level_name(row->where), "held_in", r->in_l1 ? "L1" : qn_level_name(r->where),
                  "copies", (json_int_t)r->copies);
    json_t *const times = json_pack(
        "{s:f, s:f, s:f, s:f, s:o, s:o, s:f, s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:b, "
        "s:b}",
        "us_median", 1e6 * r->median, "us_min", 1e6 * r->min, "us_p5", 1e6 * r->p5, "us_p95",
        1e6 * r->p95, "us_low", qn_json_number(1e6 * r->low), "us_high",
        qn_json_number(1e6 * r->high), "us_wall", 1e6 * r->wall_median, "samples", r->n_samples,
        "ops", r->ops, "bytes", r->bytes, "gop_s", gops(row), "peak_gop_s", row->peak,
        "percent_of_peak", percent(gops(row), row->peak), "gb_s", gbs(row), "read_gb_s", row->read,
        "percent_of_read", percent(gbs(row), row->read), "noisy", row->noisy, "right", r->right);
    json_object_update(object, times);
    json_decref(times);
    json_object_set_new(object, "error", qn_json_number(r->error)); /* null: an empty cell in CSV */
    json_t *const counts = counts_of(r);
    json_object_update(object, counts);
    json_decref(counts);
    return object;
}

static void print_cell(const json_t *value) {
    if (json_is_string(value)) {
        putchar('"');
        for (const char *c = json_string_value(value); *c; c++) {
            if (*c == '"') putchar('"');
            putchar(*c);
        }
        putchar('"');
    } else if (json_is_real(value)) {
        printf("%.9g", json_real_value(value));
    } else if (json_is_integer(value)) {
        printf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_boolean(value)) {
        putchar(json_is_true(value) ? '1' : '0');
    }
}

static void print_csv(struct kbench_output *output, const struct kbench_row *row) {
    json_t *const object = row_json(row);
    const char *name, *separator = "";
    json_t *value;
    if (output->n_printed == 0) {
        json_object_foreach(object, name, value) {
            printf("%s%s", separator, name);
            separator = ",";
        }
        putchar('\n');
        separator = "";
    }
    json_object_foreach(object, name, value) {
        fputs(separator, stdout);
        separator = ",";
        print_cell(value);
    }
    putchar('\n');
    json_decref(object);
}

static void print_json(struct kbench_output *output, const struct kbench_row *row) {
    json_t *const object = row_json(row);
    fputs(output->n_printed == 0 ? "[\n" : ",\n", stdout);
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(object);
}

static const struct {
    const char *name;
    void (*print)(struct kbench_output *output, const struct kbench_row *row);
} forms[] = {{"md", print_md}, {"csv", print_csv}, {"json", print_json}};

void kbench_print_row(struct kbench_output *output, const struct kbench_row *row) {
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (strcmp(output->form, forms[i].name) == 0) forms[i].print(output, row);
    output->n_printed++;
}

void kbench_print_end(const struct kbench_output *output) {
    if (strcmp(output->form, "json") == 0) puts(output->n_printed == 0 ? "[]" : "\n]");
}
