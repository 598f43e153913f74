/* SPDX-License-Identifier: Apache-2.0
 *
 * The loop of generation.
 */
#include "generate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "interrupt.h"
#include "output.h"
#include "token_text.h"

/* ---- making one ------------------------------------------------------------------------- */

static bool keep_going(void *context) {
    (void)context;
    return !interrupt_seen();
}

static void find_ends(struct generator *g) {
    for (int32_t id = 0; id < g->n_vocab && g->n_ends < MAX_END_TOKENS; id++)
        if (quern_token_is_end(g->model, id)) g->ends[g->n_ends++] = id;
}

int generator_new(struct quern_model *model, const struct session_args *session_args,
                  const struct sampling_args *sampling_args, const struct generate_args *args,
                  struct generator *out) {
    struct quern_model_info info;
    quern_model_info(model, &info);
    *out = (struct generator){
        .model = model, .args = *args, .n_vocab = info.n_vocab, .n_batch = session_args->n_batch};
    struct quern_session_options options = session_options_from(session_args);
    options.keep_going = keep_going;
    struct quern_error err;
    if (quern_session_new(model, &options, &out->session, &err) != QUERN_OK ||
        quern_sampler_new(model, &sampling_args->options, &out->sampler, &err) != QUERN_OK) {
        out_error("%s", err.message);
        generator_free(out);
        return EXIT_FAILED;
    }
    struct quern_session_info session;
    quern_session_info(out->session, &session);
    out->n_ctx = session.n_ctx;
    if (args->ignore_eos) find_ends(out);
    return EXIT_DONE;
}

void generator_free(struct generator *generator) {
    quern_sampler_free(generator->sampler);
    quern_session_free(generator->session);
    slow_report_free(&generator->slow);
    free(generator->pending.data);
    *generator = (struct generator){.model = NULL};
}

/* ---- showing tokens --------------------------------------------------------------------- */

static bool show_text(struct generator *g, struct token_text *text, int32_t id) {
    if (!token_text_next(text, g->model, id, false)) return false;
    if (text->n == 0) return true;
    fwrite(text->data, 1, text->n, stdout);
    g->line_open = text->data[text->n - 1] != '\n';
    return true;
}

static bool show(struct generator *g, struct token_text *text, int32_t id) {
    if (g->args.print_ids) {
        printf(g->printed ? " %d" : "%d", id);
        g->line_open = true;
    } else if (!show_text(g, text, id)) {
        return false;
    }
    g->printed = true;
    return out_flush();
}

/* An answer ends its line, even an empty one: the reader of a pipe gets a line. */
static bool show_end(struct generator *g, struct token_text *text) {
    if (!g->args.print_ids && !show_text(g, text, -1)) return false;
    if (g->line_open || !g->printed) putchar('\n');
    return out_flush();
}

/* ---- evaluating and choosing ------------------------------------------------------------ */

static enum quern_status evaluate(struct generator *g, const int32_t *tokens, size_t n) {
    struct quern_error err;
    for (size_t at = 0; at < n;) {
        const size_t left = n - at, part = left < (size_t)g->n_batch ? left : (size_t)g->n_batch;
        const struct quern_batch batch = {.n = part, .tokens = tokens + at};
        const enum quern_status status = quern_session_eval(g->session, &batch, &err);
        if (status != QUERN_OK) {
            if (status != QUERN_CANCELLED) out_error("%s", err.message);
            return status;
        }
        at += part;
    }
    return QUERN_OK;
}

/* The session's logits may be changed, but the report hashes them: they are put back. */
static int32_t choose(struct generator *g) {
    if (g->n_ends == 0) return quern_session_next(g->session, 0, g->sampler);
    float *const logits = quern_session_logits(g->session, 0);
    float saved[MAX_END_TOKENS];
    for (int i = 0; i < g->n_ends; i++) {
        saved[i] = logits[g->ends[i]];
        logits[g->ends[i]] = -INFINITY;
    }
    const int32_t token = quern_sampler_next(g->sampler, logits);
    for (int i = 0; i < g->n_ends; i++) logits[g->ends[i]] = saved[i];
    return token;
}

static uint64_t bytes_read(const struct generator *g) {
    struct quern_session_info info;
    quern_session_info(g->session, &info);
    return info.bytes_read;
}

