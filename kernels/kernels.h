/* SPDX-License-Identifier: Apache-2.0
 *
 * The contract of every kernel: one typedef and one comment an operation, and the table that
 * holds the chosen functions. Kernels know no files, threads or models; they return nothing,
 * because the plan guarantees their preconditions, and open with asserts that state them.
 *
 * Shape letters, used everywhere: M tokens, N outputs, K inputs, H heads, D head size,
 * T positions, V vocabulary. "[M][K]" is row-major, K contiguous.
 *
 * Bits: for one ISA, an output element is a function of its own row of x and its own row of
 * weights alone: the order of every floating-point sum depends on K (or D, or the position) and
 * on nothing else, so matvec and matmul, any M, any split of N and any batch agree bit for bit.
 * For quantized weights the order is fixed by this rule, for 32-blocks b = 0, 1, ...:
 *     t = (float)(int32 dot of block b) * act[b].scale
 *     y = fma(t, weight scale of b, y)
 *     y = fma(act[b].scale_sum, -weight min of b, y)          (forms with mins only)
 * where the integer dot is of unsigned or signed weights less the bias, exact in int32. In Q2_K,
 * Q3_K and Q6_K scales (and mins) are integers for each half of a block, and a unit of 8 blocks has
 * one d (and dmin); so, from S = T = 0 at the start of each unit:
 *     S = fma((float)(scale_lo * dot_lo + scale_hi * dot_hi), act[b].scale, S)
 *     T = fma((float)(min_lo * neg_sums[0] + min_hi * neg_sums[1]), act[b].scale, T)       (Q2_K)
 * and at its end
 *     y = fma(S, d, y)
 *     y = fma(T, dmin, y)                                                                  (Q2_K)
 * The integers are exact as floats: at most 2 * 128 * (16 * 32 * 127) < 2^24, of Q6_K. In I16, for
 * 64-blocks b = 0, 1, ...:
 *     y = fma((float)(int32 dot of block b), weight scale of b * act scale of b, y)
 * where the conversion is rounded; the product of scales, of 8 bits each, is exact, if it is
 * not subnormal. So it is in heads' forms, whose weights have scales of 11 bits: in Q8_I16 one for
 * each block of 32, of which two share a scale of activations; in Q6_I16 one a unit, and dots have
 * the integer scales in them.
 */
#ifndef QN_KERNELS_KERNELS_H
#define QN_KERNELS_KERNELS_H

#include "kernels/types.h"

/* ---- instruction sets ------------------------------------------------------------------- */

/* Bundles of features; each overrides slots of those before it. NEON ones are for AArch64. */
enum qn_isa {
    QN_ISA_REF,        /* portable C, double accumulators: the specification */
    QN_ISA_AVX2,       /* AVX2 + FMA + F16C */
    QN_ISA_AVXVNNI,    /* 256-bit VNNI */
    QN_ISA_AVX512,     /* F + BW + VL + DQ */
    QN_ISA_AVX512VNNI, /* + VNNI */
    QN_ISA_AVX512BF16, /* + BF16 */
    QN_ISA_AMXINT8,    /* AVX512VNNI + tiles of int8 */
    QN_ISA_AMXBF16,    /* AMXINT8 + tiles of bf16, and the conversion to bf16 */
    QN_ISA_AMXFAST,    /* the same, also for matmuls of quantized weights: other bits than matvec */
    QN_ISA_NEON,
    QN_ISA_DOTPROD,
    QN_ISA_I8MM,
    QN_ISA_COUNT
};

/* ---- quantized activations -------------------------------------------------------------- */

/* One row of Q8 activations: Kp = K rounded up to 256; int8 q[Kp], then Kp/32 of struct
 * qn_act_block, then as many of struct qn_act_halves, which only forms with a scale for each 16 k
 * read, then what is missing to an odd number of cache lines; the padding is zero.
 * q = round-to-nearest-even(x *
 * (127 / amax of the block)), scale = amax / 127 with the two lowest bits of the significand
 * cleared, each operation rounded to float; every ISA gives the same bytes (act_block.h).
 *
 * An integer dot d, |d| < 2^22, needs no conversion: d + QN_ACT_ZERO_BITS are the bits of the
 * float QN_ACT_ZERO + d, and
 *     fma(QN_ACT_ZERO + d, scale, zero) = d * scale rounded once,
 * because scale * QN_ACT_ZERO is exact. So an accumulator starts at QN_ACT_ZERO_BITS; for weights
 * made unsigned by adding a bias of 128 it starts at `start`, and the product comes out as if they
 * were signed. For another bias B it is (start - QN_ACT_ZERO_BITS) / 128 * B + QN_ACT_ZERO_BITS. */
