/* SPDX-License-Identifier: Apache-2.0
 *
 * The scale, or scale and offset, with the least squared error for each of the blocks in lanes.
 * Everything is inlined into callers that pass constant codebooks. Private to kernels/quantize*.c.
 *
 * For codes q given, sum (x - s q)^2 is least at s = sum x q / sum q^2 and is then
 * sum x^2 - (sum x q)^2 / sum q^2; for a scale given, the nearest code is the best. Doing both in
 * turn never makes it worse, but stays near where it began: so it begins at the best of several
 * scales. Among them is the plain rule of each type, hence no block comes out worse than by that.
 */
#ifndef QN_KERNELS_QUANTIZE_FIT_H
#define QN_KERNELS_QUANTIZE_FIT_H

#include <stdbool.h>

#include "kernels/quantize_lanes.h"
#include "kernels/tiles/unroll.h"

enum { QN_FIT_ROUNDS = 2 }; /* of nearest codes and least squares, after which little changes */

/* ---- x = scale * level ------------------------------------------------------------------ */

/* Levels of a signed type: the whole numbers lo .. hi, or the 16 of IQ4 types. */
struct codebook {
    float lo, hi;
    bool is_iq4;
    const float *tries; /* [n_tries] levels that the extreme of a block might lie at */
    int n_tries;
};

/* Between one level and the next; and the steps from level to level (types_float.c lists them). */
static const float iq4_bounds[15] = {-115.5f, -93.5f, -74,   -57,   -42, -28.5f, -16, -4.5f,
                                     7,       19,     31.5f, 45.5f, 61,  79,     101};
static const float iq4_steps[15] = {23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24};

/* The level nearest to t. */
QN_INLINE lanes book_level(lanes t, const struct codebook *book) {
    if (!book->is_iq4)
        return lanes_round(lanes_min(lanes_max(t, lanes_of(book->lo)), lanes_of(book->hi)));
    lanes level = lanes_of(-127);
    for (int i = 0; i < 15; i++)
        level += (lanes)((lane_bits)lanes_of(iq4_steps[i]) & (t > iq4_bounds[i]));
    return level;
}

/* Its number, from 0. */
QN_INLINE lane_bits book_code(lanes t, const struct codebook *book) {
    if (!book->is_iq4) return __builtin_convertvector(book_level(t, book) - book->lo, lane_bits);
    lane_bits code = {0};
    for (int i = 0; i < 15; i++) code -= t > iq4_bounds[i];
    return code;
}

struct signed_fit {
    lanes scale;
    lanes xq, qq; /* sums over the block of x * level and level^2 */
};

/* x [n]; the levels are the nearest for `inverse` = 1 / scale; the scale is then the best for them.
 */
QN_INLINE struct signed_fit signed_try(const lanes *x, int n, lanes inverse,
                                       const struct codebook *book) {
    struct signed_fit fit = {.xq = lanes_of(0), .qq = lanes_of(0)};
    for (int i = 0; i < n; i++) {
        const lanes level = book_level(x[i] * inverse, book);
        fit.xq += x[i] * level;
        fit.qq += level * level;
    }
    fit.scale = lanes_divide(fit.xq, fit.qq);
    return fit;
}

/* How much of sum x^2 the fit explains. */
QN_INLINE lanes signed_gain(const struct signed_fit *fit) {
    return fit->scale * fit->xq;
}

QN_INLINE void signed_keep(struct signed_fit *best, const struct signed_fit *other) {
    const lane_bits better = signed_gain(other) > signed_gain(best);
    best->scale = lanes_select(better, other->scale, best->scale);
    best->xq = lanes_select(better, other->xq, best->xq);
    best->qq = lanes_select(better, other->qq, best->qq);
}

/* Of each lane the x of largest magnitude, with its sign. */
QN_INLINE lanes signed_extreme(const lanes *x, int n) {
    lanes extreme = x[0];
    for (int i = 1; i < n; i++)
        extreme = lanes_select(lanes_abs(x[i]) > lanes_abs(extreme), x[i], extreme);
    return extreme;
}

QN_INLINE struct signed_fit fit_signed(const lanes *x, int n, const struct codebook *book) {
    const lanes extreme = signed_extreme(x, n);
    const lanes unit = lanes_divide(lanes_of(1), extreme);
    struct signed_fit best = {0};
    for (int i = 0; i < book->n_tries; i++) {
        const struct signed_fit fit = signed_try(x, n, unit * book->tries[i], book);
        signed_keep(&best, &fit);
    }
    for (int round = 0; round < QN_FIT_ROUNDS; round++) {
        const struct signed_fit fit = signed_try(x, n, lanes_divide(lanes_of(1), best.scale), book);
        signed_keep(&best, &fit);
    }
    return best;
}

