/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan as a page: drawings are SVG within it, and nothing in it runs.
 */
#include <stdlib.h>
#include <string.h>

#include "report/markup.h"
#include "report/plan_files.h"

enum { SIZE_TEXT = 24 };

static const char *size_text(double bytes, char *text) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    while (bytes >= 1024 && unit + 1 < sizeof units / sizeof *units) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, SIZE_TEXT,
             unit == 0     ? "%.0f %s"
             : bytes < 100 ? "%.2f %s"
                           : "%.1f %s",
             bytes, units[unit]);
    return text;
}

static const char *time_text(double ns, char *text) {
    snprintf(text, SIZE_TEXT, ns < 1e6 ? "%.1f µs" : "%.2f ms", ns < 1e6 ? 1e-3 * ns : 1e-6 * ns);
    return text;
}

static const char style[] =
    ":root{--ink:#1b1f24;--soft:#6b7280;--line:#d9dde3}"
    "body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:#fff;max-width:74rem;"
    "margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem;margin:0}"
    "h2{font-size:1.15rem;margin:2.2rem 0 .3rem;border-top:1px solid var(--line);"
    "padding-top:1rem}p{margin:.3rem 0 .6rem}.soft{color:var(--soft)}"
    "svg{display:block;max-width:100%;height:auto}"
    "svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}"
    "svg .mid{text-anchor:middle}svg .end{text-anchor:end}svg .on{fill:#fff}"
    "table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}"
    "th,td{padding:.16rem .55rem;border-bottom:1px solid var(--line);text-align:right;"
    "white-space:nowrap}th.t,td.t{text-align:left}td.bar{width:11rem;text-align:left}"
    "td.bar i{display:block;height:.75em;min-width:1px}"
    ".key span{display:inline-block;margin-right:1.2rem;font-size:.86rem;white-space:nowrap}"
    ".key i{display:inline-block;width:.8em;height:.8em;margin-right:.35em}";

static const char *const buffer_colours[QN_BUFFER_COUNT] = {
    [QN_BUFFER_X] = "#3a66b0",        [QN_BUFFER_EMBD] = "#7a8594",
    [QN_BUFFER_ACT_F32] = "#c99a2e",  [QN_BUFFER_ACT_Q8] = "#b7791f",
    [QN_BUFFER_Q] = "#2a9d8f",        [QN_BUFFER_K] = "#4fb3a5",
    [QN_BUFFER_V] = "#1f7a6f",        [QN_BUFFER_ATTN] = "#57886c",
    [QN_BUFFER_GATE] = "#8a5a9c",     [QN_BUFFER_UP] = "#b07cc6",
    [QN_BUFFER_OUT] = "#5b7fbf",      [QN_BUFFER_ROUTER] = "#a4633a",
    [QN_BUFFER_ROUTES] = "#c48a63",   [QN_BUFFER_SLOTS] = "#6b4a8a",
    [QN_BUFFER_COS] = "#98a2b3",      [QN_BUFFER_ACT_BF16X2] = "#d9b45b",
    [QN_BUFFER_ACT_BF16] = "#e3c987", [QN_BUFFER_SIN] = "#667085",
    [QN_BUFFER_LOGITS] = "#c8553d",   [QN_BUFFER_PARTS] = "#86b09a",
    [QN_BUFFER_MAXIMA] = "#e39b8a",   [QN_BUFFER_ACT_Q8X2] = "#946013",
    [QN_BUFFER_ACT_I16] = "#b8864b"};

static const char *const module_colours[QN_MODULE_COUNT] = {[QN_MODULE_EMBED] = "#7a8594",
                                                            [QN_MODULE_NORM] = "#e0a526",
                                                            [QN_MODULE_ATTN] = "#2a9d8f",
                                                            [QN_MODULE_MLP] = "#3a66b0",
                                                            [QN_MODULE_HEAD] = "#8a5a9c"};