#define QN_ACT_ZERO      12582912 /* 1.5 * 2^23: floats around it are 1 apart, 2^22 to each side */
#define QN_ACT_ZERO_BITS 0x4b400000
struct qn_act_block {
    float scale;     /* 0 for a block of zeros */
    float zero;      /* -QN_ACT_ZERO * scale */
    float scale_sum; /* scale * (sum of the block's 32 q), for weights with mins */
    int32_t start;   /* QN_ACT_ZERO_BITS - 128 * (sum of the block's 32 q) */
};
/* Of the first and of the last 16 of a block. */
struct qn_act_halves {
    int32_t start[2];    /* QN_ACT_ZERO_BITS - 128 * (sum of q) */
    int16_t neg_sums[2]; /* -(sum of q) */
    int32_t unused;      /* 0: as large as a block, so that both are a constant apart */
};

/* A block whose largest magnitude is below this counts as zeros: from here on amax / 127 and
 * 127 / amax are normal floats, so flushing subnormals to zero changes nothing. */
#define QN_ACT_AMAX_MIN 0x1p-119f

/* Where a block of a row is. */
struct qn_act_at {
    const int8_t *q;                  /* [32] */
    const struct qn_act_block *block; /* its factors */
    size_t to_halves;                 /* bytes from there to those of its halves */
};
static inline const struct qn_act_halves *qn_act_halves(struct qn_act_at x) {
    return (const struct qn_act_halves *)((const char *)x.block + x.to_halves);
}
/* Blocks of a row of K. */
static inline int qn_act_blocks(int k) {
    return (k + 255) / 256 * 8;
}
/* Block b of a row of K. */
static inline struct qn_act_at qn_act_at(const void *row, int k, int b) {
    const int8_t *const q = (const int8_t *)row;
    const int n = qn_act_blocks(k);
    const struct qn_act_block *const blocks = (const struct qn_act_block *)(q + n * 32);
    return (struct qn_act_at){q + b * 32, blocks + b, (size_t)n * sizeof *blocks};
}

/* One row of I16 activations: Kp = K rounded up to 64; int16 q[Kp], then float scale[Kp / 64], then
 * what is missing to an odd number of cache lines; the padding is zero. Weights of type I16 are
 * rounded alike (round_i16.h): such that a dot of two blocks fits 32 bits. */
enum { QN_I16_BLOCK = 64 };
static inline int qn_i16_blocks(int k) {
    return (k + QN_I16_BLOCK - 1) / QN_I16_BLOCK;
}
static inline const float *qn_i16_scales(const void *row, int k) {
    return (const float *)((const int16_t *)row + qn_i16_blocks(k) * QN_I16_BLOCK);
}

/* Bytes of a row of K activations of the kind, an odd multiple of 64 (of each of two, in Q8X2). */
size_t qn_act_row_size(enum qn_act act, int k);

/* ---- operations ------------------------------------------------------------------------- */

/* x float [K] -> one activation row at dst (64-byte aligned), padding included. x must be
 * at most 2^100 in magnitude; a block with more, an infinity or a NaN gives unspecified numbers but
 * no fault. */
typedef void qn_prepare_fn(const float *x, int k, void *dst);

/* y[m][n] = sum over k of w[n][k] x[m][k] (+ bias[n]) (+ y[m][n] before), for n in [n0, n1).
 * The bias and then the old y are added after the sum. matvec is the same for M = 1. */
struct qn_matmul {
    const void *w;     /* packed tiles of [N][K] (pack.h), 64-byte aligned */
    const void *x;     /* [M] activation rows of kind qn_pack_act(form, bundles), of a matmul
                          qn_pack_act_many(), 64-byte aligned */
    size_t x_ld;       /* bytes from row to row of x, a multiple of 64 */
    float *y;          /* [M][y_ld]; does not overlap x, w, bias */
    size_t y_ld;       /* floats from row to row of y */
    const float *bias; /* [N] or NULL */
    void *scratch;     /* qn_matmul_scratch_size(m, k) bytes, 64-byte aligned, one a thread */
    int m, k;          /* k: a multiple of the stored type's block */
    int n0, n1;        /* n0 a multiple of the tile rows; n1 too, or N itself */
    bool accumulate;   /* add to y instead of replacing it */
    bool amd;          /* as in struct qn_kernels; the bits are the same */
};
typedef void qn_matmul_fn(const struct qn_matmul *a);
typedef qn_matmul_fn qn_matvec_fn;
size_t qn_matmul_scratch_size(int m, int k);

