/* SPDX-License-Identifier: Apache-2.0
 *
 * Times that a plan takes at the least, lifetimes of its buffers, and the largest context.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "host/limits.h"
#include "report/capacity.h"
#include "report/predict.h"

struct planned {
    struct qn_checkpoint *checkpoint;
    struct qn_spec spec;
    struct qn_plan plan;
};

static void plan_model(const char *file, int n_ctx, int n_ubatch, struct planned *p) {
    struct qn_error err;
    char path[512];
    snprintf(path, sizeof path, "%s/models/%s", TEST_DATA, file);
    cr_assert_eq(qn_checkpoint_open(path, &p->checkpoint, &err), QN_OK, "%s", err.message);
    cr_assert_eq(
        qn_spec_read(p->checkpoint, &(struct qn_kernels){.tile_rows = 16}, NULL, &p->spec, &err),
        QN_OK, "%s", err.message);
    const struct qn_limits limits = {
        .n_ctx = n_ctx, .n_ubatch = n_ubatch, .n_sequences = 1, .n_logits = 1, .n_threads = 2};
    cr_assert_eq(qn_plan_new(&p->spec, &limits, &p->plan, &err), QN_OK, "%s", err.message);
}

static void close_model(struct planned *p) {
    qn_plan_free(&p->plan);
    qn_spec_free(&p->spec);
    qn_checkpoint_close(p->checkpoint);
}

/* GB/s and GOP/s that make every step bound by bytes, or by operations. */
static struct qn_roof roof_of(double read, double peak) {
    struct qn_roof roof = {.weights = QN_LEVEL_MEMORY};
    for (int i = 0; i < QN_LEVEL_COUNT; i++) roof.limits.read[i].best = read;
    for (int i = 0; i < QN_PEAK_COUNT; i++) roof.limits.peak[i].best = peak;
    return roof;
}

static const uint32_t reference = 1u << QN_ISA_REF;

Test(predict, bytes_and_operations_bound_in_turn) {
    struct planned p;
    plan_model("llama-q8_0.gguf", 128, 128, &p);
    const struct qn_roof slow_memory = roof_of(1, 1e12), slow_cores = roof_of(1e12, 1);
    struct qn_plan_times bytes, flops;
    cr_assert_eq(qn_predict(&p.plan, &slow_memory, reference, &bytes, NULL), QN_OK);
    cr_assert_eq(qn_predict(&p.plan, &slow_cores, reference, &flops, NULL), QN_OK);
    cr_assert(bytes.n_prefill == 128 && bytes.position == 127, "%d %d", bytes.n_prefill,
              bytes.position);
    double weights = 0, operations = 0;
    for (int s = 0; s < p.plan.n_steps; s++) {
        const struct qn_step *const step = &p.plan.steps[s];
        if (step->op != QN_OP_MATMUL) continue;
        weights += (double)step->bytes;
        operations += (double)step->flops;
        /* A quantized head multiplies two rows a token, of the last one alone. */
        const bool is_head = step->rows == QN_ROWS_OUTPUTS;
        const double done = (double)step->flops * (is_head ? 2 : 1), rows = is_head ? 1 : 128;
        cr_assert_float_eq(flops.decode[s], done, 1e-9 * done);
        cr_assert_float_eq(flops.prefill[s], rows * done, 1e-9 * rows * done, "%s", step->name);
        /* 1 GB/s is a byte a nanosecond; rows of input and output come on top. */
        cr_assert(bytes.decode[s] >= (double)step->bytes);
    }
    cr_assert(bytes.decode_sum >= weights && bytes.decode_sum < 2 * weights);
    cr_assert(flops.decode_sum >= operations);
    qn_predict_free(&bytes);
    qn_predict_free(&flops);
    close_model(&p);
}

/* Of one sequence. */
static double least(const struct planned *p, const struct qn_roof *roof, uint32_t bundles,
                    int depth, int n_prompt, int n_gen) {
    const struct qn_run run = {depth, n_prompt, n_gen, 1};
    return qn_predict_run(&p->plan, roof, bundles, &run);
}