static bool is_used(const struct qn_buffer *buffer) {
    return buffer->n_rows > 0 && buffer->row_size > 0;
}
static size_t buffer_size(const struct qn_buffer *buffer) {
    return buffer->row_size * (size_t)buffer->n_rows;
}

/* ---- memory as bars --------------------------------------------------------------------- */

struct part {
    const char *name, *colour;
    double bytes;
};

static void draw_bar(FILE *out, const struct part *parts, size_t n, double all) {
    enum { WIDTH = 1120, HEIGHT = 44 };
    char text[SIZE_TEXT];
    double x = 0;
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH, HEIGHT);
    for (size_t i = 0; i < n; i++) {
        const double w = WIDTH * parts[i].bytes / all;
        fprintf(out,
                "<rect x=\"%.2f\" y=\"4\" width=\"%.2f\" height=\"36\" fill=\"%s\">"
                "<title>%s: %s</title></rect>\n",
                x, w, parts[i].colour, parts[i].name, size_text(parts[i].bytes, text));
        if (w > 110)
            fprintf(out, "<text class=\"on mid\" x=\"%.2f\" y=\"27\">%s %s</text>\n", x + w / 2,
                    parts[i].name, text);
        x += w;
    }
    fputs("</svg>\n<p class=\"key\">", out);
    for (size_t i = 0; i < n; i++)
        fprintf(out, "<span><i style=\"background:%s\"></i>%s %s (%.1f %%)</span>", parts[i].colour,
                parts[i].name, size_text(parts[i].bytes, text), 100 * parts[i].bytes / all);
    fputs("</p>\n", out);
}

static void write_memory(const struct qn_plan *plan, const struct qn_plan_about *about, FILE *out) {
    const struct qn_layout *const l = &plan->layout;
    const struct part parts[] = {
        {"weights", "#3a66b0", (double)plan->spec->arena_size},
        {"KV cache", "#2a9d8f", (double)l->kv_size},
        {"buffers", "#b7791f", (double)l->buffer_size},
        {"scratch", "#98a2b3", (double)l->scratch_size * plan->limits.n_threads}};
    const size_t n = sizeof parts / sizeof *parts;
    double all = 0;
    char text[SIZE_TEXT];
    for (size_t i = 0; i < n; i++) all += parts[i].bytes;
    fprintf(out, "<h2>Memory: %s</h2>\n", size_text(all, text));
    draw_bar(out, parts, n, all);
    if (about->memory <= 0) return;
    fprintf(out, "<p>The largest context in %s %s:", size_text(about->memory, text),
            about->limited ? "that the control group allows" : "of this machine's memory");
    for (enum qn_cache cache = 0; cache < QN_CACHE_COUNT; cache++)
        if (about->contexts[cache] > 0)
            fprintf(out, "%s <b>%d</b>%s positions with a cache of %s", cache ? "," : "",
                    about->contexts[cache],
                    about->contexts[cache] == QN_CAPACITY_MAX ? " or more" : "",
                    qn_cache_name(cache));
    fprintf(out, ". The model was trained for %d.%s</p>\n", plan->spec->hparams.n_ctx_train,
            all > about->memory ? " <b>This plan does not fit.</b>" : "");
}

/* ---- the arena over the steps ----------------------------------------------------------- */

enum { LEFT = 84, TOP = 30, WIDTH = 1120, PLOT = 400, BOTTOM = 96, RIGHT = 12 };

/* The steps that are drawn: all outside the layers, and those of one layer. */
struct picture {
    const struct qn_plan *plan;
    const uint32_t *busy;
    int *steps; /* [n] */
    int n, layer;
    double size; /* bytes of the arena */
};

static double x_of(const struct picture *p, int column) {
    return LEFT + (double)(WIDTH - LEFT - RIGHT) * column / p->n;
}
static double y_of(const struct picture *p, double bytes) {
    return TOP + PLOT * (1 - bytes / p->size);
}