/* y = x / sqrt(mean(x^2) + eps) * w (RMS), or (x - mean) / sqrt(var + eps) * w + b (layer).
 * All float [K]; w and b may be NULL (1 and 0); y may be x. */
typedef void qn_norm_fn(const float *x, const float *w, const float *b, float eps, int k, float *y);
enum qn_norm { QN_NORM_RMS, QN_NORM_LAYER, QN_NORM_COUNT };

/* x [n] <- exp(x - max x) / sum. -infinity gives 0; at least one element is finite. */
typedef void qn_softmax_fn(float *x, int n);

/* Rotates the first 2*half components of x [H][ld] in place by one position's angles:
 * pairs (i, i + half) for HALVES, (2i, 2i + 1) for ADJACENT.
 * (a, b) -> (a cos_i - b sin_i, a sin_i + b cos_i); cos, sin float [half]. */
typedef void qn_rope_fn(float *x, int n_heads, size_t ld, int half, const float *cos,
                        const float *sin);
enum qn_rope { QN_ROPE_HALVES, QN_ROPE_ADJACENT, QN_ROPE_COUNT };

/* y[i] = f(g[i]) * u[i], or f(g[i]) where u is NULL; y may be g or u.
 * SILU x/(1+e^-x); GELU x/2 (1+erf(x/sqrt 2)), whose error is relative to x, because the sum
 * cancels for x < 0; GELU_TANH the tanh approximation. */
typedef void qn_activation_fn(const float *g, const float *u, int n, float *y);
enum qn_activation {
    QN_ACTIVATION_SILU,
    QN_ACTIVATION_GELU,
    QN_ACTIVATION_GELU_TANH,
    QN_ACTIVATION_RELU,
    QN_ACTIVATION_COUNT
};

/* y[i] += x[i] */
typedef void qn_add_fn(const float *x, int n, float *y);

/* y[i] <- scale * x[i] + y[i], rounded once */
typedef void qn_add_scaled_fn(float scale, const float *x, int n, float *y);

/* x[i] <- cap * tanh(x[i] / cap), cap > 0: keeps x within (-cap, cap) (Gemma 2,
 * https://arxiv.org/abs/2408.00118). */
typedef void qn_softcap_fn(float cap, int n, float *x);

/* ---- KV cache and attention ------------------------------------------------------------- */

/* The cache of one layer is made of blocks of QN_KV_BLOCK positions of one KV head:
 *   K block: 4 tiles of 16 positions; a tile is [D][16] elements, so that the scores of 16
 *            positions are one vector and appending writes one column. Q8_0: int8 [D][16], then
 *            f16 scales [D/32][16].
 *   V block: [64 positions][Dp] elements, Dp = D rounded up to 16, padding zero. Q8_0: int8
 *            [64][Dp], then f16 scales [64][D/32].
 * I16 has pairs of 16-bit integers, of which one instruction multiplies and adds two, and one scale
 * for all of a row (round_kv.h): a tile of K is int16 [D/2][16][2], then float scales [16]; V is
 * int16 [32][Dp][2], pairs of positions, then float scales [64].
 * A sequence owns blocks through a table: position p lies in blocks[p / 64]. */
enum { QN_KV_BLOCK = 64, QN_KV_TILE = 16, QN_HEAD_SIZE_MAX = 256 /* D: even, at most this */ };
enum qn_kv {
    QN_KV_F16,
    QN_KV_F32,
    QN_KV_Q8_0,
    QN_KV_I16,
    QN_KV_COUNT,
/* What a session caches unless told otherwise. I16 is closer to the floats than F16 (some 15 bits
 * of a row's largest number in place of 11 of each) and 3 % larger with D = 64. x86 multiplies
 * twice as many such integers at a time as floats; NEON as many, so F16 it stays there. */
#ifdef __x86_64__
    QN_KV_DEFAULT = QN_KV_I16
#else
    QN_KV_DEFAULT = QN_KV_F16
#endif
};

