/* SPDX-License-Identifier: Apache-2.0 */
#include "report/predict.h"

#include <stdlib.h>

#include "run/spans.h"

/* Sequences that evaluate n tokens each, one after the other: the first at the position, logits of
 * the last. */
struct stretch {
    int position, n, n_sequences;
};

/* Tokens [first, first + m) of all of them. */
static struct qn_pass pass_of(const struct qn_plan *plan, const struct stretch *stretch, int first,
                              int m) {
    const int window = plan->spec->hparams.window;
    struct qn_pass pass = {.m = m, .decode = stretch->n == 1};
    for (int i = 0; i < m; i++) {
        const int at = (first + i) % stretch->n;
        const bool last = at + 1 == stretch->n, ends = last || i + 1 == m;
        const int position = stretch->position + at;
        const uint64_t all = (uint64_t)position + 1;
        const uint64_t near = all - (uint64_t)qn_first_visible(position, window);
        pass.visible[0] += all;
        pass.visible[1] += near;
        pass.read[0] += ends ? all : 0;
        pass.read[1] += ends ? near : 0;
        pass.n_outputs += last;
        pass.position = position;
    }
    return pass;
}

static double least_ns(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                       int s, const struct qn_pass *pass) {
    const struct qn_step *const step = &plan->steps[s];
    if (step->rows == QN_ROWS_OUTPUTS && pass->n_outputs == 0) return 0;
    const struct qn_cost cost = qn_plan_cost(plan, s, pass);
    return qn_roof_least(roof, step->op, qn_plan_peak_use(plan, s, bundles), &cost).ns;
}

enum qn_status qn_predict(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                          struct qn_plan_times *times, struct qn_error *err) {
    const int n_ctx = plan->limits.n_ctx, n_ubatch = plan->limits.n_ubatch;
    const int n = n_ctx < QN_PREDICTED_PREFILL ? n_ctx : QN_PREDICTED_PREFILL;
    *times = (struct qn_plan_times){.n_prefill = n, .position = n < n_ctx ? n : n_ctx - 1};
    times->decode = calloc((size_t)plan->n_steps, sizeof *times->decode);
    times->prefill = calloc((size_t)plan->n_steps, sizeof *times->prefill);
    if (!times->decode || !times->prefill) {
        qn_predict_free(times);
        return qn_fail(err, QN_NO_MEMORY, "no memory for a prediction");
    }
    const struct stretch one = {times->position, 1, 1}, prompt = {0, n, 1};
    const struct qn_pass token = pass_of(plan, &one, 0, 1);
    for (int s = 0; s < plan->n_steps; s++) {
        times->decode[s] = least_ns(plan, roof, bundles, s, &token);
        times->decode_sum += times->decode[s];
    }
    for (int at = 0; at < n; at += n_ubatch) {
        const int m = n - at < n_ubatch ? n - at : n_ubatch;
        const struct qn_pass pass = pass_of(plan, &prompt, at, m);
        for (int s = 0; s < plan->n_steps; s++)
            times->prefill[s] += least_ns(plan, roof, bundles, s, &pass);
    }
    for (int s = 0; s < plan->n_steps; s++) times->prefill_sum += times->prefill[s];
    return QN_OK;
}

/* The least time of a step, or without a roof its operations. */
static double amount(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                     int s, const struct qn_pass *pass) {
    return roof ? least_ns(plan, roof, bundles, s, pass) : qn_plan_cost(plan, s, pass).flops;
}

static double sum_stretch(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                          const struct stretch *stretch) {
    const int n_ubatch = plan->limits.n_ubatch, n = stretch->n * stretch->n_sequences;
    double sum = 0;
    for (int at = 0; at < n; at += n_ubatch) {
        const struct qn_pass pass =
            pass_of(plan, stretch, at, n - at < n_ubatch ? n - at : n_ubatch);
        for (int s = 0; s < plan->n_steps; s++) sum += amount(plan, roof, bundles, s, &pass);
    }
    return sum;
}

static double sum_run(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                      const struct qn_run *run) {
    enum { EVALUATED = 256 }; /* tokens at most: amounts are lines over the position, or two */
    const int n_gen = run->n_gen, stride = 1 + (n_gen - 1) / EVALUATED;
    const struct stretch prompt = {run->depth, run->n_prompt, run->n_sequences};
    double sum = sum_stretch(plan, roof, bundles, &prompt);
    for (int at = 0; at < n_gen; at += stride) {
        const int n = n_gen - at < stride ? n_gen - at : stride;
        const struct stretch tokens = {run->depth + run->n_prompt + at + n / 2, 1,
                                       run->n_sequences};
        sum += n * sum_stretch(plan, roof, bundles, &tokens);
    }
    return sum;
}

double qn_predict_run(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                      const struct qn_run *run) {
    return sum_run(plan, roof, bundles, run);
}

double qn_run_flops(const struct qn_plan *plan, const struct qn_run *run) {
    return sum_run(plan, NULL, 0, run);
}

void qn_predict_free(struct qn_plan_times *times) {
    free(times->decode);
    free(times->prefill);
    times->decode = times->prefill = NULL;
}
