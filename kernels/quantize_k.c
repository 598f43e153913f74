/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantizers of super-blocks: 8 sub-blocks of 32 or 16 of 16, whose scales (and minima) are whole
 * multiples of the super-block's.
 *
 * Each sub-block is fitted by itself. A scale s' in place of the fitted s then costs
 * (s' - s)^2 sum level^2, and the super-block's scale d is the one of several for which the
 * nearest multiples cost least. In turn then: each sub-block takes the best of the multiples
 * around its own, and d becomes the least-squares one for the codes that result.
 */
#include <string.h>

#include "kernels/quantize_private.h"

enum { SUPER = 256, ROWS = SUPER / QN_LANES, MAX_GROUPS = 4, REFINE_ROUNDS = 2 };

/* x [256] -> sub-blocks of n in lanes: element i of sub-block 4 g + l at [g * n + i], lane l. */
QN_INLINE void gather(const float *x, int n, lanes *t /* [ROWS] */) {
    for (int g = 0; g < ROWS / n; g++)
        for (int l = 0; l < QN_LANES; l++)
            for (int i = 0; i < n; i++) t[g * n + i][l] = x[(g * QN_LANES + l) * n + i];
}

static inline void put_codes(uint8_t *q /* [256] */, int n, int g, int i, lane_bits code) {
    for (int l = 0; l < QN_LANES; l++) q[(g * QN_LANES + l) * n + i] = (uint8_t)code[l];
}

QN_INLINE lanes clamp_round(lanes x, float lo, float hi) {
    return lanes_round(lanes_min(lanes_max(x, lanes_of(lo)), lanes_of(hi)));
}

static float round_half(float x) {
    return qn_half_to_float(qn_half_from_float(x));
}

static float divide(double a, double b) {
    return b != 0 ? (float)(a / b) : 0;
}

/* ---- signed: d * sc * level ------------------------------------------------------------- */

struct signed_type {
    struct codebook book;
    int n;              /* elements of a sub-block */
    float sc_lo, sc_hi; /* multiples of d */
    int n_extremes;     /* multiples sc_lo, sc_lo + 1, ... and sc_hi, sc_hi - 1, ... that the
                           scale farthest from 0 is tried at, of each this many */
    bool neighbours;    /* try the multiples beside the nearest */
};

struct signed_super {
    float d;
    lanes sc[MAX_GROUPS];
    float error; /* sum of squared differences */
};

/* The multiples nearest to the fits; the error is what they add to the fits' own. */
QN_INLINE struct signed_super signed_multiples(const struct signed_type *type,
                                               const struct signed_fit *fits, float d) {
    struct signed_super super = {.d = d};
    const float inverse = divide(1, d);
    lanes error = lanes_of(0);
    for (int g = 0; g < ROWS / type->n; g++) {
        super.sc[g] = clamp_round(fits[g].scale * inverse, type->sc_lo, type->sc_hi);
        const lanes off = super.sc[g] * d - fits[g].scale;
        error += off * off * fits[g].qq;
    }
    super.error = lanes_sum(error);
    return super;
}

/* The scale of a sub-block that is farthest from 0. */
QN_INLINE float farthest_scale(const struct signed_type *type, const struct signed_fit *fits) {
    float extreme = 0;
    for (int g = 0; g < ROWS / type->n; g++)
        for (int l = 0; l < QN_LANES; l++) {
            const float scale = fits[g].scale[l];
            if (scale * scale > extreme * extreme) extreme = scale;
        }
    return extreme;
}

QN_INLINE struct signed_super signed_start(const struct signed_type *type,
                                           const struct signed_fit *fits) {
    const float extreme = farthest_scale(type, fits);
    struct signed_super best = signed_multiples(type, fits, round_half(extreme / type->sc_lo));
    for (int i = 0; i < 2 * type->n_extremes; i++) {
        const int step = i / 2;
        const float at = i % 2 ? type->sc_hi - (float)step : type->sc_lo + (float)step;
        const struct signed_super super = signed_multiples(type, fits, round_half(extreme / at));
        if (super.error < best.error) best = super;
    }
    return best;
}

/* The fit of levels at scale d * sc, and the error of that. */
QN_INLINE struct signed_fit signed_at(const struct signed_type *type, const lanes *x, float d,
                                      lanes sc, lanes *error) {
    struct signed_fit fit = {.scale = sc, .xq = lanes_of(0), .qq = lanes_of(0)};
    const lanes scale = sc * d, inverse = lanes_divide(lanes_of(1), scale);
    *error = lanes_of(0);
    for (int i = 0; i < type->n; i++) {
        const lanes level = book_level(x[i] * inverse, &type->book);
        const lanes off = x[i] - scale * level;
        *error += off * off;
        fit.xq += x[i] * level;
        fit.qq += level * level;
    }
    return fit;
}

/* Chooses each sub-block's multiple of super->d around what it is and sums the error; the return
 * value is the best d for the levels that result. */
QN_INLINE float signed_refine(const struct signed_type *type, const lanes *x,
                              struct signed_super *super) {
    lanes total = lanes_of(0), xq = lanes_of(0), qq = lanes_of(0);
    for (int g = 0; g < ROWS / type->n; g++) {
        lanes error;
        struct signed_fit best = signed_at(type, x + g * type->n, super->d, super->sc[g], &error);
        for (int side = -1; type->neighbours && side <= 1; side += 2) {
            lanes other_error;
            const lanes sc = clamp_round(super->sc[g] + (float)side, type->sc_lo, type->sc_hi);
            const struct signed_fit other =
                signed_at(type, x + g * type->n, super->d, sc, &other_error);
            const lane_bits better = other_error < error;
            error = lanes_select(better, other_error, error);
            best.scale = lanes_select(better, other.scale, best.scale);
            best.xq = lanes_select(better, other.xq, best.xq);
            best.qq = lanes_select(better, other.qq, best.qq);
        }
        super->sc[g] = best.scale;
        total += error;
        xq += best.scale * best.xq;
        qq += best.scale * best.scale * best.qq;
    }
    super->error = lanes_sum(total);
    return divide(lanes_sum(xq), lanes_sum(qq));
}

/* x [256] -> codes q [256] and the scales they are for. */
QN_INLINE struct signed_super quantize_signed(const struct signed_type *type, const float *x,
                                              uint8_t *q) {
    lanes t[ROWS];
    gather(x, type->n, t);
    struct signed_fit fits[MAX_GROUPS];
    for (int g = 0; g < ROWS / type->n; g++)
        fits[g] = fit_signed(t + g * type->n, type->n, &type->book);
    struct signed_super super = signed_start(type, fits), best = super;
    for (int round = 0; round <= REFINE_ROUNDS; round++) {
        const float d = round_half(signed_refine(type, t, &super));
        if (round == 0 || super.error < best.error) best = super;
        super.d = d;
    }
    for (int g = 0; g < ROWS / type->n; g++) {
        const lanes inverse = lanes_divide(lanes_of(1), best.sc[g] * best.d);
        for (int i = 0; i < type->n; i++)
            put_codes(q, type->n, g, i, book_code(t[g * type->n + i] * inverse, &type->book));
    }
    return best;
}

/* ---- with minima: d * sc * code - dmin * mn --------------------------------------------- */

struct affine_type {
    struct code_range range;
    int n;
    float top;      /* sc and mn: 0 .. top */
    int n_extremes; /* multiples top, top - 1, ... that the largest scale and the largest minimum
                       are tried at */
};

struct affine_super {
    float d, dmin;
    lanes sc[MAX_GROUPS], mn[MAX_GROUPS];
    float error;
};

/* The multiples nearest to the fits: first of d, then the minimum that is best with that scale.
 * The error is what they add to the fits' own: for differences a of the scale and b of the
 * minimum, a^2 sum code^2 - 2 a b sum code + b^2 n. */
QN_INLINE struct affine_super affine_multiples(const struct affine_type *type,
                                               const struct affine_fit *fits, float d, float dmin) {
    struct affine_super super = {.d = d, .dmin = dmin};
    const float d_inverse = divide(1, d), dmin_inverse = divide(1, dmin);
    lanes error = lanes_of(0);
    for (int g = 0; g < ROWS / type->n; g++) {
        const struct affine_fit *const fit = &fits[g];
        const lanes min = -(fit->lo + fit->offset);
        super.sc[g] = clamp_round(fit->scale * d_inverse, 0, type->top);
        const lanes a = super.sc[g] * d - fit->scale;
        const lanes best_min = min + a * fit->q / (float)type->n;
        super.mn[g] = clamp_round(best_min * dmin_inverse, 0, type->top);
        const lanes b = super.mn[g] * dmin - min;
        error += a * a * fit->qq - 2 * a * b * fit->q + b * b * (float)type->n;
    }
    super.error = lanes_sum(error);
    return super;
}

QN_INLINE struct affine_super affine_start(const struct affine_type *type,
                                           const struct affine_fit *fits) {
    float scale = 0, min = 0;
    for (int g = 0; g < ROWS / type->n; g++)
        for (int l = 0; l < QN_LANES; l++) {
            const float own_min = -(fits[g].lo[l] + fits[g].offset[l]);
            scale = fits[g].scale[l] > scale ? fits[g].scale[l] : scale;
            min = own_min > min ? own_min : min;
        }
    struct affine_super best =
        affine_multiples(type, fits, round_half(scale / type->top), round_half(min / type->top));
    for (int i = 0; i < type->n_extremes; i++)
        for (int j = 0; j < type->n_extremes; j++) {
            const struct affine_super super =
                affine_multiples(type, fits, round_half(scale / (type->top - (float)i)),
                                 round_half(min / (type->top - (float)j)));
            if (super.error < best.error) best = super;
        }
    return best;
}

/* One group of sub-blocks with its multiples, and what they give. */
struct affine_group {
    lanes sc, mn;
    lanes q, qq, xq; /* sums of code, code^2, x * code */
    lanes error;
};

QN_INLINE struct affine_group affine_at(const struct affine_type *type, const lanes *x, float d,
                                        float dmin, lanes sc, lanes mn) {
    struct affine_group group = {.sc = sc, .mn = mn};
    group.q = group.qq = group.xq = group.error = lanes_of(0);
    const lanes scale = sc * d, min = mn * dmin, inverse = lanes_divide(lanes_of(1), scale);
    for (int i = 0; i < type->n; i++) {
        const lanes code = range_code((x[i] + min) * inverse, &type->range);
        const lanes off = x[i] - (scale * code - min);
        group.error += off * off;
        group.q += code;
        group.qq += code * code;
        group.xq += x[i] * code;
    }
    return group;
}

QN_INLINE void affine_group_keep(struct affine_group *best, const struct affine_group *other) {
    const lane_bits better = other->error < best->error;
    best->sc = lanes_select(better, other->sc, best->sc);
    best->mn = lanes_select(better, other->mn, best->mn);
    best->q = lanes_select(better, other->q, best->q);
    best->qq = lanes_select(better, other->qq, best->qq);
    best->xq = lanes_select(better, other->xq, best->xq);
    best->error = lanes_select(better, other->error, best->error);
}

/* The best of the multiples sc - 1 .. sc + 1, each with the minimum that fits it best. */
QN_INLINE struct affine_group affine_group_refine(const struct affine_type *type, const lanes *x,
                                                  lanes sum, const struct affine_super *super,
                                                  int g) {
    struct affine_group best =
        affine_at(type, x, super->d, super->dmin, super->sc[g], super->mn[g]);
    const float dmin_inverse = divide(1, super->dmin);
    for (int side = -1; side <= 1; side++) {
        const lanes sc = clamp_round(super->sc[g] + (float)side, 0, type->top);
        lanes mn = super->mn[g];
        for (int turn = 0; turn < 2; turn++) {
            const struct affine_group other = affine_at(type, x, super->d, super->dmin, sc, mn);
            affine_group_keep(&best, &other);
            const lanes min = (sc * super->d * other.q - sum) / (float)type->n;
            mn = clamp_round(min * dmin_inverse, 0, type->top);
        }
    }
    return best;
}

/* As signed_refine; d and dmin: the best for the codes that result. */
QN_INLINE void affine_refine(const struct affine_type *type, const lanes *x, const lanes *sums,
                             struct affine_super *super, float *d, float *dmin) {
    lanes total = lanes_of(0), aa = total, ab = total, bb = total, xa = total, xb = total;
    for (int g = 0; g < ROWS / type->n; g++) {
        const struct affine_group best =
            affine_group_refine(type, x + g * type->n, sums[g], super, g);
        super->sc[g] = best.sc;
        super->mn[g] = best.mn;
        total += best.error;
        aa += best.sc * best.sc * best.qq;
        ab += best.sc * best.mn * best.q;
        bb += best.mn * best.mn * (float)type->n;
        xa += best.sc * best.xq;
        xb += best.mn * sums[g];
    }
    super->error = lanes_sum(total);
    /* x = d A - dmin B with A = sc * code, B = mn */
    const double AA = lanes_sum(aa), AB = lanes_sum(ab), BB = lanes_sum(bb);
    const double XA = lanes_sum(xa), XB = lanes_sum(xb), det = AA * BB - AB * AB;
    if (det > 0) {
        *d = divide(XA * BB - XB * AB, det);
        *dmin = divide(XA * AB - XB * AA, det);
    } else { /* no minima, or no scales */
        *d = divide(XA, AA);
        *dmin = divide(-XB, BB);
    }
}

QN_INLINE struct affine_super quantize_affine(const struct affine_type *type, const float *x,
                                              uint8_t *q) {
    lanes t[ROWS], sums[MAX_GROUPS];
    gather(x, type->n, t);
    struct affine_fit fits[MAX_GROUPS];
    for (int g = 0; g < ROWS / type->n; g++) {
        fits[g] = fit_affine(t + g * type->n, type->n, &type->range);
        sums[g] = lanes_of(0);
        for (int i = 0; i < type->n; i++) sums[g] += t[g * type->n + i];
    }
    struct affine_super super = affine_start(type, fits), best = super;
    for (int round = 0; round <= REFINE_ROUNDS; round++) {
        float d, dmin;
        affine_refine(type, t, sums, &super, &d, &dmin);
        if (round == 0 || super.error < best.error) best = super;
        super.d = round_half(d);
        super.dmin = round_half(dmin);
    }
    for (int g = 0; g < ROWS / type->n; g++) {
        const lanes inverse = lanes_divide(lanes_of(1), best.sc[g] * best.d);
        const lanes min = best.mn[g] * best.dmin;
        for (int i = 0; i < type->n; i++) {
            const lanes code = range_code((t[g * type->n + i] + min) * inverse, &type->range);
            put_codes(q, type->n, g, i, __builtin_convertvector(code, lane_bits));
        }
    }
    return best;
}

/* ---- layouts (types_float.c describes them) --------------------------------------------- */

static int multiple(const lanes *multiples, int j) {
    return (int)multiples[j / QN_LANES][j % QN_LANES];
}

void qn_quantize_q2_k(const float *x, uint8_t *dst) {
    static const float tries[][2] = {{0, 0},     {0, 0.2f},  {0, 0.4f},     {0, -0.2f},
                                     {0, -0.4f}, {-0.4f, 0}, {-0.4f, -0.4f}};
    static const struct affine_type type = {
        {3, true, tries, sizeof tries / sizeof *tries}, .n = 16, .top = 15, .n_extremes = 4};
    uint8_t q[SUPER];
    const struct affine_super super = quantize_affine(&type, x, q);
    memset(dst, 0, 80);
    for (int j = 0; j < 16; j++)
        dst[j] = (uint8_t)(multiple(super.sc, j) | multiple(super.mn, j) << 4);
    for (int i = 0; i < SUPER; i++) dst[16 + i / 128 * 32 + i % 32] |= q[i] << i % 128 / 32 * 2;
    store_half(dst + 80, super.d);
    store_half(dst + 82, super.dmin);
}

void qn_quantize_q3_k(const float *x, uint8_t *dst) {
    static const float tries[] = {-4,     -3,     -2,    -1,     1,     2,     3,    -4.75f, -4.5f,
                                  -4.25f, -3.75f, -3.5f, -3.25f, 2.75f, 3.25f, 3.5f, 3.75f};
    static const struct signed_type type = {
        {-4, 3, false, tries, sizeof tries / sizeof *tries}, 16, -32, 31, 8, true};
    uint8_t q[SUPER];
    const struct signed_super super = quantize_signed(&type, x, q);
    memset(dst, 0, 108);
    for (int i = 0; i < SUPER; i++) {
        dst[i % 32] |= (uint8_t)((q[i] >> 2) << i / 32);
        dst[32 + i / 128 * 32 + i % 32] |= (uint8_t)((q[i] & 3) << i % 128 / 32 * 2);
    }
    for (int j = 0; j < 16; j++) {
        const int sc = multiple(super.sc, j) + 32;
        dst[96 + j % 8] |= (uint8_t)((sc & 15) << j / 8 * 4);
        dst[104 + j % 4] |= (uint8_t)((sc >> 4) << j / 4 * 2);
    }
    store_half(dst + 108, super.d);
}

/* The heads of Q4_K and Q5_K: d, dmin and 8 pairs of 6 bits. */
static void store_q45_head(const struct affine_super *super, uint8_t *dst) {
    store_half(dst, super->d);
    store_half(dst + 2, super->dmin);
    uint8_t *const bytes = dst + 4;
    for (int j = 0; j < 4; j++) {
        const int sc = multiple(super->sc, j), mn = multiple(super->mn, j);
        const int sc4 = multiple(super->sc, j + 4), mn4 = multiple(super->mn, j + 4);
        bytes[j] = (uint8_t)(sc | sc4 >> 4 << 6);
        bytes[j + 4] = (uint8_t)(mn | mn4 >> 4 << 6);
        bytes[j + 8] = (uint8_t)((sc4 & 15) | (mn4 & 15) << 4);
    }
}

/* Codes 32 j .. of pairs of sub-blocks: low and high nibbles of the same bytes. */
static void store_q45_nibbles(const uint8_t *q, uint8_t *dst) {
    for (int c = 0; c < 4; c++)
        for (int i = 0; i < 32; i++)
            dst[c * 32 + i] = (uint8_t)((q[c * 64 + i] & 15) | (q[c * 64 + 32 + i] & 15) << 4);
}

void qn_quantize_q4_k(const float *x, uint8_t *dst) {
    static const struct affine_type type = {
        {15, true, qn_quantize_tries, QN_QUANTIZE_TRIES}, .n = 32, .top = 63, .n_extremes = 8};
    uint8_t q[SUPER];
    const struct affine_super super = quantize_affine(&type, x, q);
    store_q45_head(&super, dst);
    store_q45_nibbles(q, dst + 16);
}

void qn_quantize_q5_k(const float *x, uint8_t *dst) {
    static const struct affine_type type = {
        {31, true, qn_quantize_tries, QN_QUANTIZE_TRIES}, .n = 32, .top = 63, .n_extremes = 8};
    uint8_t q[SUPER];
    const struct affine_super super = quantize_affine(&type, x, q);
    store_q45_head(&super, dst);
    memset(dst + 16, 0, 32);
    for (int i = 0; i < SUPER; i++) dst[16 + i % 32] |= (uint8_t)((q[i] >> 4) << i / 32);
    store_q45_nibbles(q, dst + 48);
}

void qn_quantize_q6_k(const float *x, uint8_t *dst) {
    static const float tries[] = {-32, -31.5f, -31, -30.5f, -30, -29, -28, 31, 30.5f, 30, 29, 28};
    static const struct signed_type type = {
        {-32, 31, false, tries, sizeof tries / sizeof *tries}, 16, -128, 127, 4, false};
    uint8_t q[SUPER];
    const struct signed_super super = quantize_signed(&type, x, q);
    memset(dst, 0, 192);
    for (int i = 0; i < SUPER; i++) {
        const int half = i / 128, j = i % 128;
        dst[half * 64 + j % 64] |= (uint8_t)((q[i] & 15) << j / 64 * 4);
        dst[128 + half * 32 + j % 32] |= (uint8_t)((q[i] >> 4) << j / 32 * 2);
    }
    for (int j = 0; j < 16; j++) dst[192 + j] = (uint8_t)multiple(super.sc, j);
    store_half(dst + 208, super.d);
}

void qn_quantize_iq4_xs(const float *x, uint8_t *dst) {
    const struct signed_type type = {qn_quantize_iq4_book, 32, -32, 31, 8, true};
    uint8_t q[SUPER];
    const struct signed_super super = quantize_signed(&type, x, q);
    unsigned high = 0;
    memset(dst + 4, 0, 4);
    for (int j = 0; j < 8; j++) {
        const int sc = multiple(super.sc, j) + 32;
        high |= (unsigned)(sc >> 4) << 2 * j;
        dst[4 + j / 2] |= (uint8_t)((sc & 15) << j % 2 * 4);
        for (int i = 0; i < 16; i++)
            dst[8 + j * 16 + i] = (uint8_t)(q[j * 32 + i] | q[j * 32 + 16 + i] << 4);
    }
    store_half(dst, super.d);
    store_u16(dst + 2, high);
}
