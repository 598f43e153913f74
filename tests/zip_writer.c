/* SPDX-License-Identifier: Apache-2.0 */
#include "zip_writer.h"

#include <string.h>

static void put_u16(struct bytes *bytes, size_t value) {
    bytes_put(bytes, &(uint16_t){(uint16_t)value}, 2);
}

static void put_sizes(struct bytes *bytes, uint32_t size) {
    bytes_put_u32(bytes, 0); /* checksum, which nobody looks at */
    bytes_put_u32(bytes, size);
    bytes_put_u32(bytes, size);
}

/* Version to bits of the name's encoding, method, time and date. */
static void put_properties(struct bytes *bytes) {
    put_u16(bytes, 0);
    put_u16(bytes, 0x808);
    put_u16(bytes, 0);
    put_u16(bytes, 0);
    put_u16(bytes, 0);
}

void zip_add(struct zip_writer *writer, const char *name, const void *data, size_t size) {
    static const size_t padding = 5; /* in an extra field of the local header */
    const bool large_size = writer->large && writer->n_entries % 2 == 0;
    const size_t start = writer->entries.size;
    struct bytes *const local = &writer->entries, *const central = &writer->directory;
    bytes_put(local, "PK\3\4", 4);
    put_properties(local);
    put_sizes(local, 0);
    put_u16(local, strlen(name));
    put_u16(local, 4 + padding);
    bytes_put(local, name, strlen(name));
    bytes_put(local, "FB", 2);
    put_u16(local, padding);
    bytes_put_zeros(local, padding);
    bytes_put(local, data, size);
    bytes_put_zeros(local, 16); /* the descriptor behind the data */

    bytes_put(central, "PK\1\2", 4);
    put_u16(central, 0); /* version made by */
    put_properties(central);
    put_sizes(central, large_size ? UINT32_MAX : (uint32_t)size);
    put_u16(central, strlen(name));
    put_u16(central, writer->large ? 4 + 3 + 4 + (large_size ? 24 : 8) : 0);
    bytes_put_zeros(central, 2 + 2 + 2 + 4); /* comment, disk, attributes */
    bytes_put_u32(central, writer->large ? UINT32_MAX : (uint32_t)start);
    bytes_put(central, name, strlen(name));
    if (writer->large) {
        bytes_put(central, "UT\3\0\0\0\0", 4 + 3); /* another extra field */
        put_u16(central, 1);
        put_u16(central, large_size ? 24 : 8);
        if (large_size) bytes_put_u64(central, size);
        if (large_size) bytes_put_u64(central, size);
        bytes_put_u64(central, start);
    }
    writer->n_entries++;
}

struct bytes zip_finish(struct zip_writer *writer) {
    struct bytes file = {0};
    const size_t start = writer->entries.size, size = writer->directory.size;
    const size_t end_64 = start + size;
    bytes_join(&file, &writer->entries);
    bytes_join(&file, &writer->directory);
    bytes_put(&file, "PK\6\6", 4);
    bytes_put_u64(&file, 44);
    bytes_put_zeros(&file, 2 + 2 + 4 + 4); /* versions, disks */
    bytes_put_u64(&file, writer->n_entries);
    bytes_put_u64(&file, writer->n_entries);
    bytes_put_u64(&file, size);
    bytes_put_u64(&file, start);
    bytes_put(&file, "PK\6\7\0\0\0\0", 8);
    bytes_put_u64(&file, end_64);
    bytes_put_u32(&file, 1);
    bytes_put(&file, "PK\5\6\0\0\0\0", 8);
    put_u16(&file, writer->n_entries);
    put_u16(&file, writer->n_entries);
    bytes_put_u32(&file, (uint32_t)size);
    bytes_put_u32(&file, (uint32_t)start);
    put_u16(&file, 0);
    writer->n_entries = 0;
    return file;
}

struct bytes zip_of_pickle(const void *pickle, size_t size, bool large) {
    struct zip_writer writer = {.large = large};
    uint8_t data[24];
    for (size_t i = 0; i < sizeof data; i++) data[i] = (uint8_t)i;
    zip_add(&writer, "m/data.pkl", pickle, size);
    zip_add(&writer, "m/byteorder", "little", 6);
    zip_add(&writer, "m/data/0", data, sizeof data);
    zip_add(&writer, "m/version", "3\n", 2);
    return zip_finish(&writer);
}
