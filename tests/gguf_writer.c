/* SPDX-License-Identifier: Apache-2.0 */
#include "gguf_writer.h"

#include <stdlib.h>
#include <string.h>

void bytes_put_zeros(struct bytes *bytes, size_t size) {
    if (bytes->size + size > bytes->capacity) {
        bytes->capacity = 2 * (bytes->size + size);
        bytes->data = realloc(bytes->data, bytes->capacity);
        if (!bytes->data) abort();
    }
    if (size) memset(bytes->data + bytes->size, 0, size);
    bytes->size += size;
}

void bytes_put(struct bytes *bytes, const void *data, size_t size) {
    bytes_put_zeros(bytes, size);
    if (size) memcpy(bytes->data + bytes->size - size, data, size);
}

void bytes_put_u8(struct bytes *bytes, uint8_t value) {
    bytes_put(bytes, &value, sizeof value);
}
void bytes_put_u32(struct bytes *bytes, uint32_t value) {
    bytes_put(bytes, &value, sizeof value);
}
void bytes_put_u64(struct bytes *bytes, uint64_t value) {
    bytes_put(bytes, &value, sizeof value);
}

void bytes_put_string(struct bytes *bytes, const char *text) {
    bytes_put_u64(bytes, strlen(text));
    bytes_put(bytes, text, strlen(text));
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
    bytes_put(&file, writer->values.data, writer->values.size);
    bytes_put(&file, writer->infos.data, writer->infos.size);
    if (writer->data.size > 0) {
        pad(&file, writer->alignment);
        bytes_put(&file, writer->data.data, writer->data.size);
    }
    free(writer->values.data);
    free(writer->infos.data);
    free(writer->data.data);
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