Test(predict, runs_are_sums_of_passes) {
    struct planned p;
    plan_model("llama-q8_0.gguf", 2048, 64, &p);
    const struct qn_roof roof = roof_of(3, 5);
    struct qn_plan_times times;
    cr_assert_eq(qn_predict(&p.plan, &roof, reference, &times, NULL), QN_OK);
    const double prompt = least(&p, &roof, reference, 0, times.n_prefill, 0);
    const double token = least(&p, &roof, reference, times.position, 0, 1);
    cr_assert_float_eq(prompt, times.prefill_sum, 1e-9 * prompt);
    cr_assert_float_eq(token, times.decode_sum, 1e-9 * token);
    const double both = least(&p, &roof, reference, 0, times.n_prefill, 1);
    cr_assert_float_eq(both, prompt + token, 1e-9 * both);
    cr_assert_eq(least(&p, &roof, reference, 7, 0, 0), 0);
    /* Of many tokens some stand for their neighbours: times are lines, so next to nothing is lost.
     */
    double one_by_one = 0;
    for (int i = 0; i < 1000; i++) one_by_one += least(&p, &roof, reference, 100 + i, 0, 1);
    const double at_once = least(&p, &roof, reference, 100, 0, 1000);
    cr_assert_float_eq(at_once, one_by_one, 1e-3 * one_by_one, "%f %f", at_once, one_by_one);
    cr_assert_gt(least(&p, &roof, reference, 1000, 0, 1), token);
    qn_predict_free(&times);
    close_model(&p);
}

/* The weight of a product, to change. */
static struct qn_weight *weight_of(struct planned *p, const struct qn_step *step, int product) {
    const struct qn_weight *const w =
        qn_spec_weight(&p->spec, step->products[product].weight, step->layer);
    return &p->spec.weights[w - p->spec.weights];
}

/* Of products with different arithmetic the one with most operations counts, whether it is the
 * last, as Q is behind K and V, or the first. */
Test(predict, the_largest_product_of_a_step_bounds_it) {
    struct planned p;
    plan_model("llama-q8_0.gguf", 128, 128, &p);
    int s = 0;
    while (p.plan.steps[s].n_products != 3) s++;
    struct qn_step *const step = &p.plan.steps[s];
    struct qn_roof roof = roof_of(1e12, 1e12);
    roof.limits.peak[QN_PEAK_INT8].best = 1;
    for (int largest = 2; largest >= 0; largest -= 2) {
        const struct qn_product q = step->products[2];
        step->products[2] = step->products[largest];
        step->products[largest] = q;
        cr_assert_gt(weight_of(&p, step, largest)->n, weight_of(&p, step, 2 - largest)->n);
        for (int floats = 0; floats < 2; floats++) {
            for (int i = 0; i < 3; i++)
                weight_of(&p, step, i)->packed =
                    (i == largest) == floats ? QN_TYPE_F32 : QN_TYPE_Q8_0;
            const struct qn_peak_use use = qn_plan_peak_use(&p.plan, s, reference);
            cr_assert_eq(use.peak, floats ? QN_PEAK_F32 : QN_PEAK_INT8);
            struct qn_plan_times times;
            cr_assert_eq(qn_predict(&p.plan, &roof, reference, &times, NULL), QN_OK);
            cr_assert_float_eq(times.decode[s], (double)step->flops / (floats ? 1e12 : 1), 1e-6);
            qn_predict_free(&times);
        }
    }
    close_model(&p);
}

/* Weights are read once for all sequences, the cache and rows of each by itself. */
Test(predict, sequences_share_weights) {
    struct planned p;
    plan_model("llama-q8_0.gguf", 2048, 64, &p);
    const struct qn_roof slow_memory = roof_of(1, 1e12), slow_cores = roof_of(1e12, 1);
    double weights = 0;
    for (int s = 0; s < p.plan.n_steps; s++)
        if (p.plan.steps[s].op == QN_OP_MATMUL) weights += (double)p.plan.steps[s].bytes;
    for (int depth = 0; depth <= 200; depth += 100) {
        const struct qn_run together = {depth, 0, 3, 8};
        const double one = least(&p, &slow_memory, reference, depth, 0, 3);
        const double eight = qn_predict_run(&p.plan, &slow_memory, reference, &together);
        const double expected = 3 * weights + 8 * (one - 3 * weights);
        cr_assert_float_eq(eight, expected, 1e-9 * expected);
        const double work = least(&p, &slow_cores, reference, depth, 0, 3);
        const double of_eight = qn_predict_run(&p.plan, &slow_cores, reference, &together);
        cr_assert_float_eq(of_eight, 8 * work, 1e-9 * of_eight);
    }
    /* Prompts of 40 tokens in ubatches of 64: operations are as many as of each alone. */
    const struct qn_run prompts = {10, 40, 0, 8};
    const double alone = least(&p, &slow_cores, reference, 10, 40, 0);
    const double all = qn_predict_run(&p.plan, &slow_cores, reference, &prompts);
    cr_assert_float_eq(all, 8 * alone, 1e-9 * all);
    close_model(&p);
}

