/* SPDX-License-Identifier: Apache-2.0 */
#include "slow_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void slow_report_start(struct slow_report *report) {
    if (!report->watching)
        qn_slow_watch_open(&report->watch);
    else
        qn_slow_watch_look(&report->watch); /* another answer: what lies between does not count */
    report->watching = true;
}

/* Tokens that there is no memory for are left out. */
static bool grow(struct slow_report *report) {
    if (report->n < report->capacity) return true;
    const size_t capacity = report->capacity ? 2 * report->capacity : 1024;
    struct qn_slow_reading *const readings = realloc(report->readings, capacity * sizeof *readings);
    if (readings != NULL) report->readings = readings;
    int32_t *const tokens = realloc(report->tokens, capacity * sizeof *tokens);
    if (tokens != NULL) report->tokens = tokens;
    if (readings == NULL || tokens == NULL) return false;
    report->capacity = capacity;
    return true;
}

void slow_report_token(struct slow_report *report, int32_t token, uint64_t bytes) {
    struct qn_slow_reading reading = qn_slow_watch_look(&report->watch);
    reading.bytes = bytes;
    if (!grow(report)) return;
    report->tokens[report->n] = token;
    report->readings[report->n++] = reading;
}

/* The token's text, what cannot be printed as a dot. */
static void token_text(const struct quern_model *model, int32_t id, char *text, size_t size) {
    size_t n;
    const char *const bytes = quern_token_bytes(model, id, true, &n);
    const size_t length = bytes == NULL ? 0 : n < size - 1 ? n : size - 1;
    for (size_t i = 0; i < length; i++)
        text[i] = bytes[i] >= ' ' && bytes[i] < 127 ? bytes[i] : '.';
    text[length] = '\0';
}

enum { MOST_LINES = 20 };

static void print_token(const struct slow_report *report, const struct quern_model *model, size_t i,
                        const struct qn_slow_reading *typical) {
    char text[16], why[320];
    token_text(model, report->tokens[i], text, sizeof text);
    qn_slow_explain(&report->readings[i], typical, why, sizeof why);
    /* The first token of the answer has no reading: readings[0] is of the second. */
    fprintf(stderr, "  token %zu '%s': %.1f ms, %.1f times the median\n    %s\n", i + 2, text,
            1e-6 * (double)report->readings[i].ns,
            (double)report->readings[i].ns / (double)typical->ns, why);
}

void slow_report_print(const struct slow_report *report, const struct quern_model *model,
                       double factor) {
    const struct qn_slow_reading typical = qn_slow_typical(report->readings, report->n);
    const double limit = factor * (double)typical.ns;
    size_t n = 0;
    if (report->n == 0) return;
    for (size_t i = 0; i < report->n; i++) n += (double)report->readings[i].ns > limit;
    fprintf(stderr, "slow: %zu of %zu tokens took more than %g times the median of %.2f ms\n", n,
            report->n, factor, 1e-6 * (double)typical.ns);
    size_t printed = 0;
    for (size_t i = 0; i < report->n && printed < MOST_LINES; i++) {
        if ((double)report->readings[i].ns <= limit) continue;
        print_token(report, model, i, &typical);
        printed++;
    }
    if (n > printed) fprintf(stderr, "  and %zu more\n", n - printed);
}

void slow_report_free(struct slow_report *report) {
    if (report->watching) qn_slow_watch_close(&report->watch);
    free(report->readings);
    free(report->tokens);
    *report = (struct slow_report){.n = 0};
}