/* ---- x = scale * code + offset ---------------------------------------------------------- */

/* Codes of a type with offsets: 0 .. top. */
struct code_range {
    float top;
    bool negative_offset;    /* offsets above 0 cannot be stored */
    const float (*tries)[2]; /* [n_tries] codes that the block's least x, and top - its largest x,
                                might lie at; below 0 they are clipped */
    int n_tries;
};

/* In terms of t = x - lo, where sums cancel less: t = scale * code + offset. */
struct affine_fit {
    lanes lo; /* the block's least x, or 0 */
    lanes scale, offset;
    lanes q, qq, tq; /* sums over the block of code, code^2, t * code */
    lanes gain;      /* how much of sum t^2 it explains */
};

QN_INLINE lanes range_code(lanes t, const struct code_range *range) {
    return lanes_round(lanes_min(lanes_max(t, lanes_of(0)), lanes_of(range->top)));
}

/* Solves for scale and offset of the sums in fit; sum: of t. */
QN_INLINE void affine_solve(struct affine_fit *fit, lanes sum, int n, lanes highest) {
    const lanes count = lanes_of((float)n);
    const lanes det = count * fit->qq - fit->q * fit->q;
    const lanes scale = lanes_divide(count * fit->tq - sum * fit->q, det);
    const lanes offset = (sum - scale * fit->q) / count;
    const lane_bits too_high = offset > highest;
    fit->offset = lanes_select(too_high, highest, offset);
    fit->scale = lanes_select(too_high, lanes_divide(fit->tq - highest * fit->q, fit->qq), scale);
    fit->gain = 2 * (fit->scale * fit->tq + fit->offset * sum) - fit->scale * fit->scale * fit->qq -
                2 * fit->scale * fit->offset * fit->q - count * fit->offset * fit->offset;
}

/* t [n], sum: their sum; codes are the nearest to t * inverse + start. */
QN_INLINE struct affine_fit affine_try(const lanes *t, lanes sum, int n, lanes inverse, lanes start,
                                       lanes highest, const struct code_range *range) {
    struct affine_fit fit = {.q = lanes_of(0), .qq = lanes_of(0), .tq = lanes_of(0)};
    for (int i = 0; i < n; i++) {
        const lanes code = range_code(t[i] * inverse + start, range);
        fit.q += code;
        fit.qq += code * code;
        fit.tq += t[i] * code;
    }
    affine_solve(&fit, sum, n, highest);
    return fit;
}

QN_INLINE void affine_keep(struct affine_fit *best, const struct affine_fit *other) {
    const lane_bits better = other->gain > best->gain;
    best->scale = lanes_select(better, other->scale, best->scale);
    best->offset = lanes_select(better, other->offset, best->offset);
    best->q = lanes_select(better, other->q, best->q);
    best->qq = lanes_select(better, other->qq, best->qq);
    best->tq = lanes_select(better, other->tq, best->tq);
    best->gain = lanes_select(better, other->gain, best->gain);
}

/* x [n], n at most 32. */
QN_INLINE struct affine_fit fit_affine(const lanes *x, int n, const struct code_range *range) {
    lanes lo = x[0], hi = x[0];
    for (int i = 1; i < n; i++) {
        lo = lanes_min(lo, x[i]);
        hi = lanes_max(hi, x[i]);
    }
    if (range->negative_offset) lo = lanes_min(lo, lanes_of(0));
    lanes t[32], sum = lanes_of(0);
    for (int i = 0; i < n; i++) {
        t[i] = x[i] - lo;
        sum += t[i];
    }
    const lanes highest = range->negative_offset ? -lo : lanes_of(__builtin_inff());
    const lanes unit = lanes_divide(lanes_of(1), hi - lo);
    struct affine_fit best = {.gain = lanes_of(-1)};
    for (int i = 0; i < range->n_tries; i++) {
        const float start = range->tries[i][0], span = range->top - range->tries[i][1] - start;
        const struct affine_fit fit =
            affine_try(t, sum, n, unit * span, lanes_of(start), highest, range);
        affine_keep(&best, &fit);
    }
    for (int round = 0; round < QN_FIT_ROUNDS; round++) {
        const lanes inverse = lanes_divide(lanes_of(1), best.scale);
        const struct affine_fit fit =
            affine_try(t, sum, n, inverse, -best.offset * inverse, highest, range);
        affine_keep(&best, &fit);
    }
    best.lo = lo;
    return best;
}

#endif
