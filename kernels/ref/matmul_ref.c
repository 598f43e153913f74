/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products, as specified: weights times activations as they are stored, summed in double
 * in rising k, rounded once; then the bias and the old y are added.
 */
#include <assert.h>

#include "kernels/inventory.h"
#include "kernels/pack.h"
#include "kernels/ref/unpack_ref.h"

/* Tables with reference matmuls have tiles of 8 rows; a strip of x rows shares unpacked weights. */
enum { TILE_ROWS = 8, STRIP = 16 };

static double load_activation(enum qn_act act, const char *row, int k_count, int k) {
    if (act == QN_ACT_F32) return (double)((const float *)row)[k];
    if (act == QN_ACT_I16)
        return (double)qn_i16_scales(row, k_count)[k / QN_I16_BLOCK] * ((const int16_t *)row)[k];
    const struct qn_act_at at = qn_act_at(row, k_count, k / 32);
    return (double)at.block->scale * at.q[k % 32];
}

/* sums [STRIP] += the unit's weights of one row times rows [m0, m1) of x, for k from k0. */
static void add_unit(const struct qn_matmul *a, enum qn_pack form, const double *weights, int k0,
                     int m0, int m1, double *sums) {
    const enum qn_act act = qn_pack_act(form, 1u << QN_ISA_REF);
    const int unit_k = qn_pack_unit_k(form);
    const int count = a->k - k0 < unit_k ? a->k - k0 : unit_k;
    for (int m = m0; m < m1; m++) {
        const char *const row = (const char *)a->x + (size_t)m * a->x_ld;
        for (int i = 0; i < count; i++)
            sums[m - m0] += weights[i] * load_activation(act, row, a->k, k0 + i);
    }
}

static void put(const struct qn_matmul *a, int m, int n, double sum) {
    float *const y = a->y + (size_t)m * a->y_ld + n;
    float result = (float)sum;
    if (a->bias) result += a->bias[n];
    if (a->accumulate) result += *y;
    *y = result;
}

static void matmul(enum qn_pack form, const struct qn_matmul *a) {
    assert(a->m > 0 && a->k > 0 && a->n0 % TILE_ROWS == 0);
    const int unit_k = qn_pack_unit_k(form);
    const size_t unit_size = (size_t)qn_pack_unit_bytes(form) * TILE_ROWS;
    const size_t tile_size = qn_pack_form_tile_size(form, TILE_ROWS, a->k);
    for (int m0 = 0; m0 < a->m; m0 += STRIP) {
        const int m1 = m0 + STRIP < a->m ? m0 + STRIP : a->m;
        for (int n = a->n0; n < a->n1; n++) {
            const uint8_t *unit = (const uint8_t *)a->w + (size_t)(n / TILE_ROWS) * tile_size;
            double sums[STRIP] = {0}, weights[QN_UNIT_MAX];
            for (int k = 0; k < a->k; k += unit_k, unit += unit_size) {
                qn_unpack_unit_row__ref(form, TILE_ROWS, unit, n % TILE_ROWS, weights);
                add_unit(a, form, weights, k, m0, m1, sums);
            }
            for (int m = m0; m < m1; m++) put(a, m, n, sums[m - m0]);
        }
    }
}

#define MATMUL(name, form)                                                                         \
    void qn_matmul_##name##__ref(const struct qn_matmul *a) {                                      \
        matmul(form, a);                                                                           \
    }

MATMUL(f32, QN_PACK_F32)
MATMUL(f16, QN_PACK_F16)
MATMUL(bf16, QN_PACK_BF16)
MATMUL(q8_0, QN_PACK_Q8_0)
MATMUL(q4_0, QN_PACK_Q4_0)
MATMUL(q4_1, QN_PACK_Q4_1)
MATMUL(q5_0, QN_PACK_Q5_0)
MATMUL(q5_1, QN_PACK_Q5_1)
MATMUL(iq4_nl, QN_PACK_IQ4_NL)
MATMUL(q2_k, QN_PACK_Q2_K)
MATMUL(q3_k, QN_PACK_Q3_K)
MATMUL(q4_k, QN_PACK_Q4_K)
MATMUL(q5_k, QN_PACK_Q5_K)
MATMUL(q6_k, QN_PACK_Q6_K)
MATMUL(iq4_xs, QN_PACK_IQ4_XS)
MATMUL(i16, QN_PACK_I16)
MATMUL(q8_i16, QN_PACK_Q8_I16)
MATMUL(q6_i16, QN_PACK_Q6_I16)