static void draw_axis(const struct picture *p, FILE *out) {
    double tick = 1024;
    while (p->size / tick > 8) tick *= 2;
    for (double at = 0; at <= p->size; at += tick) {
        char text[SIZE_TEXT];
        fprintf(out,
                "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#d9dde3\"/>"
                "<text class=\"soft end\" x=\"%d\" y=\"%.1f\">%s</text>\n",
                LEFT, WIDTH - RIGHT, y_of(p, at), y_of(p, at), LEFT - 6, y_of(p, at) + 4,
                size_text(at, text));
    }
    fprintf(out,
            "<text class=\"soft mid\" transform=\"translate(12 %d) rotate(-90)\">place in the "
            "arena</text>\n",
            TOP + PLOT / 2);
}

static void draw_columns(const struct picture *p, FILE *out) {
    for (int i = 0, start = 0; i < p->n; i++) {
        const struct qn_step *const step = &p->plan->steps[p->steps[i]];
        const double x = x_of(p, i), middle = (x + x_of(p, i + 1)) / 2;
        fprintf(out, "<text class=\"end\" transform=\"translate(%.1f %d) rotate(-40)\">%s</text>\n",
                middle + 4, TOP + PLOT + 16, step->name);
        if (qn_step_has_decode_barrier(p->plan, step))
            fprintf(out,
                    "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#1b1f24\" "
                    "stroke-width=\"2\"><title>all threads meet</title></line>\n",
                    x_of(p, i + 1), x_of(p, i + 1), TOP + PLOT, TOP + PLOT + 7);
        const bool ends = i + 1 == p->n || p->plan->steps[p->steps[i + 1]].layer != step->layer;
        if (!ends) continue;
        char name[48] = "embedding";
        if (step->layer >= 0)
            snprintf(name, sizeof name, "layer %d of %d", step->layer,
                     p->plan->spec->hparams.n_layers);
        else if (start > 0)
            snprintf(name, sizeof name, "head");
        fprintf(out,
                "<text class=\"mid\" x=\"%.1f\" y=\"18\">%s</text><line x1=\"%.1f\" x2=\"%.1f\" "
                "y1=\"%d\" y2=\"%d\" stroke=\"#6b7280\" stroke-dasharray=\"4 3\"/>\n",
                (x_of(p, start) + x_of(p, i + 1)) / 2, name, x_of(p, i + 1), x_of(p, i + 1), 6,
                TOP + PLOT);
        start = i + 1;
    }
}

static void draw_buffer(const struct picture *p, int b, int first, int end, FILE *out) {
    const struct qn_buffer *const buffer = &p->plan->buffers[b];
    const double offset = (double)(buffer->offset - p->plan->layout.buffer_offset);
    const double bytes = (double)buffer_size(buffer);
    const double x = x_of(p, first), w = x_of(p, end) - x;
    const double h = PLOT * bytes / p->size, y = y_of(p, offset + bytes);
    char size[SIZE_TEXT];
    size_text(bytes, size);
    fprintf(out,
            "<rect x=\"%.1f\" y=\"%.2f\" width=\"%.1f\" height=\"%.2f\" fill=\"%s\" "
            "stroke=\"#fff\" stroke-width=\"%s\"><title>%s: %s at %.0f, %d rows of %zu "
            "bytes</title></rect>\n",
            x + 1, y, w - 2, h < 1 ? 1 : h, buffer_colours[b], h > 4 ? "1" : "0", buffer->name,
            size, offset, buffer->n_rows, buffer->row_size);
    if (h < 14) return;
    const bool wide = w > 7 * (double)(strlen(buffer->name) + strlen(size) + 1);
    if (!wide && w < 7 * (double)strlen(buffer->name)) return;
    fprintf(out, "<text class=\"on mid\" x=\"%.1f\" y=\"%.1f\">%s%s%s</text>\n", x + w / 2,
            y + h / 2 + 4, buffer->name, wide ? " " : "", wide ? size : "");
}