/* A cache's types: K's, then V's where it is another. */
enum qn_cache {
    QN_CACHE_F16,
    QN_CACHE_F16_F32,
    QN_CACHE_F16_Q8_0,
    QN_CACHE_F16_I16,
    QN_CACHE_F32_F16,
    QN_CACHE_F32,
    QN_CACHE_F32_Q8_0,
    QN_CACHE_F32_I16,
    QN_CACHE_Q8_0_F16,
    QN_CACHE_Q8_0_F32,
    QN_CACHE_Q8_0,
    QN_CACHE_Q8_0_I16,
    QN_CACHE_I16_F16,
    QN_CACHE_I16_F32,
    QN_CACHE_I16_Q8_0,
    QN_CACHE_I16,
    QN_CACHE_COUNT,
    QN_CACHE_DEFAULT = QN_KV_DEFAULT * QN_KV_COUNT + QN_KV_DEFAULT
};
static inline enum qn_cache qn_cache_of(enum qn_kv k, enum qn_kv v) {
    return (enum qn_cache)((int)k * QN_KV_COUNT + (int)v);
}
static inline enum qn_kv qn_cache_k(enum qn_cache cache) {
    return (enum qn_kv)((int)cache / QN_KV_COUNT);
}
static inline enum qn_kv qn_cache_v(enum qn_cache cache) {
    return (enum qn_kv)((int)cache % QN_KV_COUNT);
}

/* Bytes of a K block and of a V block of one head; multiples of 64. Q8_0 needs D % 32 == 0, I16 an
 * even one. */
size_t qn_kv_k_block_size(enum qn_kv kv, int d);
size_t qn_kv_v_block_size(enum qn_kv kv, int d);

/* Writes one position of one head: k, v float [D] (either may be NULL) at slot 0..63 of the
 * blocks. F16 saturates at +-65504, as do the scales of Q8_0, which quantizes blocks of 32 as
 * activations are, with scale = the half nearest amax / 127. Of infinities and NaNs all but F32
 * make some finite numbers. */
typedef void qn_kv_store_fn(const float *k, const float *v, int d, int slot, void *k_block,
                            void *v_block);

/* Positions that attention sums up as one, a span: those from a multiple of QN_ATTENTION_SPAN to
 * the next. Spans are what threads divide a long context by. One costs its unfinished result, 4 (Dp
 * + 16) bytes a query head, written and read once; that is 0.5 % of what it reads itself, 2048 D
 * bytes of an f16 cache. With spans of one block it would be 4 %, and with spans of 4096 positions
 * most contexts could not be divided at all. Threads' parts differ from even ones by half a span at
 * each end: at 4096 positions of 3 KV heads on 2 threads by nothing. */
enum { QN_ATTENTION_SPAN = 8 * QN_KV_BLOCK };

/* Causal attention of G query heads that share one KV head, for M tokens of one sequence:
 *   out[m][g] = softmax over p of cap(scale * q[m][g] . K[p]) applied to V[p],
 *   p in [max(0, pos[m] - window + 1), pos[m]]; window 0 means no window;
 *   cap(s) = softcap * tanh(s / softcap), or s where softcap is 0.
 * Within a span, online softmax over blocks of 64 positions in rising order from the block that
 * holds the first visible position: it leaves the largest score m, the sum l of e^(score - m) as
 * one number, and the sums o of e^(score - m) V. Spans are then merged in rising order:
 *   M' = max(M, m)   L <- fma(l, e^(m - M'), L e^(M - M'))   O <- fma(o, e^(m - M'), O e^(M - M'))
 * from M = -FLT_MAX, L = 0 and O = 0; out = O / L. The numbers of a row depend on its own q, pos
 * and the cache alone, and are the same where spans are computed apart and merged later. Slots
 * after pos may hold anything finite. Where K is I16, scale * q is rounded to integers as K is;
 * where V is, so are the weights of a block, times the scales of their positions: of step g, such
 * that they add up to 262000 and are below 32760 each (round_kv.h). Keeps its buffers, up to 190
 * KB, on the stack. */
struct qn_attention {
    const float *q; /* q[m * q_ld + g * d + i], already rotated */
    size_t q_ld;
    float *out; /* out[m * out_ld + g * d + i]; does not overlap q */
    size_t out_ld;
    const int32_t *pos;    /* [M] position of each token, all already stored in the cache */
    const int32_t *blocks; /* block table of the sequence */
    const char *k;         /* K block b of this head is at k + b * k_stride */
    const char *v;
    size_t k_stride, v_stride; /* bytes */
    float scale, softcap;
    int m, g, d, window;
    /* Not NULL: instead of out, only spans [first_span, end_span) are computed, and their records
     * written, [spans][M][G]. That of a span of which a row sees nothing says m = -FLT_MAX, and l
     * and o of 0. */
    float *parts;
    int first_span, end_span;
};
typedef void qn_attention_fn(const struct qn_attention *a);

