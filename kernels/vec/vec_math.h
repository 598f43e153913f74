/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector that the bodies in kernels/tmpl are written over, and the functions on it that need
 * no instruction of their own. Each vec_<isa>.h defines, before it includes this file:
 *
 *   vec, QN_VEC_WIDTH         the type and how many floats it holds (W below): 4, 8 or 16
 *   QN_VEC_NAME(f)            f__<isa>, the name of a kernel
 *   QN_VEC_ACCUMULATORS       registers that a matrix product may hold sums in
 *   vec_load, vec_store       W floats, any alignment
 *   vec_load_tail(p, n)       p[0..n) and zeros, 0 <= n <= W; touches nothing else
 *   vec_store_tail(p, x, n)
 *   vec_first(n, a, b)        the first n lanes of a, the others of b
 *   vec_set1, vec_add, vec_sub, vec_mul, vec_div
 *   vec_fma(a, b, c)          a * b + c, rounded once
 *   vec_fnma(a, b, c)         c - a * b, rounded once
 *   vec_max(a, b), vec_min    one of the two numbers; the second where the first is NaN
 *   vec_round                 to the nearest integer, halves to even
 *   vec_select_less(x,y,a,b)  a where x < y, else b
 *   vec_add_exponent(x, t)    x * 2^n where t = 1.5 * 2^23 + n, |n| <= 126; x, product normal
 *   vec_reduce_add, _max      over the W lanes
 *   vec_load_f16, _store_f16  W binary16 numbers, to nearest even
 *   vec_load_i8               W int8
 *   vec_store_i16             W whole numbers of 16 bits, from floats to the nearest
 *   vec_spread_i16(p, q)      q[0..W) -> p[0], p[2], ..., and nothing else is written
 *   ivec                      W pairs of 16-bit integers, or W integers of 32 bits
 *   ivec_zero, ivec_load      the first; the second W pairs, any alignment
 *   ivec_set1(x)              the integer of 32 bits, or the pair that it holds, in every lane
 *   ivec_dot(c, a, b)         c + the sum of a's two integers times b's
 *   vec_from_i                integers of 32 bits as floats, rounded once
 *   vec_unzip(lo, hi, e, o)   2W consecutive floats -> those of even and odd index; vec_zip back
 *   vec_erf, vec_tanh         SLEEF's, at most 1 ulp
 *
 * Every operation works lane by lane, and tails go through the same instructions as full vectors:
 * an element's result depends on its value alone, never on where in a row it stands.
 */
#ifndef QN_KERNELS_VEC_MATH_H
#define QN_KERNELS_VEC_MATH_H

static inline vec vec_zero(void) {
    return vec_set1(0.0f);
}

/* The next min(W, left) floats at p. */
static inline vec vec_load_part(const float *p, int left) {
    return left >= QN_VEC_WIDTH ? vec_load(p) : vec_load_tail(p, left);
}
static inline void vec_store_part(float *p, vec x, int left) {
    if (left >= QN_VEC_WIDTH)
        vec_store(p, x);
    else
        vec_store_tail(p, x, left);
}

/* Where e^x leaves the normal numbers (ln 2^-126 = -87.336); below, vec_exp gives exactly 0. */
#define QN_VEC_EXP_LOWEST (-87.3f)

/* e^x for x <= 0, at most 1.06 ulp off down to QN_VEC_EXP_LOWEST, 0 below and for -infinity,
 * exactly 1 for 0. Reduction: x = n ln 2 + r, |r| <= ln 2 / 2, with ln 2 split in two so that n
 * times the high part, of 9 bits, is exact. e^r is the polynomial of degree 6 with constant term 1
 * whose largest relative error over that interval is the least possible, 2.0e-9; degree 5 would
 * save one of thirteen operations and cost almost a whole ulp more. */
static inline vec vec_exp(vec x) {
    const vec shift = vec_set1(0x1.8p23f);
    const vec t = vec_fma(x, vec_set1(0x1.715476p+0f), shift);
    const vec n = vec_sub(t, shift);
    const vec r = vec_fnma(n, vec_set1(-0x1.bd0106p-13f), vec_fnma(n, vec_set1(0x1.63p-1f), x));
    vec e = vec_fma(r, vec_set1(0x1.6ae6e0p-10f), vec_set1(0x1.1267d8p-7f));
    e = vec_fma(r, e, vec_set1(0x1.555824p-5f));
    e = vec_fma(r, e, vec_set1(0x1.555418p-3f));
    e = vec_fma(r, e, vec_set1(0x1.fffffcp-2f));
    e = vec_fma(r, e, vec_set1(1.0f));
    e = vec_fma(r, e, vec_set1(1.0f));
    return vec_select_less(x, vec_set1(QN_VEC_EXP_LOWEST), vec_zero(), vec_add_exponent(e, t));
}

/* Keeps x in [-limit, limit]; NaN becomes -limit, so what is stored is always finite. */
static inline vec vec_clamp(vec x, float limit) {
    return vec_min(vec_max(x, vec_set1(-limit)), vec_set1(limit));
}

/* cap * tanh(x / cap), cap > 0 */
static inline vec vec_softcap(vec x, vec cap) {
    return vec_mul(cap, vec_tanh(vec_div(x, cap)));
}

static inline vec vec_abs(vec x) {
    return vec_max(x, vec_sub(vec_zero(), x));
}

#endif
