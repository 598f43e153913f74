/* SPDX-License-Identifier: Apache-2.0 */
#include "plan/place.h"

#include <assert.h>
#include <stdbool.h>

static size_t aligned(size_t size) {
    return (size + QN_PLACE_ALIGNMENT - 1) / QN_PLACE_ALIGNMENT * QN_PLACE_ALIGNMENT;
}

/* The lowest offset at which buffer i touches none of its placed conflicts. Moving behind every
 * conflict that overlaps ends, because the offset only grows. */
static size_t lowest_free(int n, int i, const size_t *sizes, const uint32_t *conflicts,
                          uint32_t placed, const size_t *offsets) {
    size_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (int j = 0; j < n; j++) {
            if (!(placed >> j & 1) || !(conflicts[i] >> j & 1)) continue;
            const bool apart = offset + sizes[i] <= offsets[j] || offsets[j] + sizes[j] <= offset;
            if (apart) continue;
            offset = aligned(offsets[j] + sizes[j]);
            moved = true;
        }
    }
    return offset;
}

size_t qn_place(int n, const size_t *sizes, const uint32_t *conflicts, size_t *offsets) {
    assert(n <= QN_PLACE_MAX);
    uint32_t placed = 0;
    size_t end = 0;
    for (int count = 0; count < n; count++) {
        int largest = -1;
        for (int i = 0; i < n; i++)
            if (!(placed >> i & 1) && (largest < 0 || sizes[i] > sizes[largest])) largest = i;
        offsets[largest] = lowest_free(n, largest, sizes, conflicts, placed, offsets);
        placed |= 1u << largest;
        const size_t last = aligned(offsets[largest] + sizes[largest]);
        if (last > end) end = last;
    }
    return end;
}
