/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds qn_quantize_row to what a quantizer owes: bounds of the error, exactness where it can be,
 * the edges of the numbers, and the same bytes with every compiler and any split of a row.
 */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/half.h"
#include "kernels/quantize.h"

enum { K = 4096, MAX_BYTES = 4 * K };

/* What is known of each type of blocks. */
struct expected {
    enum qn_type type;
    /* The largest error of the type's plain rule, in units of a block's largest magnitude.
     *   signed, levels lo .. hi: the scale is extreme / lo; a value near -extreme is cut from -lo
     *       to hi, by one step of extreme / -lo (IQ4: from 127 to 113, of 127; Q8_0: symmetric,
     *       so half a step).
     *   with offsets: half a step of the range, which is at most twice the largest magnitude.
     * Multiples of a super-block's scale (and minimum) in place of a sub-block's own are off by
     * half a multiple: a 2 * 32th of the extreme with 6 bits and sign, a 2 * 128th with 8; without
     * sign a 2 * 63th or 2 * 15th of range and minimum, at most 3 times the largest magnitude. */
    double bound;
    uint64_t hash; /* of the bytes of the row of make_row(.., 1) */
};
static const struct expected table[] = {
    {QN_TYPE_Q8_0, 0.5 / 127, 0x5ae03e4a03f9bf0f},
    {QN_TYPE_Q4_0, 1.0 / 8, 0x2c30a695cceb19e1},
    {QN_TYPE_Q5_0, 1.0 / 16, 0x22993e3e36458b2b},
    {QN_TYPE_IQ4_NL, 14.0 / 127, 0x82591edd0ad48ff1},
    {QN_TYPE_Q4_1, 1.0 / 15, 0x4ee01c305ae25e2f},
    {QN_TYPE_Q5_1, 1.0 / 31, 0xa391c410226eb544},
    {QN_TYPE_Q2_K, 1.0 / 3 + 3.0 / 30, 0xad56b596f7ed6351},
    {QN_TYPE_Q3_K, 1.0 / 4 + 1.0 / 64, 0xd7d74c1737e16ab7},
    {QN_TYPE_Q4_K, 1.0 / 15 + 3.0 / 126, 0x24949b5b4c9a81cb},
    {QN_TYPE_Q5_K, 1.0 / 31 + 3.0 / 126, 0xdab15b3dd0d3ea01},
    {QN_TYPE_Q6_K, 1.0 / 32 + 1.0 / 256, 0xc5bb679eee4e1b6b},
    {QN_TYPE_IQ4_XS, 14.0 / 127 + 1.0 / 64, 0xf38cda4daa973256},
};
enum { N_TYPES = sizeof table / sizeof *table };

static int n_failed;

static void check(bool ok, enum qn_type type, const char *what, double found, double wanted) {
    if (ok) return;
    printf("FAILED %s: %s: %.9g, expected %.9g\n", qn_type_infos[type].name, what, found, wanted);
    n_failed++;
}

/* ---- rows ------------------------------------------------------------------------------- */

static uint32_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 32);
}

/* Whole numbers times a power of two, so that every machine makes the same: a sum of six uniform
 * ones, near normal, of variance 1/2. */
static void make_row(float *x, uint64_t seed) {
    uint64_t state = seed;
    for (int i = 0; i < K; i++) {
        int sum = 0;
        for (int j = 0; j < 6; j++) sum += (int)(next_random(&state) >> 16) - 32768;
        x[i] = (float)sum * 0x1p-16f;
    }
}

/* x -> stored at `bytes` -> y */
static void round_trip(enum qn_type type, const float *x, float *y, uint8_t *bytes) {
    qn_quantize_row(type, x, K, bytes);
    qn_type_to_float(type, bytes, y, K);
}

static double sum_squares(const float *x, const float *y, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) {
        const double off = y ? (double)x[i] - (double)y[i] : (double)x[i];
        sum += off * off;
    }
    return sum;
}

