/* SPDX-License-Identifier: Apache-2.0
 *
 * The plan as text, stable from run to run, so that a diff shows what a change does.
 */
#include "plan/plan.h"

#include <string.h>

static const double mebibyte = 1024.0 * 1024.0;

static const char *const after_names[] = {
    [QN_AFTER_NOTHING] = "",
    [QN_AFTER_ADD] = "add to x",
    [QN_AFTER_STORE_KV] = "rotate k, store k v",
    [QN_AFTER_ACTIVATE] = "activate",
    [QN_AFTER_MAXIMA] = "find maxima",
    [QN_AFTER_SOFTCAP] = "soft cap, find maxima",
    [QN_AFTER_COMBINE] = "weigh and sum",
};

/* "576 x 576 Q4_1 + 192 x 576 Q4_1" */
static void describe_products(const struct qn_plan *plan, const struct qn_step *step, char *text,
                              size_t capacity) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    size_t used = 0;
    if (step->rows == QN_ROWS_SLOTS && step->n_products)
        used += (size_t)snprintf(text, capacity, "%d of %d: ", h->n_experts_used, h->n_experts);
    for (int i = 0; i < step->n_products && used < capacity; i++) {
        const struct qn_weight *const w =
            qn_spec_weight(plan->spec, step->products[i].weight, step->layer);
        used += (size_t)snprintf(text + used, capacity - used, "%s%dx%d %s%s", i ? " " : "", w->n,
                                 w->k, qn_type_infos[w->packed].name,
                                 step->products[i].bias == QN_ROLE_COUNT ? "" : "+b");
    }
}

/* What a layer's attention has of its own: "window 4096, no rotation". */
static void describe_attention(const struct qn_plan *plan, int layer, char *text, size_t capacity) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    const int window = qn_hparams_window(h, layer);
    char of_window[32] = "";
    if (window) snprintf(of_window, sizeof of_window, "window %d", window);
    const char *const rotation = h->layers[layer] & QN_LAYER_NO_ROPE              ? "no rotation"
                                 : qn_hparams_rope_set(h, layer) == QN_ROPE_LOCAL ? "own rotation"
                                                                                  : "";
    snprintf(text, capacity, "%s%s%s", of_window, window && *rotation ? ", " : "", rotation);
}

static void describe_prepare(const struct qn_plan *plan, const struct qn_step *step, char *text,
                             size_t capacity) {
    int used = snprintf(text, capacity, "%s", plan->buffers[step->in].name);
    const char *joint = " -> ";
    for (int act = 0; act < QN_ACT_COUNT && (size_t)used < capacity; act++) {
        if (!(step->acts[true] >> act & 1)) continue;
        used += snprintf(text + used, capacity - (size_t)used, "%s%s", joint,
                         qn_act_name((enum qn_act)act));
        joint = "+";
    }
}

static void describe(const struct qn_plan *plan, const struct qn_step *step, char *text,
                     size_t capacity) {
    text[0] = '\0';
    if (step->op == QN_OP_PREPARE)
        describe_prepare(plan, step, text, capacity);
    else if (step->op == QN_OP_ATTENTION)
        describe_attention(plan, step->layer, text, capacity);
    else
        describe_products(plan, step, text, capacity);
}

/* Two columns of microseconds, where they are known. */
static void print_times(const struct qn_plan_times *times, int s, FILE *out) {
    if (times) fprintf(out, "  %9.2f  %10.1f", 1e-3 * times->decode[s], 1e-3 * times->prefill[s]);
}

static void print_step(const struct qn_plan *plan, const struct qn_plan_times *times, int s,
                       FILE *out) {
    const struct qn_step *const step = &plan->steps[s];
    char layer[16] = "-", what[160] = "";
    if (step->layer >= 0) snprintf(layer, sizeof layer, "%d", step->layer);
    describe(plan, step, what, sizeof what);
    const int width = 46 - (int)strlen(what) > 0 ? 46 : (int)strlen(what);
    fprintf(out, "%4d  %5s  %-11s  %-9s  %-*s  %9.3f", s, layer, step->name, qn_op_name(step->op),
            width, what, (double)step->bytes / mebibyte);
    print_times(times, s, out);
    fprintf(out, "  %-7s  %s\n", qn_step_has_decode_barrier(plan, step) ? "barrier" : "",
            after_names[step->after]);
}

/* Layers of one shape are printed once. */
static bool same_shape(const struct qn_plan *plan, int first, int other, int count) {
    for (int i = 0; i < count; i++) {
        const struct qn_step *const a = &plan->steps[first + i], *const b = &plan->steps[other + i];
        if (a->op != b->op || a->acts[0] != b->acts[0] || a->acts[1] != b->acts[1] ||
            a->bytes != b->bytes || a->after != b->after)
            return false;
        char text_a[160] = "", text_b[160] = "";
        describe(plan, a, text_a, sizeof text_a);
        describe(plan, b, text_b, sizeof text_b);
        if (strcmp(text_a, text_b) != 0) return false;
    }
    return true;
}

