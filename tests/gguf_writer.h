/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes GGUF files into memory, right ones and, because every part can be put by hand, wrong
 * ones. Running out of memory aborts: this is for tests.
 */
#ifndef QN_TESTS_GGUF_WRITER_H
#define QN_TESTS_GGUF_WRITER_H

#include <stddef.h>
#include <stdint.h>

struct bytes { /* zero-initialise; free with bytes_free */
    uint8_t *data;
    size_t size, capacity;
    /* Where numbers of 4 and 8 bytes were put: for mutations that hit them. */
    struct bytes_field {
        size_t at;
        size_t size;
    } * fields; /* [n_fields] */
    size_t n_fields, fields_capacity;
};

void bytes_free(struct bytes *bytes);
void bytes_put(struct bytes *bytes, const void *data, size_t size);
void bytes_put_zeros(struct bytes *bytes, size_t size);
void bytes_put_u8(struct bytes *bytes, uint8_t value);
void bytes_put_u32(struct bytes *bytes, uint32_t value);
void bytes_put_u64(struct bytes *bytes, uint64_t value);
/* A string as GGUF stores it: size, then bytes. */
void bytes_put_string(struct bytes *bytes, const char *text);
/* Moves all of `part`, fields too, to the end of bytes. */
void bytes_join(struct bytes *bytes, struct bytes *part);

struct gguf_writer {
    uint32_t version;    /* 3 */
    uint64_t n_values;   /* counted up by gguf_key_... */
    uint64_t n_tensors;  /* counted up by gguf_tensor... */
    uint64_t alignment;  /* of what the writer pads; the key is put by hand. 32 */
    struct bytes values; /* records of keys */
    struct bytes infos;  /* records of tensors */
    struct bytes data;   /* tensor data */
};

void gguf_writer_init(struct gguf_writer *writer);
/* The whole file; the writer is empty afterwards. */
struct bytes gguf_writer_finish(struct gguf_writer *writer);

/* Key and type number; the value is put into writer->values by the caller. */
void gguf_key(struct gguf_writer *writer, const char *key, uint32_t type);
/* Key, array type, element type and count; the elements are put by the caller. */
void gguf_key_array(struct gguf_writer *writer, const char *key, uint32_t element, uint64_t count);
void gguf_key_u32(struct gguf_writer *writer, const char *key, uint32_t value);
void gguf_key_float(struct gguf_writer *writer, const char *key, float value);
void gguf_key_bool(struct gguf_writer *writer, const char *key, uint8_t value);
void gguf_key_string(struct gguf_writer *writer, const char *key, const char *value);
void gguf_key_strings(struct gguf_writer *writer, const char *key, const char *const *values,
                      uint64_t count);

/* A tensor's record alone. type is the number that files store. */
void gguf_tensor_info(struct gguf_writer *writer, const char *name, uint32_t n_dims,
                      const uint64_t *shape, uint32_t type, uint64_t offset);
/* A tensor with its data (NULL: zeros), at the next aligned offset. */
void gguf_tensor(struct gguf_writer *writer, const char *name, uint32_t n_dims,
                 const uint64_t *shape, uint32_t type, const void *data, size_t size);

/* A model of a kilobyte or two: every value type, arrays, three tensors (F32 "norm", Q8_0 "matrix",
 * Q4_K "experts"), alignment 64. */
void gguf_write_tiny_model(struct gguf_writer *writer);
struct bytes gguf_tiny_model(uint32_t version);

#endif