static double largest(const float *x, int n) {
    double amax = 0;
    for (int i = 0; i < n; i++)
        if (fabs((double)x[i]) > amax) amax = fabs((double)x[i]);
    return amax;
}

/* ---- error ------------------------------------------------------------------------------ */

/* Each block's error is below n times the plain rule's largest error squared. Scales rounded to
 * halves change every value by 2^-11 of it at most. */
static void check_bound(const struct expected *e, const float *x) {
    static float y[K];
    static uint8_t bytes[MAX_BYTES];
    const int n = qn_type_infos[e->type].block;
    round_trip(e->type, x, y, bytes);
    for (int b = 0; b < K; b += n) {
        const double off = largest(x + b, n) * (e->bound + 0x1p-11);
        const double found = sum_squares(x + b, y + b, n);
        check(found <= n * off * off, e->type, "squared error of a block", found, n * off * off);
    }
}

/* A level, and whole levels, for the types of blocks of 32 without offset. */
static double nearest_level(enum qn_type type, double t) {
    static const int iq4[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                              1,    13,   25,  38,  53,  69,  89,  113};
    if (type != QN_TYPE_IQ4_NL) {
        const double hi = type == QN_TYPE_Q4_0 ? 7 : 15;
        return fmin(fmax(rint(t), -hi - 1), hi);
    }
    double best = iq4[0];
    for (int i = 1; i < 16; i++)
        if (fabs(t - iq4[i]) < fabs(t - best)) best = iq4[i];
    return best;
}

static double error_at(enum qn_type type, const float *x, double scale) {
    double sum = 0;
    for (int i = 0; i < 32; i++) {
        const double off = (double)x[i] - scale * nearest_level(type, (double)x[i] / scale);
        sum += off * off;
    }
    return sum;
}

/* Against the plain rule and the best of 800 scales: no block worse than by the rule (but for the
 * scale's rounding, 2^-11 of each value), and nine tenths of what can be gained is gained. */
static void check_search(enum qn_type type, double lo, const float *x) {
    enum { SCALES = 400 };
    static float y[K];
    static uint8_t bytes[MAX_BYTES];
    double plain = 0, best = 0, found = 0;
    round_trip(type, x, y, bytes);
    for (int b = 0; b < K; b += 32) {
        float extreme = 0;
        for (int i = 0; i < 32; i++)
            if (fabsf(x[b + i]) > fabsf(extreme)) extreme = x[b + i];
        const double rule = error_at(type, x + b, (double)extreme / lo);
        double least = rule;
        for (int i = 1; i <= SCALES; i++) { /* 0.5 to 1.5 of the rule's, of either sign */
            const double scale = (double)extreme / lo * (0.5 + (double)i / SCALES);
            least = fmin(least, error_at(type, x + b, scale));
            least = fmin(least, error_at(type, x + b, -scale));
        }
        const double own = sum_squares(x + b, y + b, 32);
        const double rounding = sqrt(sum_squares(x + b, NULL, 32)) * 0x1p-11;
        const double allowed = (sqrt(rule) + rounding) * (sqrt(rule) + rounding);
        check(own <= allowed, type, "squared error of a block by the plain rule", own, allowed);
        plain += rule;
        best += least;
        found += own;
    }
    const double allowed = plain - 0.9 * (plain - best);
    check(found <= allowed, type, "squared error of all blocks", found, allowed);
}

/* ---- exactness -------------------------------------------------------------------------- */

/* Writes into a block of random bits what pins its scales down: scales, and the extreme levels in
 * every sub-block, and the extreme multiples. */