/* Bytes of a record, a multiple of 64: o [Dp], D rounded up to 16 as in V blocks; then m and l. */
size_t qn_attention_part_size(int d);

/* out [rows][d] <- the records [spans][rows] of an attention kernel of the same ISA, merged. It
 * must be all spans that a row sees; others leave it as it is. */
typedef void qn_attention_merge_fn(const float *parts, int n_spans, int n_rows, int d, float *out);

/* ---- the table -------------------------------------------------------------------------- */

/* Chosen functions; every slot is set. A value, not a global: two models may differ. */
struct qn_kernels {
    enum qn_isa isa;  /* the highest bundle used */
    uint32_t bundles; /* 1 << enum qn_isa of every bundle used */
    int tile_rows;    /* R: rows of a weight tile, 16 or 8 */
    bool amd;         /* which of two ways of equal bits suits the processor (qn_cpu_is_amd) */
    qn_prepare_fn *prepare[QN_ACT_COUNT];
    qn_matmul_fn *matmul[QN_PACK_COUNT]; /* any M >= 1 */
    qn_matmul_fn *matvec[QN_PACK_COUNT]; /* M = 1 */
    qn_norm_fn *norm[QN_NORM_COUNT];
    qn_softmax_fn *softmax[1];
    qn_rope_fn *rope[QN_ROPE_COUNT];
    qn_activation_fn *activation[QN_ACTIVATION_COUNT];
    qn_add_fn *add[1];
    qn_add_scaled_fn *add_scaled[1];
    qn_softcap_fn *softcap[1];
    qn_kv_store_fn *kv_store[QN_KV_COUNT];
    qn_attention_fn *attention[QN_CACHE_COUNT];
    qn_attention_merge_fn *attention_merge[1];
};

/* Bundles that this machine and its operating system can run (cpu.c: CPUID and XGETBV, or
 * getauxval). Bit QN_ISA_REF is always set. */
uint32_t qn_cpu_bundles(void);
/* Of these, the ones that a model gets unless told otherwise. AMXFAST has to be asked for. So has
 * AVX512BF16, which rounds inputs of BF16 weights to 8 bits, but on AMD's processors: there it has
 * 1.1 times the rate of the integers that they become otherwise (216 against 195 GOP/s a core of a
 * Zen 4) and needs no scales, and rounding costs less than int8 does elsewhere (mean KL 6e-5, as
 * llama.cpp's). On Intel's it has half the rate of FMA (92 against 145 on a Granite Rapids). */
uint32_t qn_cpu_default_bundles(void);

/* Whether the processor is AMD's, for kernels that are faster in another way on it than on Intel's.
 * It reads plain streams ahead better than prefetch instructions do (F16 on a Zen 4: 28 GB/s a core
 * without, 21 with them; Intel's 16 and 19), likes quantized weights asked for at other distances
 * (tiles/matmul_forms.h), and converts halves beside its FMAs and not in their place
 * (tiles/matmul_float.h). */
bool qn_cpu_is_amd(void);

/* Whether an instruction of these bundles adds products to sums by itself (VNNI). */
static inline bool qn_isa_has_dots(uint32_t bundles) {
    return bundles & (1u << QN_ISA_AVXVNNI | 1u << QN_ISA_AVX512VNNI);
}

const char *qn_isa_name(enum qn_isa isa);
/* Name -> ISA; false when there is none of that name. */
bool qn_isa_parse(const char *name, enum qn_isa *isa);
/* The bundle and those it builds on: avx512vnni -> {ref, avx2, avx512, avx512vnni}. */
uint32_t qn_isa_mask(enum qn_isa isa);

/* Fills the table from the bundles given that are also compiled in. */
void qn_kernels_select(uint32_t bundles, struct qn_kernels *out);

/* Every compiled kernel, for tests, benches and the doctor. */
struct qn_kernel_entry {
    enum qn_isa isa;
    const char *op;           /* "matmul" */
    int variant;              /* index into the slot's array */
    const char *variant_name; /* "Q4_0" */
    const char *function;     /* "qn_matmul_q4_0_6x32__avx512vnni" */
};
const struct qn_kernel_entry *qn_kernel_list(size_t *n);

#endif
