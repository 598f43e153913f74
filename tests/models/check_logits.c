/* SPDX-License-Identifier: Apache-2.0
 *
 * Logits of a model against those of transformers.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checks.h"
#include "models/model.h"
#include "run/access.h"

struct difference {
    double max; /* of |ours - theirs|, in standard deviations of theirs */
    double kl;  /* KL(theirs || ours) */
};

static double log_sum_exp(const float *x, size_t n) {
    double max = -INFINITY, sum = 0;
    /* Not by fmax: gcc 12 fails over a maximum of them for AArch64 (an internal error). */
    for (size_t i = 0; i < n; i++)
        if (x[i] > max) max = x[i];
    for (size_t i = 0; i < n; i++) sum += exp(x[i] - max);
    return max + log(sum);
}

static struct difference compare_row(const float *ours, const float *theirs, size_t n) {
    struct difference d = {0};
    double mean = 0, variance = 0;
    const double sum_ours = log_sum_exp(ours, n), sum_theirs = log_sum_exp(theirs, n);
    for (size_t i = 0; i < n; i++) mean += theirs[i] / (double)n;
    for (size_t i = 0; i < n; i++) variance += (theirs[i] - mean) * (theirs[i] - mean) / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double log_p = theirs[i] - sum_theirs, log_q = ours[i] - sum_ours;
        d.kl += exp(log_p) * (log_p - log_q);
        const double away = fabs((double)ours[i] - theirs[i]) / sqrt(variance);
        if (!(away <= d.max)) d.max = away;
    }
    return d;
}

/* Over the positions, of KL(theirs || ours). */
struct divergence {
    double mean, least;
};

static struct divergence divergence(const struct npy *ours, const struct npy *theirs) {
    struct divergence d = {0, INFINITY};
    for (size_t i = 0; i < theirs->rows; i++) {
        const double kl = compare_row(ours->f32 + i * ours->columns,
                                      theirs->f32 + i * theirs->columns, theirs->columns)
                              .kl;
        d.mean += kl / (double)theirs->rows;
        if (!(kl >= d.least)) d.least = kl;
    }
    return d;
}

/* Quantized weights: transformers with inputs rounded to int8 by the same rule rounds alike (KL as
 * of reordered sums, some 1e-13), but where float errors carry an input over the boundary between
 * two steps; from there on a row is another draw of the same noise, so the distance stays below
 * what the rounding itself costs. At the position that fewest inputs of this kind reach it is at
 * most 5e-8, and by another rule for the head's input alone 1e-6 and more (the trained LLaMA 1e-7).
 */
static void judge_rounded(const struct subject *subject, const struct npy *ours,
                          const struct npy *theirs) {
    struct npy rounded = npy_read(subject->rounded, "f4");
    const double cost = divergence(&rounded, theirs).mean;
    const struct divergence from_rounded = divergence(ours, &rounded);
    check(from_rounded.mean <= cost,
          "%s: mean KL %.3g from transformers with rounded inputs; the rounding costs %.3g",
          subject->name, from_rounded.mean, cost);
    check(from_rounded.least < 3e-7,
          "%s: KL %.3g from transformers with rounded inputs at the nearest position; expected "
          "under 3e-7",
          subject->name, from_rounded.least);
    printf(" (rounding costs %.2e; from rounded %.2e, least %.2e)", cost, from_rounded.mean,
           from_rounded.least);
    npy_free(&rounded);
}

static bool has_words(struct quern_model *model) {
    const struct qn_spec *const spec = &qn_model_of(model)->spec;
    for (size_t i = 0; i < spec->n_weights; i++)
        if (spec->weights[i].tile_size > 0 && spec->weights[i].packed == QN_TYPE_I16) return true;
    return false;
}

/* F32 weights, and F16 ones for which there is nothing faster, are multiplied as floats. Reordered
 * sums move a logit by less than 1e-5 of the logits' deviation; the smallest mistake there is to
 * make, one GELU in place of the other, moves one by 4e-4 or more. Kernels for BF16 weights may
 * round inputs to 8 bits of mantissa: 2^-8 for each of the four products in a row of two layers and
 * the head, in square 9 of them. Bf16 tiles take the inputs of F16 weights as two bf16, off by
 * 2^-17. Weights and inputs as integers of 16 bits are off by 8 * 0.29 of 46200 each (round_i16.h),
 * more than that smallest mistake, which shows where QUERN_ISA=ref takes the same files. KL goes
 * with the square of the error. */
static void judge_float(struct quern_model *model, const struct subject *subject, double away,
                        double kl) {
    struct quern_model_info info;
    quern_model_info(model, &info);
    const double of_words = has_words(model) ? sqrt(2) * 8 * 0.29 / 46200 : 0;
    const bool rounds = strcmp(subject->type, "bf16") == 0 && of_words == 0;
    const bool splits = strcmp(subject->type, "f16") == 0 && strcmp(info.isa, "amxbf16") == 0;
    const double of_parts = splits ? 0x1p-17 : of_words;
    const double allowed = rounds ? 3 * sqrt(9) / 256 : 1e-4 + 3 * sqrt(9) * of_parts;
    const double allowed_kl = rounds ? 1e-4 : 1e-8 + 1e-4 * pow(of_words * 256, 2);
    check(away < allowed, "%s: logits differ by %.3g deviations; expected under %.3g",
          subject->name, away, allowed);
    check(kl < allowed_kl, "%s: mean KL %.3g; expected under %.3g", subject->name, kl, allowed_kl);
}

void check_logits(struct quern_model *model, const struct subject *subject,
                  const struct golden *golden, const char *prefix) {
    struct quern_session *const session = new_session(model, 0, 1, "f32");
    struct npy theirs = npy_read(subject->logits, "f4");
    struct npy ours = {.rows = theirs.rows, .columns = theirs.columns};
    double away = 0;
    ours.data = malloc(ours.rows * ours.columns * sizeof(float));
    eval(session, golden->ids.i32, NULL, golden->ids.rows);
    for (size_t i = 0; i < golden->positions.rows; i++) {
        float *const row = ours.f32 + i * ours.columns;
        memcpy(row, quern_session_logits(session, (size_t)golden->positions.i32[i]),
               ours.columns * sizeof(float));
        const double d = compare_row(row, theirs.f32 + i * theirs.columns, theirs.columns).max;
        if (!(d <= away)) away = d;
    }
    const double kl = divergence(&ours, &theirs).mean;
    printf("%s%-32s max difference %.2e deviations, mean KL %.2e", prefix, subject->name, away, kl);
    if (access(subject->rounded, R_OK) == 0)
        judge_rounded(subject, &ours, &theirs);
    else
        judge_float(model, subject, away, kl);
    printf("\n");
    npy_free(&ours);
    npy_free(&theirs);
    quern_session_free(session);
}
