/* SPDX-License-Identifier: Apache-2.0 */
#include "mutate.h"

#include <string.h>

static uint64_t next_random(uint64_t *state) { /* SplitMix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

size_t mutate_pick(uint64_t *state, size_t n) {
    return (size_t)(next_random(state) % n);
}

/* A number of the file becomes an edge of some range, or a neighbour or multiple of what it was. */
static void mutate_field(struct bytes *file, uint64_t *state) {
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     7,
                                     8,
                                     9,
                                     13,
                                     31,
                                     32,
                                     255,
                                     65535,
                                     65536,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     0x100000000,
                                     1ull << 61,
                                     1ull << 62,
                                     INT64_MAX,
                                     1ull << 63,
                                     UINT64_MAX,
                                     (uint64_t)-8,
                                     (uint64_t)-31};
    const struct bytes_field field = file->fields[mutate_pick(state, file->n_fields)];
    if (field.at + field.size > file->size) return;
    uint64_t value = 0;
    memcpy(&value, file->data + field.at, field.size);
    switch (mutate_pick(state, 6)) {
    case 0:
        value++;
        break;
    case 1:
        value--;
        break;
    case 2:
        value *= 2;
        break;
    case 3:
        value = file->size - mutate_pick(state, 64);
        break;
    default:
        value = edges[mutate_pick(state, sizeof edges / sizeof *edges)];
    }
    memcpy(file->data + field.at, &value, field.size);
}

/* Copies, removes or repeats a range of bytes, as a faulty tool or transfer would. */
static void mutate_range(struct bytes *file, uint64_t *state) {
    const size_t from = mutate_pick(state, file->size), to = mutate_pick(state, file->size);
    size_t size = 1 + mutate_pick(state, 64);
    const size_t limit = file->size - (from > to ? from : to);
    if (size > limit) size = limit;
    switch (mutate_pick(state, 3)) {
    case 0:
        memmove(file->data + to, file->data + from, size);
        break;
    case 1:
        memmove(file->data + from, file->data + from + size, file->size - from - size);
        file->size -= size;
        break;
    default:
        bytes_put_zeros(file, size);
        memmove(file->data + from + size, file->data + from, file->size - from - size);
    }
}

void mutate(struct bytes *file, uint64_t *state) {
    const size_t kind = mutate_pick(state, 10);
    if (file->size == 0) return;
    if (kind < 7 && file->n_fields > 0)
        mutate_field(file, state);
    else if (kind < 8)
        mutate_range(file, state);
    else
        file->data[mutate_pick(state, file->size)] = (uint8_t)next_random(state);
}
