/* SPDX-License-Identifier: Apache-2.0
 *
 * Holds qn_type_to_float to the values that the gguf package gives for random blocks of every
 * stored type, bit for bit.
 *
 *   types_check FOLDER      types.stored.npy and types.values.npy lie there
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/types.h"
#include "npy.h"

enum { BLOCKS = 4, FLOATS = 64 };

static struct npy load(const char *folder, const char *name, const char *kind) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return npy_read(path, kind);
}

/* Compares `count` elements of a type; says where they differ first. */
static bool check_type(enum qn_type type, const uint8_t *stored, const float *values, int count) {
    float found[BLOCKS * 256];
    qn_type_to_float(type, stored, found, (size_t)count);
    for (int i = 0; i < count; i++) {
        if (memcmp(found + i, values + i, sizeof *found) == 0) continue;
        printf("FAILED %s: element %d of %d is %.9g, expected %.9g\n", qn_type_infos[type].name, i,
               count, (double)found[i], (double)values[i]);
        return false;
    }
    return true;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: types_check FOLDER\n");
        return 2;
    }
    struct npy stored = load(argv[1], "types.stored.npy", "i4");
    struct npy values = load(argv[1], "types.values.npy", "f4");
    uint8_t *const bytes = malloc(stored.rows);
    if (!bytes) return 1;
    for (size_t i = 0; i < stored.rows; i++) bytes[i] = (uint8_t)stored.i32[i];
    size_t byte = 0, value = 0;
    int failed = 0;
    for (int type = 0; type < QN_TYPE_STORED; type++) {
        const int block = qn_type_infos[type].block;
        const int count = block > 1 ? BLOCKS * block : FLOATS;
        const size_t size = qn_type_row_size((enum qn_type)type, (size_t)count);
        const bool is_there = byte + size <= stored.rows && value + (size_t)count <= values.rows;
        if (!is_there || !check_type((enum qn_type)type, bytes + byte, values.f32 + value, count))
            failed++;
        byte += size;
        value += (size_t)count;
    }
    if (byte != stored.rows || value != values.rows) {
        printf("FAILED the files hold %zu bytes and %zu values, expected %zu and %zu\n",
               stored.rows, values.rows, byte, value);
        failed++;
    }
    printf("%d passed, %d failed\n", QN_TYPE_STORED + 1 - failed, failed);
    free(bytes);
    npy_free(&stored);
    npy_free(&values);
    return failed ? 1 : 0;
}