static void pin_block(enum qn_type type, uint8_t *block, uint16_t d, uint16_t m) {
    const struct qn_type_info *const info = &qn_type_infos[type];
    memcpy(block + info->scale_at, &d, 2);
    if (info->min_at >= 0) memcpy(block + info->min_at, &m, 2);
    switch (type) {
    case QN_TYPE_Q8_0:
        for (int i = 2; i < 34; i++) block[i] = (uint8_t)(block[i] == 0x80 ? 0x81 : block[i]);
        block[2] = 0x81; /* -127 */
        break;
    case QN_TYPE_Q4_0:
    case QN_TYPE_IQ4_NL:
        block[2] &= 0xf0;
        break;
    case QN_TYPE_Q5_0:
        block[2] &= 0xfe, block[6] &= 0xf0;
        break;
    case QN_TYPE_Q4_1:
        block[4] = 0xf0; /* weights 0 and 16 */
        break;
    case QN_TYPE_Q5_1:
        block[4] &= 0xfe, block[6] |= 1, block[8] = 0xf0;
        break;
    case QN_TYPE_Q2_K:
        block[3] |= 0x0f, block[9] |= 0xf0;
        for (int i = 0; i < 4; i++) block[16 + 16 * i] = 0x00, block[17 + 16 * i] = 0xff;
        break;
    case QN_TYPE_Q3_K:
        block[96 + 5] &= 0xf0, block[104 + 1] &= 0xf3; /* multiple 5 is -32 */
        for (int i = 0; i < 32; i += 16) block[i] = 0;
        for (int i = 32; i < 96; i += 16) block[i] = 0;
        break;
    case QN_TYPE_Q5_K:
        block[16] = 0x00, block[17] = 0xff;
        /* fall through */
    case QN_TYPE_Q4_K:
        block[4 + 1] |= 63, block[8 + 2] |= 63;
        for (int i = type == QN_TYPE_Q4_K ? 16 : 48; i < qn_type_infos[type].block_size; i += 32)
            block[i] = 0x00, block[i + 1] = 0xff;
        break;
    case QN_TYPE_Q6_K:
        block[192 + 7] = 0x80;
        for (int i = 0; i < 192; i += 16) block[i] = 0;
        break;
    case QN_TYPE_IQ4_XS:
        block[2] &= 0xfc, block[4] &= 0xf0; /* multiple 0 is -32 */
        for (int i = 8; i < 136; i += 16) block[i] &= 0xf0;
        break;
    default:
        break;
    }
}

/* What a row stores comes back when its scales are pinned down. */
static void check_exact(enum qn_type type, uint64_t seed) {
    static float x[K], y[K];
    static uint8_t bytes[MAX_BYTES];
    const struct qn_type_info *const info = &qn_type_infos[type];
    uint64_t state = seed;
    for (int b = 0; b < K / info->block; b++) {
        uint8_t *const block = bytes + b * info->block_size;
        for (int i = 0; i < info->block_size; i++) block[i] = (uint8_t)next_random(&state);
        const uint16_t d = qn_half_from_float(0.001f * (float)(1 + b));
        pin_block(type, block, d, (uint16_t)(d + 0x200));
    }
    qn_type_to_float(type, bytes, x, K);
    round_trip(type, x, y, bytes);
    for (int i = 0; i < K; i++)
        check(x[i] == y[i], type, "a stored value", (double)y[i], (double)x[i]);
}

/* ---- edges ------------------------------------------------------------------------------ */

/* All of a row alike: exact but for the rounding of scales, or of the offset, to a half. Two-level
 * types lose that twice at most. */
static void check_constant(enum qn_type type, float value) {
    static float x[K], y[K];
    static uint8_t bytes[MAX_BYTES];
    for (int i = 0; i < K; i++) x[i] = value;
    round_trip(type, x, y, bytes);
    for (int i = 0; i < K; i++)
        check(fabs((double)y[i] - (double)value) <= fabs((double)value) * 0x1p-10, type,
              "a constant", (double)y[i], (double)value);
}