static enum quern_status evaluate_prompt(struct generator *g) {
    const int before = quern_session_length(g->session, 0);
    const double started = qn_clock_seconds(CLOCK_MONOTONIC);
    const enum quern_status status = evaluate(g, g->pending.data, g->pending.n);
    if (status != QUERN_OK) {
        quern_session_truncate(g->session, 0, before);
        return status;
    }
    g->prompt_seconds += qn_clock_seconds(CLOCK_MONOTONIC) - started;
    g->n_prompt += g->pending.n;
    for (size_t i = 0; i < g->pending.n; i++) quern_sampler_accept(g->sampler, g->pending.data[i]);
    g->before_answer = g->pending.data[g->pending.n - 1];
    g->answer_start = before + (int)g->pending.n;
    g->pending.n = 0;
    return QUERN_OK;
}

/* The first token of an answer took no pass of its own: the watch begins when it is shown. */
static void watch_token(struct generator *g, bool first, int32_t token) {
    const uint64_t bytes = bytes_read(g);
    if (first)
        slow_report_start(&g->slow);
    else
        slow_report_token(&g->slow, token, bytes - g->watched_bytes);
    g->watched_bytes = bytes;
}

/* Tokens one by one; the last one shown may be left pending. */
static enum answer decode(struct generator *g, struct token_text *text) {
    for (int n = 0; g->args.n_predict < 0 || n < g->args.n_predict; n++) {
        if (interrupt_seen()) return ANSWER_STOPPED;
        const int32_t token = choose(g);
        if (g->n_ends == 0 && quern_token_is_end(g->model, token))
            return !g->args.print_ids || show(g, text, token) ? ANSWER_ENDED : ANSWER_FAILED;
        g->pending.data[0] = token;
        g->pending.n = 1;
        if (!show(g, text, token)) return ANSWER_FAILED;
        if (g->args.explain_slow > 0) watch_token(g, n == 0, token);
        if (n + 1 == g->args.n_predict) break;
        if (quern_session_length(g->session, 0) >= g->n_ctx) return ANSWER_FULL;
        const enum quern_status status = evaluate(g, &token, 1);
        if (status == QUERN_CANCELLED) return ANSWER_STOPPED;
        if (status != QUERN_OK) return ANSWER_FAILED;
        g->pending.n = 0;
        g->n_decoded++;
    }
    return ANSWER_LIMIT;
}

enum answer generator_answer(struct generator *g) {
    const size_t length = (size_t)quern_session_length(g->session, 0);
    if (length + g->pending.n > (size_t)g->n_ctx) return ANSWER_TOO_LONG;
    const enum quern_status status = evaluate_prompt(g);
    if (status == QUERN_CANCELLED) return ANSWER_CANCELLED;
    if (status != QUERN_OK) return ANSWER_FAILED;

    struct token_text text = {.n = 0};
    g->printed = g->line_open = false;
    const uint64_t bytes = bytes_read(g);
    const double started = qn_clock_seconds(CLOCK_MONOTONIC);
    const enum answer answer = decode(g, &text);
    g->decode_seconds += qn_clock_seconds(CLOCK_MONOTONIC) - started;
    g->decode_bytes += bytes_read(g) - bytes;
    const bool shown = answer != ANSWER_FAILED && show_end(g, &text);
    free(text.data);
    return shown ? answer : ANSWER_FAILED;
}

bool generator_retract(struct generator *g) {
    if (g->answer_start == 0) return false;
    quern_session_truncate(g->session, 0, g->answer_start - 1);
    g->pending.data[0] = g->before_answer;
    g->pending.n = 1;
    return true;
}

void generator_clear(struct generator *g) {
    quern_session_truncate(g->session, 0, 0);
    g->pending.n = 0;
    g->answer_start = 0;
}

/* ---- report ----------------------------------------------------------------------------- */

/* FNV-1a, 32 bits: http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint32_t hash(const void *data, size_t size) {
    const unsigned char *bytes = data;
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < size; i++) h = (h ^ bytes[i]) * 16777619u;
    return h;
}

static double rate(double amount, double seconds) {
    return seconds > 0 ? amount / seconds : 0;
}

void generator_report(const struct generator *g) {
    if (g->n_prompt == 0) return;
    fprintf(stderr, "prompt %zu tokens, %.1f t/s", g->n_prompt,
            rate((double)g->n_prompt, g->prompt_seconds));
    if (g->n_decoded > 0)
        fprintf(stderr, " | decode %zu tokens, %.1f t/s, %.2f GB/s", g->n_decoded,
                rate((double)g->n_decoded, g->decode_seconds),
                rate(1e-9 * (double)g->decode_bytes, g->decode_seconds));
    const float *const logits = quern_session_logits(g->session, 0);
    if (logits != NULL)
        fprintf(stderr, " | logits #%08x", hash(logits, (size_t)g->n_vocab * sizeof *logits));
    fputc('\n', stderr);
}

void generator_explain(const struct generator *g) {
    if (g->args.explain_slow > 0)
        slow_report_print(&g->slow, g->model, (double)g->args.explain_slow);
}
