/* SPDX-License-Identifier: Apache-2.0 */
#include "tune_output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "output.h"
#include "style.h"
#include "system.h"

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

/* A sentence under a table. */
static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...) {
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fputs("  ", stdout);
    out_words(text, 2, 2);
}

static void say_verdict(const struct qn_tune_search *s, enum qn_tune_what what) {
    char chosen[16], usual[16];
    label(what, s->chosen, chosen, sizeof chosen);
    label(what, s->usual, usual, sizeof usual);
    if (!s->complete)
        say("%s stays: time was over before the search was (--seconds)", usual);
    else if (what == QN_TUNE_KV)
        say("%s stays: others change the numbers (-ctk, -ctv); the best is %+.1f %%", usual,
            100 * s->gain);
    else if (s->chosen != s->usual)
        say("%s: %+.1f %% over %s, more than noise (%.1f %%)", chosen, 100 * s->gain, usual,
            100 * s->noise);
    else if (s->gain == 0) /* there was no duel */
        say("%s stays: none is faster", usual);
    else
        say("%s stays: the best is %+.1f %% over it, noise %.1f %%", usual, 100 * s->gain,
            100 * s->noise);
}

static void print_table(const struct qn_tune_report *r, enum qn_tune_what what) {
    const struct qn_tune_search *const s = &r->searches[what];
    const bool joules = r->energy.n > 0;
    const bool prefill = what == QN_TUNE_THREADS_BATCH || what == QN_TUNE_UBATCH;
    const int at = joules ? 31 : 22, width = out_width() - at - 2;
    double most = 0;
    char text[96];
    for (int i = 0; i < s->n_points; i++)
        if (s->points[i].rate > most) most = s->points[i].rate;
    snprintf(text, sizeof text, "of %d token%s %s", prefill ? r->n_prompt[what] : r->n_gen[what],
             !prefill && r->n_gen[what] == 1 ? "" : "s", texts[what].tokens);
    printf("%9s %9s%s   ", texts[what].column, "t/s", joules ? "  J/token" : "");
    out_words(text, at, at);
    for (int i = 0; i < s->n_points; i++) {
        const struct qn_tune_point *const p = &s->points[i];
        if (p->n == 0) continue;
        printf("%9s %9.1f", label(what, p->value, text, sizeof text), p->rate);
        if (joules) printf(" %8.3g", p->joules);
        fputs("   ", stdout);
        style_bar(p->value == s->chosen ? STYLE_MLP : STYLE_PLAIN,
                  (width < BAR ? width : BAR) * p->rate / most);
        printf("%s\n", p->value == s->chosen && what != QN_TUNE_KV ? " <" : "");
    }
}

/* Why there is no table of ubatches, or of spinning. */
static void say_reason(const struct qn_tune_report *r, enum qn_tune_what what) {
    if (what == QN_TUNE_SPIN)
        say("usual stays: a thread that decodes alone waits for nobody");
    else if (r->n_prompt[what] == r->prompt_max)
        say("%d stays: prompts have %d tokens at the most, half the model's context",
            r->tuned.n_ubatch, r->prompt_max);
    else
        say("%d stays: prompts of more than %d tokens need more time (--seconds)",
            r->tuned.n_ubatch, r->n_prompt[what]);
}

static void print_search(const struct qn_tune_report *r, enum qn_tune_what what) {
    const struct qn_tune_search *const s = &r->searches[what];
    if (what == QN_TUNE_KV && s->n_points == 0) return; /* not asked for */
    style_title(texts[what].title);
    if (s->n_measured > 0) print_table(r, what);
    if (s->n_points > 0)
        say_verdict(s, what);
    else
        say_reason(r, what);
}

static const char *rate_text(double rate, char *text, size_t size) {
    if (rate <= 0) return "not measured";
    snprintf(text, size, "%.1f t/s", rate);
    return text;
}

void tune_print_settings(const struct qn_tuned *tuned) {
    char prefill[32], decode[32], when[32], spin[32] = "as usual";
    const time_t at = (time_t)tuned->measured_at;
    struct tm parts;
    strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime_r(&at, &parts));
    if (tuned->spin_us > 0) snprintf(spin, sizeof spin, "%d us", tuned->spin_us);
    style_title("Settings");
    printf("  threads to decode   %d (-t)\n  threads of prompts  %d (-tb)\n"
           "  ubatch              %d (-ub)\n  spinning            %s (--spin)\n",
           tuned->n_threads, tuned->n_threads_batch, tuned->n_ubatch, spin);
    say("prefill %s, decode %s, measured %s", rate_text(tuned->prefill, prefill, sizeof prefill),
        rate_text(tuned->decode, decode, sizeof decode), when);
}

void tune_print_report(const struct qn_tune_report *report) {
    for (int what = 0; what < QN_TUNE_COUNT; what++) print_search(report, (enum qn_tune_what)what);
    if (report->taken > BUSY) {
        putchar('\n');
        say("Other programs took %.0f %% of a processor: tune again when it is quiet.",
            100 * report->taken);
    }
    if (report->energy.n == 0) {
        putchar('\n');
        say("No joules: %s.", report->energy.reason);
    }
    tune_print_settings(&report->tuned);
}

/* ---- JSON ------------------------------------------------------------------------------- */

/* null: not measured. */
static json_t *rate_json(double rate) {
    return rate > 0 ? json_real(rate) : json_null();
}

json_t *tune_settings_json(const struct qn_tuned *tuned) {
    char when[32];
    system_time_text((time_t)tuned->measured_at, when, sizeof when);
    return json_pack("{s:i, s:i, s:i, s:i, s:o, s:o, s:s}", "threads", tuned->n_threads,
                     "threads_batch", tuned->n_threads_batch, "ubatch", tuned->n_ubatch, "spin_us",
                     tuned->spin_us, "prefill_tokens_per_second", rate_json(tuned->prefill),
                     "decode_tokens_per_second", rate_json(tuned->decode), "measured_at", when);
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