/* Below the least scale of 2^-24 there is nothing, and above the range of scales no infinity. */
static void check_magnitudes(enum qn_type type) {
    static float x[K], y[K];
    static uint8_t bytes[MAX_BYTES];
    make_row(x, 5);
    for (int i = 0; i < K; i++) x[i] *= 0x1p-130f;
    round_trip(type, x, y, bytes);
    for (int i = 0; i < K; i++) check(y[i] == 0, type, "a subnormal", (double)y[i], 0);
    make_row(x, 6);
    for (int i = 0; i < K; i++) x[i] *= i % 64 < 32 ? 0x1p120f : 0x1p-12f;
    round_trip(type, x, y, bytes);
    for (int i = 0; i < K; i++) check(isfinite(y[i]), type, "a huge value", (double)y[i], 65504);
}

/* An infinity or a NaN takes its own block with it and no other. */
static void check_nonfinite(enum qn_type type, float value) {
    static float x[K], y[K], z[K];
    static uint8_t bytes[MAX_BYTES];
    const int n = qn_type_infos[type].block;
    make_row(x, 7);
    round_trip(type, x, y, bytes);
    x[K / 2 + 3] = value;
    round_trip(type, x, z, bytes);
    for (int i = 0; i < K; i++) {
        const bool spoilt = i / n == (K / 2 + 3) / n;
        check(spoilt ? isnan(z[i]) != 0 : y[i] == z[i], type, "beside something not finite",
              (double)z[i], spoilt ? NAN : (double)y[i]);
    }
}

/* ---- equal bytes ------------------------------------------------------------------------ */

static uint64_t hash_bytes(const uint8_t *bytes, size_t n) { /* FNV-1a */
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    return hash;
}

static void check_bytes(const struct expected *e) {
    static float x[K];
    static uint8_t whole[MAX_BYTES], parts[MAX_BYTES];
    const size_t size = qn_type_row_size(e->type, K);
    make_row(x, 1);
    qn_quantize_row(e->type, x, K, whole);
    const uint64_t hash = hash_bytes(whole, size);
    if (hash != e->hash) {
        printf("FAILED %s: bytes hash to 0x%016llx, expected 0x%016llx\n",
               qn_type_infos[e->type].name, (unsigned long long)hash, (unsigned long long)e->hash);
        n_failed++;
    }
    const int n = qn_type_infos[e->type].block;
    for (int b = 0, part = 1; b < K; b += part * n, part = part % 3 + 1) {
        const int length = K - b < part * n ? K - b : part * n;
        qn_quantize_row(e->type, x + b, (size_t)length,
                        parts + qn_type_row_size(e->type, (size_t)b));
    }
    check(memcmp(whole, parts, size) == 0, e->type, "bytes of a row in parts", 0, 1);
}

/* ---- integers of 16 bits ---------------------------------------------------------------- */

static const struct expected words = {QN_TYPE_I16, 0, 0xc1c20426bf21811b};

/* Each value is off by half a scale at most; a dot of any two such blocks fits 32 bits, and the
 * scale is no more than that, or 16 bits of the largest number, asks for: rounded up to 8 bits,
 * less what 12 bits make of the squares. */
static void check_words(const float *x) {
    static uint8_t bytes[MAX_BYTES];
    qn_quantize_row(QN_TYPE_I16, x, K, bytes);
    for (int b = 0; b < K; b += 64) {
        float d;
        int16_t q[64];
        int64_t squares = 0;
        int most = 0;
        memcpy(&d, bytes + b / 64 * 132, sizeof d);
        memcpy(q, bytes + b / 64 * 132 + 4, sizeof q);
        for (int i = 0; i < 64; i++) {
            const double off = fabs((double)x[b + i] - (double)d * q[i]);
            squares += q[i] * q[i];
            most = abs(q[i]) > most ? abs(q[i]) : most;
            check(off <= 0.5 * (1 + 0x1p-8) * (double)d, QN_TYPE_I16, "error of a value", off,
                  0.5 * (double)d);
        }
        const double norm = sqrt((double)squares);
        check(norm < 46340, QN_TYPE_I16, "norm", norm, 46340);
        check(norm >= 45700 || most >= 32400, QN_TYPE_I16, "neither limit is near: norm", norm,
              45700);
    }
}