/* With cores so slow that nothing else counts the least time is the operations; those of the head
 * are done twice, with both parts of a token's row. */
Test(predict, operations_are_those_that_are_done) {
    struct planned p;
    plan_model("llama-q8_0.gguf", 2048, 64, &p);
    const struct qn_roof slow_cores = roof_of(1e12, 1);
    double head = 0, one_by_one = 0;
    for (int s = 0; s < p.plan.n_steps; s++)
        if (p.plan.steps[s].op == QN_OP_MATMUL && p.plan.steps[s].rows == QN_ROWS_OUTPUTS)
            head += (double)p.plan.steps[s].flops;
    const struct {
        struct qn_run run;
        int n_outputs;
    } runs[] = {{{0, 512, 0, 1}, 1}, {{100, 0, 300, 1}, 300}, {{10, 40, 3, 8}, 32}};
    for (int i = 0; i < 3; i++) {
        const double least_time = qn_predict_run(&p.plan, &slow_cores, reference, &runs[i].run);
        const double expected = least_time - runs[i].n_outputs * head;
        const double found = qn_run_flops(&p.plan, &runs[i].run);
        cr_assert_float_eq(found, expected, 1e-9 * expected);
    }
    /* Of a prompt the head sees one row, of tokens one by one all of them; with its norm. */
    for (int i = 0; i < 40; i++) {
        const struct qn_run token = {i, 0, 1, 1};
        one_by_one += qn_run_flops(&p.plan, &token);
    }
    const struct qn_run prompt = {0, 40, 0, 1};
    const double less = (one_by_one - qn_run_flops(&p.plan, &prompt)) / 39;
    cr_assert(head > 0 && less >= head && less < 1.1 * head, "%g, head %g", less, head);
    close_model(&p);
}

Test(predict, windows_end_the_growth) {
    struct planned p;
    plan_model("llama-window-f32.gguf", 4096, 64, &p);
    const struct qn_roof roof = roof_of(1, 1e12);
    const int window = p.spec.hparams.window;
    cr_assert_gt(window, 0);
    const double full = least(&p, &roof, reference, window, 0, 1);
    cr_assert_lt(least(&p, &roof, reference, 0, 0, 1), full);
    bool all_windowed = true;
    for (int l = 0; l < p.spec.hparams.n_layers; l++)
        all_windowed &= qn_hparams_window(&p.spec.hparams, l) > 0;
    const double deep = least(&p, &roof, reference, 4000, 0, 1);
    cr_assert(all_windowed ? deep == full : deep > full);
    close_model(&p);
}

Test(predict, busy_buffers_hold_what_steps_read_and_write) {
    static const char *const files[] = {"llama-q8_0.gguf", "mixtral-f16.gguf", "gemma2-f16.gguf"};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        struct planned p;
        plan_model(files[f], 64, 64, &p);
        uint32_t *const busy = calloc((size_t)p.plan.n_steps, sizeof *busy), live = 0;
        qn_plan_busy(&p.plan, busy);
        for (int s = p.plan.n_steps - 1; s >= 0; s--) {
            const uint32_t reads = qn_step_reads(&p.plan.steps[s]);
            const uint32_t writes = qn_step_writes(&p.plan.steps[s]);
            /* Itself, and what later steps read that no step before them writes anew. */
            cr_assert_eq(~busy[s] & (reads | writes | live), 0, "%s step %d", files[f], s);
            live = (live & ~writes) | reads;
        }
        free(busy);
        close_model(&p);
    }
}

Test(capacity, the_largest_context_fits) {
    struct planned p, other;
    plan_model("llama-q8_0.gguf", 256, 64, &p);
    const double memory = 64.0 * (1 << 20);
    const int n_ctx = qn_capacity_context(&p.plan, QN_CACHE_F16, memory);
    plan_model("llama-q8_0.gguf", n_ctx, 64, &other);
    cr_assert_leq((double)qn_capacity_needed(&other.plan), memory);
    close_model(&other);
    plan_model("llama-q8_0.gguf", n_ctx + 1, 64, &other);
    cr_assert_gt((double)qn_capacity_needed(&other.plan), memory);
    close_model(&other);
    cr_assert_leq(qn_capacity_context(&p.plan, QN_CACHE_F32, memory), n_ctx);
    cr_assert_eq(qn_capacity_context(&p.plan, QN_CACHE_F16, 1000), 0, "not even the weights");
    cr_assert_eq(qn_capacity_context(&p.plan, QN_CACHE_F16, 1e18), QN_CAPACITY_MAX);
    close_model(&p);
    bool limited;
    cr_assert_gt(qn_limits_memory("", &limited), 0);
}
