/* SPDX-License-Identifier: Apache-2.0
 *
 * Test only, forced before each AMX source by -Dsimde=true, behind avx512_over_simde.h: the tile
 * registers and their instructions as Intel documents them (Architecture Instruction Set Extensions
 * Programming Reference, chapter on AMX), in C. One set of registers a thread and source: a kernel
 * loads a configuration, and releases it, in one source.
 */
#ifndef QN_TESTS_SIMDE_TILES_IN_C_H
#define QN_TESTS_SIMDE_TILES_IN_C_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { QN_MODEL_TILES = 8, QN_MODEL_ROWS = 16, QN_MODEL_ROW_BYTES = 64 };

struct qn_model_tile {
    int rows, row_bytes;
    uint8_t data[QN_MODEL_ROWS][QN_MODEL_ROW_BYTES];
};
static __thread struct qn_model_tile qn_model[QN_MODEL_TILES];

/* Without a configuration, or with sizes that do not fit each other, the instructions fault. */
static void qn_model_require(int holds) {
    if (!holds) __builtin_trap();
}

static inline void qn_model_configure(const void *config) {
    const uint8_t *const bytes = config;
    qn_model_require(bytes[0] == 1 && bytes[1] == 0);
    for (int i = 0; i < QN_MODEL_TILES; i++) {
        uint16_t row_bytes;
        memcpy(&row_bytes, bytes + 16 + 2 * i, sizeof row_bytes);
        const int rows = bytes[48 + i];
        qn_model_require(rows <= QN_MODEL_ROWS && row_bytes <= QN_MODEL_ROW_BYTES);
        qn_model[i] = (struct qn_model_tile){.rows = rows, .row_bytes = row_bytes};
    }
}

static inline void qn_model_release(void) {
    memset(qn_model, 0, sizeof qn_model);
}

static inline void qn_model_zero(int tile) {
    qn_model_require(qn_model[tile].rows > 0);
    memset(qn_model[tile].data, 0, sizeof qn_model[tile].data);
}

static inline void qn_model_load(int tile, const void *base, size_t stride) {
    struct qn_model_tile *const t = &qn_model[tile];
    qn_model_zero(tile);
    for (int r = 0; r < t->rows; r++)
        memcpy(t->data[r], (const char *)base + (size_t)r * stride, (size_t)t->row_bytes);
}

static inline void qn_model_store(int tile, void *base, size_t stride) {
    const struct qn_model_tile *const t = &qn_model[tile];
    qn_model_require(t->rows > 0);
    for (int r = 0; r < t->rows; r++)
        memcpy((char *)base + (size_t)r * stride, t->data[r], (size_t)t->row_bytes);
}

/* sum [M][N] += a [M][K] b [K][N], of 4 bytes a K and N. */
static inline void qn_model_check_product(int sum, int a, int b) {
    qn_model_require(qn_model[sum].rows > 0 && qn_model[sum].rows == qn_model[a].rows &&
                     qn_model[sum].row_bytes == qn_model[b].row_bytes &&
                     qn_model[a].row_bytes == 4 * qn_model[b].rows);
}

static inline void qn_model_dpbssd(int sum, int a, int b) {
    qn_model_check_product(sum, a, b);
    for (int m = 0; m < qn_model[sum].rows; m++)
        for (int n = 0; n < qn_model[sum].row_bytes / 4; n++) {
            int32_t dot;
            memcpy(&dot, qn_model[sum].data[m] + 4 * n, sizeof dot);
            for (int k = 0; k < qn_model[a].row_bytes; k++)
                dot +=
                    (int8_t)qn_model[a].data[m][k] * (int8_t)qn_model[b].data[k / 4][4 * n + k % 4];
            memcpy(qn_model[sum].data[m] + 4 * n, &dot, sizeof dot);
        }
}

/* Subnormal numbers count as zero, read and written. */
static inline float qn_model_flush(float x) {
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x;
}

static inline float qn_model_bf16(const uint8_t *at) {
    uint16_t upper;
    memcpy(&upper, at, sizeof upper);
    const uint32_t bits = (uint32_t)upper << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return qn_model_flush(x);
}

/* The products of even and of odd k are two chains from zero, added to each other and then to the
 * sum, all rounded to nearest even. */
static inline void qn_model_dpbf16ps(int sum, int a, int b) {
    qn_model_check_product(sum, a, b);
    for (int m = 0; m < qn_model[sum].rows; m++)
        for (int n = 0; n < qn_model[sum].row_bytes / 4; n++) {
            float chains[2] = {0, 0}, old;
            for (int k = 0; k < qn_model[a].row_bytes / 2; k++)
                chains[k % 2] = qn_model_flush(fmaf(
                    qn_model_bf16(qn_model[a].data[m] + 2 * k),
                    qn_model_bf16(qn_model[b].data[k / 2] + 4 * n + k % 2 * 2), chains[k % 2]));
            memcpy(&old, qn_model[sum].data[m] + 4 * n, sizeof old);
            const float both = qn_model_flush(chains[0] + chains[1]);
            const float new = qn_model_flush(qn_model_flush(old) + both);
            memcpy(qn_model[sum].data[m] + 4 * n, &new, sizeof new);
        }
}

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbssd
#undef _tile_dpbf16ps
#define _tile_loadconfig(config)         qn_model_configure(config)
#define _tile_release()                  qn_model_release()
#define _tile_zero(tile)                 qn_model_zero(tile)
#define _tile_loadd(tile, base, stride)  qn_model_load(tile, base, (size_t)(stride))
#define _tile_stored(tile, base, stride) qn_model_store(tile, base, (size_t)(stride))
#define _tile_dpbssd(sum, a, b)          qn_model_dpbssd(sum, a, b)
#define _tile_dpbf16ps(sum, a, b)        qn_model_dpbf16ps(sum, a, b)

#endif
