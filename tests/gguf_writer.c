/* SPDX-License-Identifier: Apache-2.0 */
#include "gguf_writer.h"

#include <stdlib.h>
#include <string.h>

static void *grow(void *old, size_t *capacity, size_t needed, size_t element) {
    if (needed <= *capacity) return old;
    *capacity = 2 * needed;
    void *memory = realloc(old, *capacity * element);
    if (!memory) abort();
    return memory;
}

void bytes_free(struct bytes *bytes) {
    free(bytes->data);
    free(bytes->fields);
    *bytes = (struct bytes){0};
}

void bytes_put_zeros(struct bytes *bytes, size_t size) {
    bytes->data = grow(bytes->data, &bytes->capacity, bytes->size + size, 1);
    if (size) memset(bytes->data + bytes->size, 0, size);
    bytes->size += size;
}

void bytes_put(struct bytes *bytes, const void *data, size_t size) {
    bytes_put_zeros(bytes, size);
    if (size) memcpy(bytes->data + bytes->size - size, data, size);
}

static void put_field(struct bytes *bytes, const void *data, size_t size) {
    bytes->fields =
        grow(bytes->fields, &bytes->fields_capacity, bytes->n_fields + 1, sizeof *bytes->fields);
    bytes->fields[bytes->n_fields++] = (struct bytes_field){bytes->size, size};
    bytes_put(bytes, data, size);
}

void bytes_put_u8(struct bytes *bytes, uint8_t value) {
    bytes_put(bytes, &value, sizeof value);
}
void bytes_put_u32(struct bytes *bytes, uint32_t value) {
    put_field(bytes, &value, sizeof value);
}
void bytes_put_u64(struct bytes *bytes, uint64_t value) {
    put_field(bytes, &value, sizeof value);
}

void bytes_put_string(struct bytes *bytes, const char *text) {
    bytes_put_u64(bytes, strlen(text));
    bytes_put(bytes, text, strlen(text));
}

void bytes_join(struct bytes *bytes, struct bytes *part) {
    const size_t start = bytes->size, first = bytes->n_fields;
    bytes_put(bytes, part->data, part->size);
    bytes->fields =
        grow(bytes->fields, &bytes->fields_capacity, first + part->n_fields, sizeof *bytes->fields);
    for (size_t i = 0; i < part->n_fields; i++) {
        bytes->fields[first + i] = part->fields[i];
        bytes->fields[first + i].at += start;
    }
    bytes->n_fields += part->n_fields;
    bytes_free(part);
}

static void pad(struct bytes *bytes, uint64_t alignment) {
    bytes_put_zeros(bytes, (size_t)((alignment - bytes->size % alignment) % alignment));
}

void gguf_writer_init(struct gguf_writer *writer) {
    *writer = (struct gguf_writer){.version = 3, .alignment = 32};
}

struct bytes gguf_writer_finish(struct gguf_writer *writer) {
    struct bytes file = {0};
    bytes_put(&file, "GGUF", 4);
    bytes_put_u32(&file, writer->version);
    bytes_put_u64(&file, writer->n_tensors);
    bytes_put_u64(&file, writer->n_values);
    bytes_join(&file, &writer->values);
    bytes_join(&file, &writer->infos);
    if (writer->data.size > 0) pad(&file, writer->alignment);
    bytes_join(&file, &writer->data);
    gguf_writer_init(writer);
    return file;
}

void gguf_key(struct gguf_writer *writer, const char *key, uint32_t type) {
    bytes_put_string(&writer->values, key);
    bytes_put_u32(&writer->values, type);
    writer->n_values++;
}

void gguf_key_array(struct gguf_writer *writer, const char *key, uint32_t element, uint64_t count) {
    gguf_key(writer, key, 9);
    bytes_put_u32(&writer->values, element);
    bytes_put_u64(&writer->values, count);
}

void gguf_key_u32(struct gguf_writer *writer, const char *key, uint32_t value) {
    gguf_key(writer, key, 4);
    bytes_put_u32(&writer->values, value);
}

void gguf_key_float(struct gguf_writer *writer, const char *key, float value) {
    gguf_key(writer, key, 6);
    bytes_put(&writer->values, &value, sizeof value);
}