static void draw_arena(const struct picture *p, FILE *out) {
    fprintf(out, "<svg id=\"arena\" viewBox=\"0 0 %d %d\" role=\"img\">\n", WIDTH,
            TOP + PLOT + BOTTOM);
    draw_axis(p, out);
    for (int b = 0; b < QN_BUFFER_COUNT; b++) {
        if (!is_used(&p->plan->buffers[b])) continue;
        for (int i = 0, first = -1; i <= p->n; i++) {
            const bool here = i < p->n && (p->busy[p->steps[i]] >> b & 1);
            if (here && first < 0) first = i;
            if (here || first < 0) continue;
            draw_buffer(p, b, first, i, out);
            first = -1;
        }
    }
    draw_columns(p, out);
    fputs("</svg>\n<p class=\"key\">", out);
    for (int b = 0; b < QN_BUFFER_COUNT; b++) {
        const struct qn_buffer *const buffer = &p->plan->buffers[b];
        char text[SIZE_TEXT];
        if (is_used(buffer))
            fprintf(out, "<span><i style=\"background:%s\"></i>%s %s</span>", buffer_colours[b],
                    buffer->name, size_text((double)buffer_size(buffer), text));
    }
    fputs("</p>\n", out);
}

static bool write_arena(const struct qn_plan *plan, FILE *out) {
    uint32_t *const busy = calloc((size_t)plan->n_steps, sizeof *busy);
    int *const steps = calloc((size_t)plan->n_steps, sizeof *steps);
    struct picture p = {.plan = plan,
                        .busy = busy,
                        .steps = steps,
                        .layer = qn_plan_typical_layer(plan),
                        .size = (double)plan->layout.buffer_size};
    if (busy && steps) {
        size_t sum = 0;
        char all[SIZE_TEXT], arena[SIZE_TEXT];
        qn_plan_busy(plan, busy);
        for (int s = 0; s < plan->n_steps; s++)
            if (plan->steps[s].layer < 0 || plan->steps[s].layer == p.layer) steps[p.n++] = s;
        for (int b = 0; b < QN_BUFFER_COUNT; b++) sum += buffer_size(&plan->buffers[b]);
        fprintf(out,
                "<h2>The arena over a forward pass</h2>\n<p class=\"soft\">Buffers of a ubatch of "
                "%d tokens: %s in %s, as those that are never live together share. A rectangle is "
                "a buffer while it lives; a tick below is a step after which all threads meet when "
                "one token is decoded. Layers follow each other in the same places.</p>\n",
                plan->limits.n_ubatch, size_text((double)sum, all), size_text(p.size, arena));
        draw_arena(&p, out);
    }
    free(busy);
    free(steps);
    return busy && steps;
}

/* ---- time by step ----------------------------------------------------------------------- */

/* All steps of one name. */
struct row {
    const char *name;
    enum qn_module module;
    int n;
    double bytes, decode, prefill;
};

static struct row sum_of(const struct qn_plan *plan, const struct qn_plan_times *times, int first) {
    struct row row = {.name = plan->steps[first].name, .module = qn_plan_module(plan, first)};
    for (int s = first; s < plan->n_steps; s++) {
        if (strcmp(plan->steps[s].name, row.name) != 0 || qn_plan_module(plan, s) != row.module)
            continue;
        row.n++;
        row.bytes += (double)plan->steps[s].bytes;
        row.decode += times ? times->decode[s] : 0;
        row.prefill += times ? times->prefill[s] : 0;
    }
    return row;
}

static bool is_first(const struct qn_plan *plan, int s) {
    for (int i = 0; i < s; i++)
        if (strcmp(plan->steps[i].name, plan->steps[s].name) == 0 &&
            qn_plan_module(plan, i) == qn_plan_module(plan, s))
            return false;
    return true;
}

static void write_cell(FILE *out, double ns, double all, const char *colour) {
    char text[SIZE_TEXT];
    fprintf(out, "<td>%s<td class=\"bar\"><i style=\"width:%.1f%%;background:%s\"></i>",
            time_text(ns, text), all > 0 ? 100 * ns / all : 0, colour);
}

