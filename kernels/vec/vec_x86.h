/* SPDX-License-Identifier: Apache-2.0
 *
 * What vec_avx2.h and vec_avx512.h share, over the intrinsics of their width (mm_avx2.h and
 * mm_avx512.h) and the types vec and ivec, which they define before.
 */
#ifndef QN_KERNELS_VEC_X86_H
#define QN_KERNELS_VEC_X86_H

static inline vec vec_load(const float *p) {
    return MM(loadu_ps)(p);
}
static inline void vec_store(float *p, vec x) {
    MM(storeu_ps)(p, x);
}

static inline vec vec_set1(float x) {
    return MM(set1_ps)(x);
}
static inline vec vec_add(vec a, vec b) {
    return MM(add_ps)(a, b);
}
static inline vec vec_sub(vec a, vec b) {
    return MM(sub_ps)(a, b);
}
static inline vec vec_mul(vec a, vec b) {
    return MM(mul_ps)(a, b);
}
static inline vec vec_div(vec a, vec b) {
    return MM(div_ps)(a, b);
}
static inline vec vec_fma(vec a, vec b, vec c) {
    return MM(fmadd_ps)(a, b, c);
}
static inline vec vec_fnma(vec a, vec b, vec c) {
    return MM(fnmadd_ps)(a, b, c);
}
static inline vec vec_max(vec a, vec b) {
    return MM(max_ps)(a, b);
}
static inline vec vec_min(vec a, vec b) {
    return MM(min_ps)(a, b);
}

static inline vec vec_load_f16(const uint16_t *p) {
    return MM(cvtph_ps)(MM_LOAD_HALVES(p));
}
static inline vec vec_load_i8(const int8_t *p) {
    return MM(cvtepi32_ps)(MM(cvtepi8_epi32)(MM_LOAD_BYTES(p)));
}

static inline ivec ivec_zero(void) {
    return MM_SI(setzero)();
}
static inline ivec ivec_load(const void *p) {
    return MM_SI(loadu)(p);
}
static inline ivec ivec_set1(int32_t x) {
    return MM(set1_epi32)(x);
}
/* The compiler has to have the sum ready where it stands: it would begin all products of a strip
 * and spill them, or keep copies of a whole strip's sums in memory. */
static inline ivec ivec_dot(ivec c, ivec a, ivec b) {
#ifdef MM_VNNI
    ivec sum = MM_VNNI(dpwssd)(c, a, b);
#else
    ivec sum = MM(add_epi32)(c, MM(madd_epi16)(a, b));
#endif
    __asm__ volatile("" : MM_PLACE(sum));
    return sum;
}
static inline vec vec_from_i(ivec x) {
    return MM(cvtepi32_ps)(x);
}

#endif