static void check_all_words(void) {
    static float x[K];
    for (uint64_t seed = 1; seed <= 6; seed++) {
        make_row(x, seed);
        if (seed == 5)
            for (int i = 0; i < K; i++) x[i] = i % 3 ? FLT_MAX : -FLT_MAX;
        if (seed == 6)
            for (int i = 0; i < K; i++) x[i] = i % 64 ? 0.0f : 0x1p-100f;
        if (seed == 2) /* one number outweighs all others */
            for (int i = 0; i < K; i += 64) x[i] *= 1000;
        if (seed == 3) /* all alike, so that the sum of squares is what binds */
            for (int i = 0; i < K; i++) x[i] = i % 2 ? 1.0f : -1.0f;
        if (seed == 4) /* two equal ones: both limits are near */
            for (int i = 0; i < K; i++) x[i] = i % 64 < 2 ? 3.0f : 0.0f;
        check_words(x);
    }
    check_constant(QN_TYPE_I16, 3.14159f);
    check_magnitudes(QN_TYPE_I16);
    check_nonfinite(QN_TYPE_I16, INFINITY);
    check_nonfinite(QN_TYPE_I16, NAN);
    check_bytes(&words);
}

/* ---- 16-bit floats ---------------------------------------------------------------------- */

/* Every value keeps its bits; half way to the next goes to the even one. */
static void check_float(enum qn_type type, uint16_t infinity) {
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        const uint16_t stored = (uint16_t)bits, next = (uint16_t)(bits + 1);
        uint16_t found;
        float x, above;
        qn_type_to_float(type, &stored, &x, 1);
        qn_quantize_row(type, &x, 1, &found);
        const bool is_nan = (bits & 0x7fff) > infinity;
        check(is_nan ? (found & 0x7fff) > infinity : found == stored, type, "a value's bits", found,
              stored);
        if ((bits & 0x7fff) >= (uint32_t)infinity - 1) continue;
        qn_type_to_float(type, &next, &above, 1);
        x = (float)(((double)x + (double)above) / 2); /* exact: one more bit */
        qn_quantize_row(type, &x, 1, &found);
        check(found == (bits & 1 ? next : stored), type, "half way", found, bits);
    }
}

int main(void) {
    static float x[K];
    for (int t = 0; t < N_TYPES; t++) {
        const struct expected *const e = &table[t];
        for (uint64_t seed = 1; seed <= 4; seed++) {
            make_row(x, seed);
            if (seed == 3) /* outliers, one in 100 */
                for (int i = 0; i < K; i += 100) x[i] *= 1000;
            if (seed == 4) /* an offset larger than the spread */
                for (int i = 0; i < K; i++) x[i] += i % 512 < 256 ? 5 : -5;
            check_bound(e, x);
            check_exact(e->type, seed);
        }
        static const float values[] = {0, 1, -1, 3.14159f, -0.02f, 1000};
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            check_constant(e->type, values[i]);
        check_magnitudes(e->type);
        check_nonfinite(e->type, INFINITY);
        check_nonfinite(e->type, -INFINITY);
        check_nonfinite(e->type, NAN);
        check_bytes(e);
    }
    check_all_words();
    make_row(x, 2);
    check_search(QN_TYPE_Q4_0, -8, x);
    check_search(QN_TYPE_Q5_0, -16, x);
    check_search(QN_TYPE_IQ4_NL, -127, x);
    check_float(QN_TYPE_F16, 0x7c00);
    check_float(QN_TYPE_BF16, 0x7f80);
    if (n_failed) printf("%d failed\n", n_failed);
    return n_failed ? 1 : 0;
}