static void write_steps(const struct qn_plan *plan, const struct qn_plan_times *t, FILE *out) {
    double most_decode = 0, most_prefill = 0;
    fputs("<table>\n<tr><th class=\"t\">step<th class=\"t\">module<th>times<th>weights read", out);
    if (t) fprintf(out, "<th>a token<th><th>%d tokens<th>", t->n_prefill);
    for (int pass = 0; pass < 2; pass++) /* the longest bars first, then the rows */
        for (int s = 0; s < plan->n_steps; s++) {
            if (!is_first(plan, s)) continue;
            const struct row row = sum_of(plan, t, s);
            if (row.decode > most_decode) most_decode = row.decode;
            if (row.prefill > most_prefill) most_prefill = row.prefill;
            if (pass == 0) continue;
            char text[SIZE_TEXT];
            fprintf(out, "\n<tr><td class=\"t\">%s<td class=\"t\">%s<td>%d<td>%s", row.name,
                    qn_module_name(row.module), row.n,
                    row.bytes > 0 ? size_text(row.bytes, text) : "");
            if (!t) continue;
            write_cell(out, row.decode, most_decode, module_colours[row.module]);
            write_cell(out, row.prefill, most_prefill, module_colours[row.module]);
        }
    fputs("\n</table>\n", out);
}

static void write_time(const struct qn_plan *plan, const struct qn_plan_about *about, FILE *out) {
    const struct qn_plan_times *const t = about->times;
    char decode[SIZE_TEXT], prefill[SIZE_TEXT];
    if (!t) {
        fputs("<h2>Steps</h2>\n<p class=\"soft\">This machine was not measured with these "
              "instructions and threads, so no times are predicted: quern doctor measures "
              "it.</p>\n",
              out);
    } else {
        fprintf(out,
                "<h2>Time at the least</h2>\n<p>A decoded token at position %d: <b>%s</b>, %.0f a "
                "second. A prefill of %d tokens: <b>%s</b>, %.0f a second.</p>\n",
                t->position, time_text(t->decode_sum, decode), 1e9 / t->decode_sum, t->n_prefill,
                time_text(t->prefill_sum, prefill), 1e9 * t->n_prefill / t->prefill_sum);
        fprintf(out,
                "<p class=\"soft\">By the roofline: each step's bytes at the %.1f GB/s that %d "
                "thread%s were measured to read from %s, or its operations at %.0f GOP/s of int8 "
                "and %.0f GFLOP/s of floats, whichever takes longer. Waiting for each other "
                "comes on top.</p>\n",
                about->roof->limits.read[about->roof->weights].best, about->roof->limits.n_threads,
                about->roof->limits.n_threads == 1 ? "" : "s", qn_level_name(about->roof->weights),
                about->roof->limits.peak[QN_PEAK_INT8].best,
                about->roof->limits.peak[QN_PEAK_F32].best);
    }
    write_steps(plan, t, out);
}

enum qn_status qn_plan_write_html(const struct qn_plan *plan, const struct qn_plan_about *about,
                                  FILE *out, struct qn_error *err) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    fputs("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width\">\n<title>quern plan: ",
          out);
    qn_put_text(about->file, out);
    fprintf(out, "</title>\n<style>%s</style>\n<h1>", style);
    qn_put_text(about->file, out);
    fprintf(out,
            "</h1>\n<p class=\"soft\">%s, %d layers, width %d, %d heads of %d over %d KV heads, "
            "MLP %d, vocabulary %d · context %d, ubatch %d, %d thread%s, %s, KV %s</p>\n",
            plan->spec->family->name, h->n_layers, h->n_embd, h->n_heads, h->head_size,
            h->n_kv_heads, h->n_ff, h->n_vocab, plan->limits.n_ctx, plan->limits.n_ubatch,
            plan->limits.n_threads, plan->limits.n_threads == 1 ? "" : "s", about->isa,
            qn_cache_name(plan->limits.cache));
    write_memory(plan, about, out);
    if (!write_arena(plan, out))
        return qn_fail(err, QN_NO_MEMORY, "no memory for the page of a plan");
    write_time(plan, about, out);
    return QN_OK;
}
