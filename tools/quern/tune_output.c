/* SPDX-License-Identifier: Apache-2.0 */
#include "tune_output.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "style.h"

enum { BAR = 32 };
/* Interrupts and the like take less than this part of a processor. */
static const double BUSY = 0.03;

static const struct {
    const char *key, *title, *column, *tokens;
} texts[QN_TUNE_COUNT] = {
    [QN_TUNE_THREADS] = {"threads", "Decode: threads", "threads", "decoded"},
    [QN_TUNE_THREADS_BATCH] = {"threads_batch", "Prefill: threads", "threads", "of a prompt"},
    [QN_TUNE_UBATCH] = {"ubatch", "Prefill: ubatch", "ubatch", "of a prompt"},
    [QN_TUNE_SPIN] = {"spin_us", "Decode: spinning before sleep, us", "us", "decoded"},
    [QN_TUNE_KV] = {"kv", "Decode: type of the KV cache", "type", "decoded"},
};

const char *tune_title(enum qn_tune_what what) {
    return texts[what].title;
}

static const char *label(enum qn_tune_what what, int value, char *text, size_t size) {
    if (what == QN_TUNE_KV)
        snprintf(text, size, "%s", qn_kv_name((enum qn_kv)value));
    else if (what == QN_TUNE_SPIN && value == 0)
        snprintf(text, size, "usual");
    else
        snprintf(text, size, "%d", value);
    return text;
}

/* ---- text ------------------------------------------------------------------------------- */

static void print_verdict(const struct qn_tune_search *s, enum qn_tune_what what) {
    char chosen[16], usual[16];
    label(what, s->chosen, chosen, sizeof chosen);
    label(what, s->usual, usual, sizeof usual);
    if (!s->complete)
        printf("  %s stays: time was over before the search was\n", usual);
    else if (what == QN_TUNE_KV)
        printf("  %s stays: others change the numbers (-ctk, -ctv); the best is %+.1f %%\n", usual,
               100 * s->gain);
    else if (s->chosen != s->usual)
        printf("  %s: %+.1f %% over %s, more than noise (%.1f %%)\n", chosen, 100 * s->gain, usual,
               100 * s->noise);
    else if (s->gain == 0) /* there was no duel */
        printf("  %s stays: none is faster\n", usual);
    else
        printf("  %s stays: the best is %+.1f %% over it, noise %.1f %%\n", usual, 100 * s->gain,
               100 * s->noise);
}

static void print_search(const struct qn_tune_report *r, enum qn_tune_what what) {
    const struct qn_tune_search *const s = &r->searches[what];
    double most = 0;
    char text[96];
    if (what == QN_TUNE_UBATCH && s->n_points == 0)
        printf("\nUbatch %d stays: there was no time for prompts of more than %d tokens.\n",
               r->tuned.n_ubatch, r->n_prompt[what]);
    if (s->n_points == 0) return;
    for (int i = 0; i < s->n_points; i++)
        if (s->points[i].rate > most) most = s->points[i].rate;
    style_title(texts[what].title);
    const bool prefill = what == QN_TUNE_THREADS_BATCH || what == QN_TUNE_UBATCH;
    printf("%9s %9s%s   of %d token%s %s\n", texts[what].column, "t/s",
           r->energy.n > 0 ? "  J/token" : "", prefill ? r->n_prompt[what] : r->n_gen[what],
           !prefill && r->n_gen[what] == 1 ? "" : "s", texts[what].tokens);
    for (int i = 0; i < s->n_points; i++) {
        const struct qn_tune_point *const p = &s->points[i];
        if (p->n == 0) continue;
        printf("%9s %9.1f", label(what, p->value, text, sizeof text), p->rate);
        if (r->energy.n > 0) printf(" %8.3g", p->joules);
        fputs("   ", stdout);
        style_bar(p->value == s->chosen ? STYLE_MLP : STYLE_PLAIN, BAR * p->rate / most);
        printf("%s\n", p->value == s->chosen && what != QN_TUNE_KV ? " <" : "");
    }
    print_verdict(s, what);
}

void tune_print_settings(const struct qn_tuned *tuned) {
    char when[32], spin[32] = "as usual";
    const time_t at = (time_t)tuned->measured_at;
    struct tm parts;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&at, &parts));
    if (tuned->spin_us > 0) snprintf(spin, sizeof spin, "%d us", tuned->spin_us);
    style_title("Settings");
    printf("  threads to decode   %d (-t)\n  threads of prompts  %d (-tb)\n"
           "  ubatch              %d (-ub)\n  spinning            %s (--spin)\n",
           tuned->n_threads, tuned->n_threads_batch, tuned->n_ubatch, spin);
    printf("  prefill %.1f t/s, decode %.1f t/s, measured %s\n", tuned->prefill, tuned->decode,
           when);
}

void tune_print_report(const struct qn_tune_report *report) {
    for (int what = 0; what < QN_TUNE_COUNT; what++) print_search(report, (enum qn_tune_what)what);
    if (report->taken > BUSY)
        printf("\nOther programs took %.0f %% of a processor: tune again when it is quiet.\n",
               100 * report->taken);
    if (report->energy.n == 0) printf("\nNo joules: %s.\n", report->energy.reason);
    tune_print_settings(&report->tuned);
}

/* ---- JSON ------------------------------------------------------------------------------- */

json_t *tune_settings_json(const struct qn_tuned *tuned) {
    return json_pack("{s:i, s:i, s:i, s:i, s:f, s:f, s:I}", "threads", tuned->n_threads,
                     "threads_batch", tuned->n_threads_batch, "ubatch", tuned->n_ubatch, "spin_us",
                     tuned->spin_us, "prefill", tuned->prefill, "decode", tuned->decode,
                     "measured_at", (json_int_t)tuned->measured_at);
}

static json_t *value_json(enum qn_tune_what what, int value) {
    return what == QN_TUNE_KV ? json_string(qn_kv_name((enum qn_kv)value)) : json_integer(value);
}

static json_t *search_json(const struct qn_tune_report *r, enum qn_tune_what what) {
    const struct qn_tune_search *const s = &r->searches[what];
    json_t *const points = json_array();
    for (int i = 0; i < s->n_points; i++) {
        const struct qn_tune_point *const p = &s->points[i];
        json_array_append_new(
            points, json_pack("{s:o, s:f, s:i, s:o}", "value", value_json(what, p->value),
                              "tokens_per_second", p->rate, "samples", p->n, "joules_per_token",
                              r->energy.n > 0 ? json_real(p->joules) : json_null()));
    }
    return json_pack("{s:o, s:o, s:o, s:f, s:f, s:b, s:i, s:i}", "points", points, "usual",
                     value_json(what, s->usual), "chosen", value_json(what, s->chosen), "gain",
                     s->gain, "noise", s->noise, "complete", (int)s->complete, "n_prompt",
                     r->n_prompt[what], "n_gen", r->n_gen[what]);
}

json_t *tune_report_json(const struct qn_tune_report *report) {
    json_t *const searches = json_object();
    for (int what = 0; what < QN_TUNE_COUNT; what++)
        if (report->searches[what].n_points > 0)
            json_object_set_new(searches, texts[what].key,
                                search_json(report, (enum qn_tune_what)what));
    return json_pack("{s:o, s:o, s:f, s:f, s:o}", "settings", tune_settings_json(&report->tuned),
                     "searches", searches, "seconds", report->seconds, "taken_by_others",
                     report->taken, "no_joules",
                     report->energy.n > 0 ? json_null() : json_string(report->energy.reason));
}