void gguf_key_bool(struct gguf_writer *writer, const char *key, uint8_t value) {
    gguf_key(writer, key, 7);
    bytes_put_u8(&writer->values, value);
}

void gguf_key_string(struct gguf_writer *writer, const char *key, const char *value) {
    gguf_key(writer, key, 8);
    bytes_put_string(&writer->values, value);
}

void gguf_key_strings(struct gguf_writer *writer, const char *key, const char *const *values,
                      uint64_t count) {
    gguf_key_array(writer, key, 8, count);
    for (uint64_t i = 0; i < count; i++) bytes_put_string(&writer->values, values[i]);
}

void gguf_tensor_info(struct gguf_writer *writer, const char *name, uint32_t n_dims,
                      const uint64_t *shape, uint32_t type, uint64_t offset) {
    bytes_put_string(&writer->infos, name);
    bytes_put_u32(&writer->infos, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) bytes_put_u64(&writer->infos, shape[i]);
    bytes_put_u32(&writer->infos, type);
    bytes_put_u64(&writer->infos, offset);
    writer->n_tensors++;
}

void gguf_tensor(struct gguf_writer *writer, const char *name, uint32_t n_dims,
                 const uint64_t *shape, uint32_t type, const void *data, size_t size) {
    pad(&writer->data, writer->alignment);
    gguf_tensor_info(writer, name, n_dims, shape, type, writer->data.size);
    if (data)
        bytes_put(&writer->data, data, size);
    else
        bytes_put_zeros(&writer->data, size);
}

void gguf_write_tiny_model(struct gguf_writer *w) {
    gguf_writer_init(w);
    gguf_key_string(w, "general.architecture", "tiny");
    gguf_key_u32(w, "general.alignment", 64);
    w->alignment = 64;
    gguf_key(w, "u8", 0);
    bytes_put_u8(&w->values, 200);
    gguf_key(w, "i8", 1);
    bytes_put_u8(&w->values, 0xfd);
    gguf_key(w, "u16", 2);
    bytes_put(&w->values, &(uint16_t){60000}, 2);
    gguf_key(w, "i16", 3);
    bytes_put(&w->values, &(int16_t){1234}, 2);
    gguf_key_u32(w, "u32", 4000000000u);
    gguf_key(w, "i32", 5);
    bytes_put_u32(&w->values, (uint32_t)-7);
    gguf_key_float(w, "f32", 1.5f);
    gguf_key_bool(w, "yes", 1);
    gguf_key_bool(w, "no", 0);
    gguf_key(w, "u64", 10);
    bytes_put_u64(&w->values, UINT64_MAX);
    gguf_key(w, "i64", 11);
    bytes_put_u64(&w->values, 1ull << 40);
    gguf_key(w, "f64", 12);
    bytes_put(&w->values, &(double){0.25}, 8);
    gguf_key(w, "f64.huge", 12);
    bytes_put(&w->values, &(double){1e300}, 8);
    gguf_key_strings(w, "tokens", (const char *const[]){"a", "", "bcd"}, 3);
    gguf_key_array(w, "scores", 6, 3);
    bytes_put_zeros(&w->values, 12);
    gguf_key_array(w, "types", 4, 2);
    bytes_put_u32(&w->values, 1);
    bytes_put_u32(&w->values, 2);
    gguf_key_array(w, "flags", 7, 2);
    bytes_put(&w->values, "\1\0", 2);
    gguf_key_array(w, "nothing", 3, 0);
    gguf_tensor(w, "norm", 1, (const uint64_t[]){6}, 0, (const float[]){1, 2, 3, 4, 5, 6}, 24);
    gguf_tensor(w, "matrix", 2, (const uint64_t[]){64, 3}, 8, NULL, (size_t)6 * 34);
    gguf_tensor(w, "experts", 3, (const uint64_t[]){256, 2, 2}, 12, NULL, (size_t)4 * 144);
}

struct bytes gguf_tiny_model(uint32_t version) {
    struct gguf_writer writer;
    gguf_write_tiny_model(&writer);
    writer.version = version;
    return gguf_writer_finish(&writer);
}
