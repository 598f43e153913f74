/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing one position to the KV cache, as specified.
 */
#include <assert.h>
#include <math.h>

#include "kernels/inventory.h"
#include "kernels/ref/kv_ref.h"

/* Where a vector goes: value i at run + (first + i * step) elements, the scale of 32-block b at
 * number first_scale + b * scale_step of the scales, which follow the run's values. */
struct place {
    char *run;
    size_t values;
    size_t first, step;
    size_t first_scale, scale_step;
};

static struct place k_place(enum qn_kv kv, int d, int slot, void *block) {
    return (struct place){
        .run = (char *)block + (size_t)(slot / QN_KV_TILE) * qn_k_tile_size(kv, d),
        .values = (size_t)d * QN_KV_TILE,
        .first = qn_k_place(slot, 0),
        .step = QN_KV_TILE,
        .first_scale = qn_k_place(slot, 0),
        .scale_step = QN_KV_TILE,
    };
}

static struct place v_place(int d, int slot, void *block) {
    return (struct place){
        .run = block,
        .values = QN_KV_BLOCK * qn_v_row(d),
        .first = (size_t)slot * qn_v_row(d),
        .step = 1,
        .first_scale = (size_t)slot * (size_t)(d / 32),
        .scale_step = 1,
    };
}

static void store_f16(const float *x, int d, struct place to) {
    for (int i = 0; i < d; i++) {
        const uint16_t half = qn_half_from_float(x[i]);
        memcpy(to.run + (to.first + (size_t)i * to.step) * 2, &half, 2);
    }
}

static void store_f32(const float *x, int d, struct place to) {
    for (int i = 0; i < d; i++) memcpy(to.run + (to.first + (size_t)i * to.step) * 4, x + i, 4);
}

static void store_q8_0(const float *x, int d, struct place to) {
    for (int b = 0; b < d / 32; b++) {
        float amax = 0;
        for (int i = b * 32; i < b * 32 + 32; i++) amax = fmaxf(amax, fabsf(x[i]));
        if (amax < QN_ACT_AMAX_MIN) amax = 0;
        const float inverse = amax > 0 ? 127.0f / amax : 0;
        const uint16_t scale = qn_half_from_float(amax / 127.0f);
        memcpy(to.run + to.values + (to.first_scale + (size_t)b * to.scale_step) * 2, &scale, 2);
        for (int i = b * 32; i < b * 32 + 32; i++)
            to.run[to.first + (size_t)i * to.step] = (char)(int8_t)rintf(x[i] * inverse);
    }
}

static void store(void (*put)(const float *, int, struct place), enum qn_kv kv, const float *k,
                  const float *v, int d, int slot, void *k_block, void *v_block) {
    assert(d > 0 && slot >= 0 && slot < QN_KV_BLOCK);
    if (k) put(k, d, k_place(kv, d, slot, k_block));
    if (v) put(v, d, v_place(d, slot, v_block));
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
