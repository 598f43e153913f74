/* SPDX-License-Identifier: Apache-2.0
 *
 * A kernel of your own in the laboratory:
 *
 *   cc -O3 -mavx2 -mfma -shared -fPIC -o my.so my.c
 *   quern kbench --plugin ./my.so --shape 1536x576 -M 1,4,512
 *
 * checks it against the double-precision reference and measures it beside Quern's own. The shared
 * object exports one symbol, `quern_kernel`, of the type below. This header includes nothing of
 * Quern's and needs nothing to link with.
 *
 * ---- packed weights ----
 *
 * matmul and matvec read weights packed into tiles of R rows (tile_rows, 8 or 16), each one a
 * contiguous stream, 64-byte aligned. N is padded to R with zero rows. Tile t of n0 / R .. is at
 * w + t * tile_size, where a tile is a run of units rising in k, its size rounded up to 64 bytes,
 * and K is padded with zeros to a whole unit. A unit holds, in this order (little-endian):
 *
 *   form    k    bytes  contents, for each of R rows
 *   F32     16    64    float [16 k][R]
 *   F16     16    32    f16 [16 k][R]
 *   BF16    16    32    bf16 [8 k/2][R][2]
 *   Q8_0    64    68    int8 [16 groups][R][4], scale f16 [2 blocks][R]
 *   Q4_0    64    36    nibbles [2 blocks][4 j][R][4 i], scale f16 [2][R]: the low nibble of byte
 *                       j, i is k = 4j + i of the block, the high one k = 4(j + 4) + i;
 *                       weight = scale * (nibble - 8)
 *   Q4_1    64    40    as Q4_0, then min f16 [2][R]; weight = scale * nibble + min
 *
 * ("bytes" is of a unit and row: a unit takes R times as many.) A group is 4 consecutive k, a
 * block 32. The other forms are laid out as kernels/pack.h of
 * Quern's sources documents.
 *
 * ---- activations ----
 *
 * Rows of x lie x_ld bytes apart, 64-byte aligned. For F32, F16 and BF16 weights a row is float [K
 * padded with zeros to a multiple of 16]. For I16, Q8_I16 and Q6_I16 it is int16 q[Kp], Kp = K
 * rounded up to 64, then float scale[Kp / 64]. For all others it is int8 q[Kp], Kp = K rounded up
 * to 256, then Kp / 32 of struct quern_block, then as many of struct quern_halves; x = scale * q,
 * and padding is zero.
 */
#ifndef QUERN_KERNEL_H
#define QUERN_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define QUERN_KERNEL_ABI 3

/* Of 32 activations. */
struct quern_block {
    float scale;
    float zero;      /* -12582912 * scale: see kernels/kernels.h of Quern's sources */
    float scale_sum; /* scale * (sum of the 32 q), for weights with mins */
    int32_t start;
};
/* Of the first and of the last 16 of them. */
struct quern_halves {
    int32_t start[2];
    int16_t neg_sums[2]; /* -(sum of q) */
    int32_t unused;
};

/* y[m][n] = sum over k of w[n][k] x[m][k] (+ bias[n]) (+ the y[m][n] that was there), for m < M and
 * n in [n0, n1). */
struct quern_matmul {
    const void *w;
    const void *x;
    size_t x_ld; /* bytes from row to row of x */
    float *y;
    size_t y_ld;       /* floats from row to row of y */
    const float *bias; /* [N] or NULL */
    void *scratch;     /* for the engine's own kernels; its size is not promised */
    int m, k;
    int n0, n1;      /* n0 a multiple of tile_rows; n1 too, or N itself */
    bool accumulate; /* add to y instead of replacing it */
    bool amd;        /* AMD's: prefetching floats of a single row would slow it down */
};

/* The operation that the kernel stands for, and its function. matvec is called with m = 1. */
union quern_kernel_run {
    /* "matmul", "matvec"; variant: the form of weights above */
    void (*matmul)(const struct quern_matmul *a);
    /* "norm"; variant "RMS": x / sqrt(mean(x^2) + eps) * w + b, or "LAYER"; w and b may be NULL */
    void (*norm)(const float *x, const float *w, const float *b, float eps, int k, float *y);
    /* "softmax"; variant "": x <- exp(x - max x) / sum */
    void (*softmax)(float *x, int n);
    /* "rope"; variant "HALVES" (pairs i, i + half) or "ADJACENT" (2i, 2i + 1) of heads ld apart */
    void (*rope)(float *x, int n_heads, size_t ld, int half, const float *cosines,
                 const float *sines);
    /* "activation"; variant "SILU", "GELU", "GELU_TANH", "RELU": f(g) * u, or f(g) if u is NULL */
    void (*activation)(const float *g, const float *u, int n, float *y);
    /* "add"; variant "": y += x */
    void (*add)(const float *x, int n, float *y);
    /* "add_scaled"; variant "": y += scale * x */
    void (*add_scaled)(float scale, const float *x, int n, float *y);
    /* "softcap"; variant "": x <- cap * tanh(x / cap) */
    void (*softcap)(float cap, int n, float *x);
};

struct quern_kernel {
    uint32_t abi;        /* QUERN_KERNEL_ABI */
    uint32_t tile_rows;  /* 8 or 16 for products; 0 for others */
    const char *name;    /* what tables show */
    const char *op;      /* "matmul" */
    const char *variant; /* "Q4_0" */
    const char *isa;     /* what it needs: "avx2", "avx512vnni", "neon"; "ref" for nothing. It is
                            not run where the processor or the build lacks it */
    union quern_kernel_run run;
};

extern
#if defined(__GNUC__)
    __attribute__((visibility("default")))
#endif
    const struct quern_kernel quern_kernel;

#ifdef __cplusplus
}
#endif

#endif
