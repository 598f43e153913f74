/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing one position to the KV cache, as specified.
 */
#include <assert.h>
#include <math.h>

#include "kernels/inventory.h"
#include "kernels/ref/kv_ref.h"
#include "kernels/round_kv.h"

/* Where a row goes: among the values of `run`, which its scales follow. */
struct place {
    enum qn_kv kv;
    char *run;
    size_t values;
    int d, slot;
    bool is_k;
};

static struct place k_place(enum qn_kv kv, int d, int slot, void *block) {
    char *const tile = (char *)block + (size_t)(slot / QN_KV_TILE) * qn_k_tile_size(kv, d);
    return (struct place){kv, tile, (size_t)d * QN_KV_TILE, d, slot, true};
}

static struct place v_place(enum qn_kv kv, int d, int slot, void *block) {
    return (struct place){kv, block, QN_KV_BLOCK * qn_v_row(d), d, slot, false};
}

static char *value_at(struct place to, int i, size_t size) {
    return to.run +
           size * (to.is_k ? qn_k_place(to.kv, to.slot, i) : qn_v_place(to.kv, to.d, to.slot, i));
}

/* value_size: of the values that lie before. */
static char *scale_at(struct place to, int i, size_t value_size, size_t size) {
    return to.run + to.values * value_size +
           size * (to.is_k ? qn_k_scale(to.kv, to.slot, i) : qn_v_scale(to.kv, to.d, to.slot, i));
}

/* x, at most `most` in magnitude; a NaN is -most. */
static float clamp(float x, float most) {
    return fminf(fmaxf(x, -most), most);
}

static void store_f16(const float *x, int d, struct place to) {
    for (int i = 0; i < d; i++) {
        const uint16_t half = qn_half_from_float(clamp(x[i], 65504.0f));
        memcpy(value_at(to, i, 2), &half, 2);
    }
}

static void store_f32(const float *x, int d, struct place to) {
    for (int i = 0; i < d; i++) memcpy(value_at(to, i, 4), x + i, 4);
}

static void store_q8_0(const float *x, int d, struct place to) {
    for (int b = 0; b < d / 32; b++) {
        float amax = 0;
        for (int i = b * 32; i < b * 32 + 32; i++) amax = fmaxf(amax, fabsf(x[i]));
        if (amax < QN_ACT_AMAX_MIN) amax = 0;
        const float inverse = amax > 0 ? 127.0f / amax : 0;
        const uint16_t scale = qn_half_from_float(amax / 127.0f);
        memcpy(scale_at(to, b * 32, 1, 2), &scale, 2);
        for (int i = b * 32; i < b * 32 + 32; i++)
            *value_at(to, i, 1) = (char)(int8_t)rintf(clamp(x[i] * inverse, 127.0f));
    }
}

/* What a row is multiplied with; 0 for zeros, which have a scale of 0. */
static float i16_factor(const float *x, int d, bool is_k) {
    float amax = 0, squares = 0;
    for (int i = 0; i < d; i++) amax = fmaxf(amax, fabsf(x[i]));
    if (amax < QN_KV_AMAX_MIN) return 0;
    if (!is_k) return (float)QN_KV_V_MAX / amax;
    const float to_8 = (float)QN_KV_NORM_MAX / amax;
    for (int i = 0; i < d; i++) squares += rintf(x[i] * to_8) * rintf(x[i] * to_8);
    return qn_kv_k_factor(amax, squares);
}

static void store_i16(const float *x, int d, struct place to) {
    float row[QN_HEAD_SIZE_MAX];
    for (int i = 0; i < d; i++) row[i] = clamp(x[i], QN_KV_MAX);
    const float factor = i16_factor(row, d, to.is_k);
    const float scale = factor > 0 ? 1.0f / factor : 0;
    memcpy(scale_at(to, 0, 2, 4), &scale, 4);
    for (int i = 0; i < d; i++) {
        const int16_t q = (int16_t)rintf(row[i] * factor);
        memcpy(value_at(to, i, 2), &q, 2);
    }
}

static void store(void (*put)(const float *, int, struct place), enum qn_kv kv, const float *k,
                  const float *v, int d, int slot, void *k_block, void *v_block) {
    assert(d > 0 && slot >= 0 && slot < QN_KV_BLOCK);
    if (k) put(k, d, k_place(kv, d, slot, k_block));
    if (v) put(v, d, v_place(kv, d, slot, v_block));
}

void qn_kv_store_f16__ref(const float *k, const float *v, int d, int slot, void *k_block,
                          void *v_block) {
    store(store_f16, QN_KV_F16, k, v, d, slot, k_block, v_block);
}

void qn_kv_store_f32__ref(const float *k, const float *v, int d, int slot, void *k_block,
                          void *v_block) {
    store(store_f32, QN_KV_F32, k, v, d, slot, k_block, v_block);
}

void qn_kv_store_q8_0__ref(const float *k, const float *v, int d, int slot, void *k_block,
                           void *v_block) {
    store(store_q8_0, QN_KV_Q8_0, k, v, d, slot, k_block, v_block);
}

void qn_kv_store_i16__ref(const float *k, const float *v, int d, int slot, void *k_block,
                          void *v_block) {
    store(store_i16, QN_KV_I16, k, v, d, slot, k_block, v_block);
}
