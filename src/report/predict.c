/* SPDX-License-Identifier: Apache-2.0 */
#include "report/predict.h"

#include <math.h>
#include <stdlib.h>

/* m tokens of one sequence, the first at the position; logits of the last one where `output`. */
static struct qn_pass pass_at(const struct qn_plan *plan, int position, int m, bool output) {
    const uint64_t window = (uint64_t)plan->spec->hparams.window;
    struct qn_pass pass = {
        .m = m, .n_outputs = output, .position = position + m - 1, .decode = m == 1};
    for (int i = 0; i < m; i++) {
        const uint64_t all = (uint64_t)(position + i) + 1;
        const uint64_t near = window && all > window ? window : all;
        pass.visible[0] += all;
        pass.visible[1] += near;
        pass.read[0] = all;
        pass.read[1] = near;
    }
    return pass;
}

static enum qn_peak peak_of(const struct qn_plan *plan, const struct qn_step *step,
                            uint32_t bundles) {
    if (step->op != QN_OP_MATMUL) return QN_PEAK_F32;
    const struct qn_weight *const w =
        qn_spec_weight(plan->spec, step->products[0].weight, step->layer);
    return qn_peak_of_form(qn_type_infos[w->type].pack, bundles);
}

/* Rows of the stream were written a moment ago; weights and the cache come from further away. */
static double least_ns(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                       int s, const struct qn_pass *pass) {
    const struct qn_step *const step = &plan->steps[s];
    if (step->rows == QN_ROWS_OUTPUTS && pass->n_outputs == 0) return 0;
    const bool streams = step->op == QN_OP_MATMUL || step->op == QN_OP_ATTENTION;
    const struct qn_cost cost = qn_plan_cost(plan, s, pass);
    const double read = roof->limits.read[streams ? roof->weights : QN_LEVEL_L2].best;
    const double peak = roof->limits.peak[peak_of(plan, step, bundles)].best;
    /* 10^9 a second are 1 a nanosecond. */
    return fmax(read > 0 ? cost.bytes / read : 0, peak > 0 ? cost.flops / peak : 0);
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
    const struct qn_pass token = pass_at(plan, times->position, 1, true);
    for (int s = 0; s < plan->n_steps; s++) {
        times->decode[s] = least_ns(plan, roof, bundles, s, &token);
        times->decode_sum += times->decode[s];
    }
    for (int at = 0; at < n; at += n_ubatch) {
        const int m = n - at < n_ubatch ? n - at : n_ubatch;
        const struct qn_pass pass = pass_at(plan, at, m, at + m == n);
        for (int s = 0; s < plan->n_steps; s++)
            times->prefill[s] += least_ns(plan, roof, bundles, s, &pass);
    }
    for (int s = 0; s < plan->n_steps; s++) times->prefill_sum += times->prefill[s];
    return QN_OK;
}

static double pass_ns(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                      const struct qn_pass *pass) {
    double sum = 0;
    for (int s = 0; s < plan->n_steps; s++) sum += least_ns(plan, roof, bundles, s, pass);
    return sum;
}

double qn_predict_run(const struct qn_plan *plan, const struct qn_roof *roof, uint32_t bundles,
                      int depth, int n_prompt, int n_gen) {
    enum { EVALUATED = 256 }; /* tokens at most: steps' times are lines over the position, or two */
    const int n_ubatch = plan->limits.n_ubatch, stride = 1 + (n_gen - 1) / EVALUATED;
    double sum = 0;
    for (int at = 0; at < n_prompt; at += n_ubatch) {
        const int m = n_prompt - at < n_ubatch ? n_prompt - at : n_ubatch;
        const struct qn_pass pass = pass_at(plan, depth + at, m, at + m == n_prompt);
        sum += pass_ns(plan, roof, bundles, &pass);
    }
    for (int at = 0; at < n_gen; at += stride) {
        const int n = n_gen - at < stride ? n_gen - at : stride;
        const struct qn_pass token = pass_at(plan, depth + n_prompt + at + n / 2, 1, true);
        sum += n * pass_ns(plan, roof, bundles, &token);
    }
    return sum;
}

void qn_predict_free(struct qn_plan_times *times) {
    free(times->decode);
    free(times->prefill);
    times->decode = times->prefill = NULL;
}
