/* SPDX-License-Identifier: Apache-2.0
 *
 * Activation rows, as specified. Every instruction set gives the same bytes: only comparisons,
 * two divisions a block, and one multiplication an element round, each once.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/act_block.h"
#include "kernels/half.h"
#include "kernels/inventory.h"
#include "kernels/round_i16.h"

void qn_prepare_f32__ref(const float *x, int k, void *dst) {
    const size_t size = (size_t)k * sizeof(float);
    assert(k > 0);
    memcpy(dst, x, size);
    qn_act_row_end(QN_ACT_F32, k, size, dst);
}

void qn_prepare_bf16x2__ref(const float *x, int k, void *dst) {
    uint16_t *const out = dst;
    assert(k > 0);
    memset(dst, 0, qn_act_row_size(QN_ACT_BF16X2, k));
    for (int i = 0; i < k; i++) {
        uint16_t *const high = out + i / 32 * 64 + i % 32;
        *high = qn_bfloat_from_float(x[i]);
        high[32] = qn_bfloat_from_float(x[i] - qn_bfloat_to_float(*high));
    }
}

void qn_prepare_bf16__ref(const float *x, int k, void *dst) {
    uint16_t *const out = dst;
    assert(k > 0);
    memset(dst, 0, qn_act_row_size(QN_ACT_BF16, k));
    for (int i = 0; i < k; i++) out[i] = qn_bfloat_from_float(x[i]);
}

void qn_prepare_i16__ref(const float *x, int k, void *dst) {
    assert(k > 0 && (uintptr_t)dst % 64 == 0);
    qn_round_i16_row(x, k, dst);
}

/* The largest magnitude of a block; one too small for 127 / amax and amax / 127 to be normal
 * numbers counts as zero. */
static float block_amax(const float x[32]) {
    float amax = 0;
    for (int i = 0; i < 32; i++) amax = fmaxf(amax, fabsf(x[i]));
    return amax < QN_ACT_AMAX_MIN ? 0 : amax;
}

/* Block b of a row. */
static void quantize_block(const float x[32], struct qn_act_row row, int b) {
    int8_t *const q = row.q + b * 32;
    const float amax = block_amax(x);
    const float inverse = amax > 0 ? 127.0f / amax : 0;
    int sum = 0, sum_lo = 0;
    for (int i = 0; i < 32; i++) {
        q[i] = (int8_t)rintf(fminf(fmaxf(x[i] * inverse, -127.0f), 127.0f)); /* NaNs, too */
        sum += q[i];
        if (i == 15) sum_lo = sum;
    }
    qn_act_block_set(row, b, amax, sum_lo, sum - sum_lo);
}

void qn_prepare_q8__ref(const float *x, int k, void *dst) {
    assert(k > 0 && (uintptr_t)dst % 64 == 0);
    const int padded = qn_act_blocks(k) * 32;
    const struct qn_act_row row = qn_act_row_of(dst, k);
    for (int i = 0; i < padded; i += 32) {
        float block[32] = {0};
        const int n = k - i < 32 ? k - i : 32;
        if (n > 0) memcpy(block, x + i, (size_t)n * sizeof *x);
        quantize_block(block, row, i / 32);
    }
    qn_act_q8_end(k, dst);
}

void qn_prepare_q8x2__ref(const float *x, int k, void *dst) {
    void *const second = (char *)dst + qn_act_row_size(QN_ACT_Q8, k);
    const struct qn_act_row row = qn_act_row_of(dst, k), rest = qn_act_row_of(second, k);
    qn_prepare_q8__ref(x, k, dst);
    for (int b = 0; b < qn_act_blocks(k); b++) {
        float left[32] = {0};
        for (int i = b * 32; i < (b + 1) * 32 && i < k; i++)
            left[i % 32] = x[i] - row.blocks[b].scale * (float)row.q[i];
        quantize_block(left, rest, b);
    }
    qn_act_q8_end(k, second);
}