static int layer_length(const struct qn_plan *plan, int first) {
    int n = 0;
    while (first + n < plan->n_steps && plan->steps[first + n].layer == plan->steps[first].layer)
        n++;
    return n;
}

static void print_steps(const struct qn_plan *plan, const struct qn_plan_times *times, FILE *out) {
    fprintf(out, "\n%4s  %5s  %-11s  %-9s  %-46s  %9s", "step", "layer", "name", "op",
            "weights (outputs x inputs)", "MiB");
    if (times) fprintf(out, "  %9s  %10s", "us token", "us prefill");
    fprintf(out, "  %s\n", "decode");
    for (int s = 0; s < plan->n_steps;) {
        const int n = layer_length(plan, s);
        for (int i = 0; i < n; i++) print_step(plan, times, s + i, out);
        int next = s + n, repeats = 0;
        if (plan->steps[s].layer >= 0)
            while (next + n <= plan->n_steps && plan->steps[next].layer >= 0 &&
                   layer_length(plan, next) == n && same_shape(plan, s, next, n)) {
                next += n;
                repeats++;
            }
        if (repeats)
            fprintf(out, "            ... %d more layer%s like %d, to step %d\n", repeats,
                    repeats > 1 ? "s" : "", plan->steps[s].layer, next - 1);
        s = next;
    }
    int barriers = 0;
    for (int s = 0; s < plan->n_steps; s++)
        barriers += qn_step_has_decode_barrier(plan, &plan->steps[s]);
    fprintf(out, "%d steps; a decoded token meets %d barriers\n", plan->n_steps, barriers);
}

static void print_buffers(const struct qn_plan *plan, FILE *out) {
    const struct qn_layout *const l = &plan->layout;
    size_t sum = 0;
    fprintf(out, "\n%-10s  %8s  %10s  %12s  %12s\n", "buffer", "rows", "row bytes", "offset",
            "MiB");
    for (int b = 0; b < QN_BUFFER_COUNT; b++) {
        const struct qn_buffer *const buffer = &plan->buffers[b];
        const size_t size = buffer->row_size * (size_t)buffer->n_rows;
        sum += size;
        if (size)
            fprintf(out, "%-10s  %8d  %10zu  %12zu  %12.3f\n", buffer->name, buffer->n_rows,
                    buffer->row_size, buffer->offset - l->buffer_offset, (double)size / mebibyte);
    }
    fprintf(out, "%.3f MiB of buffers in %.3f MiB: those that are never live together share\n",
            (double)sum / mebibyte, (double)l->buffer_size / mebibyte);
}

static void print_memory(const struct qn_plan *plan, FILE *out) {
    const struct qn_layout *const l = &plan->layout;
    const struct {
        const char *name;
        size_t size;
    } lines[] = {
        {"weights, packed", plan->spec->arena_size},
        {"KV cache", l->kv_size},
        {"work buffers", l->buffer_size},
        {"scratch of all threads", l->scratch_size * (size_t)plan->limits.n_threads},
    };
    size_t total = 0;
    fprintf(out, "\n%-24s  %12s\n", "memory", "MiB");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        fprintf(out, "%-24s  %12.2f\n", lines[i].name, (double)lines[i].size / mebibyte);
        total += lines[i].size;
    }
    fprintf(out, "%-24s  %12.2f\n", "total", (double)total / mebibyte);
}

void qn_plan_print(const struct qn_plan *plan, const struct qn_plan_times *times, FILE *out) {
    const struct qn_hparams *const h = &plan->spec->hparams;
    const struct qn_limits *const limits = &plan->limits;
    const struct qn_layout *const l = &plan->layout;
    fprintf(out,
            "%s: %d layers, width %d, %d heads of %d over %d KV heads, MLP %d, vocabulary %d%s\n",
            plan->spec->family->name, h->n_layers, h->n_embd, h->n_heads, h->head_size,
            h->n_kv_heads, h->n_ff, h->n_vocab, plan->spec->tied ? ", tied head" : "");
    fprintf(out, "context %d, ubatch %d, %d sequence%s, %d thread%s, tiles of %d rows, KV %s\n",
            limits->n_ctx, limits->n_ubatch, limits->n_sequences,
            limits->n_sequences > 1 ? "s" : "", limits->n_threads, limits->n_threads > 1 ? "s" : "",
            plan->spec->tile_rows, qn_cache_name(limits->cache));
    print_steps(plan, times, out);
    print_buffers(plan, out);
    fprintf(out, "\na decoded token reads %.2f MiB of weights, and %zu bytes of KV a position\n",
            (double)plan->spec->decode_size / mebibyte,
            (l->k_block + l->v_block) / QN_KV_BLOCK * (size_t)h->n_kv_heads * (size_t)h->n_layers);
    print_memory(plan, out);
}
