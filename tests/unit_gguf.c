/* SPDX-License-Identifier: Apache-2.0
 *
 * The GGUF reader: what it accepts, what it refuses and in which words, and that no bytes
 * whatever crash it or make it allocate more than the file justifies.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "alloc_meter.h"
#include "formats/gguf.h"
#include "fuzz_gguf.h"
#include "gguf_writer.h"

enum { F32 = 0, Q8_0 = 8, Q4_K = 12 }; /* type numbers as stored */

/* A small model with every value type, tensors of three types, a non-default alignment. */
static void write_model(struct gguf_writer *w) {
    gguf_writer_init(w);
    gguf_key_string(w, "general.architecture", "tiny");
    gguf_key_u32(w, "general.alignment", 64);
    w->alignment = 64;
    gguf_key(w, "u8", QN_GGUF_U8), bytes_put_u8(&w->values, 200);
    gguf_key(w, "i8", QN_GGUF_I8), bytes_put_u8(&w->values, 0xfd);
    gguf_key(w, "u16", QN_GGUF_U16), bytes_put(&w->values, &(uint16_t){60000}, 2);
    gguf_key(w, "i16", QN_GGUF_I16), bytes_put(&w->values, &(int16_t){1234}, 2);
    gguf_key_u32(w, "u32", 4000000000u);
    gguf_key(w, "i32", QN_GGUF_I32), bytes_put_u32(&w->values, (uint32_t)-7);
    gguf_key_float(w, "f32", 1.5f);
    gguf_key_bool(w, "yes", 1);
    gguf_key_bool(w, "no", 0);
    gguf_key(w, "u64", QN_GGUF_U64), bytes_put_u64(&w->values, UINT64_MAX);
    gguf_key(w, "i64", QN_GGUF_I64), bytes_put_u64(&w->values, 1ull << 40);
    gguf_key(w, "f64", QN_GGUF_F64), bytes_put(&w->values, &(double){0.25}, 8);
    gguf_key(w, "f64.huge", QN_GGUF_F64), bytes_put(&w->values, &(double){1e300}, 8);
    gguf_key_strings(w, "tokens", (const char *const[]){"a", "", "bcd"}, 3);
    gguf_key_array(w, "scores", QN_GGUF_F32, 3), bytes_put_zeros(&w->values, 12);
    gguf_key_array(w, "types", QN_GGUF_U32, 2), bytes_put_u64(&w->values, 1 + (2ull << 32));
    gguf_key_array(w, "nothing", QN_GGUF_I16, 0);
    gguf_tensor(w, "norm", 1, (const uint64_t[]){6}, F32, (const float[]){1, 2, 3, 4, 5, 6}, 24);
    gguf_tensor(w, "matrix", 2, (const uint64_t[]){64, 3}, Q8_0, NULL, 6 * 34);
    gguf_tensor(w, "experts", 3, (const uint64_t[]){256, 2, 2}, Q4_K, NULL, 4 * 144);
}

static struct bytes model(void) {
    struct gguf_writer writer;
    write_model(&writer);
    return gguf_writer_finish(&writer);
}

static struct qn_gguf *open_bytes(struct bytes file) {
    struct qn_gguf *gguf;
    struct qn_error err = {0};
    cr_assert_eq(qn_gguf_open_memory(file.data, file.size, "memory", &gguf, &err), QN_OK, "%s",
                 err.message);
    return gguf;
}

/* ---- what it accepts ---- */

Test(gguf, reads_every_value_type) {
    const struct bytes file = model();
    struct qn_gguf *gguf = open_bytes(file);
    cr_assert_eq(qn_gguf_version(gguf), 3);
    cr_assert_eq(qn_gguf_n_files(gguf), 1);
    cr_assert_eq(qn_gguf_file_size(gguf), file.size);
    static const struct {
        const char *key;
        uint64_t value;
    } integers[] = {{"u8", 200},          {"u16", 60000},      {"i16", 1234},
                    {"u32", 4000000000u}, {"u64", UINT64_MAX}, {"i64", 1ull << 40}};
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        uint64_t value;
        cr_assert_eq(qn_gguf_get_u64(gguf, integers[i].key, &value, NULL), QN_OK);
        cr_assert_eq(value, integers[i].value, "%s", integers[i].key);
    }
    float number;
    cr_assert_eq(qn_gguf_get_float(gguf, "f32", &number, NULL), QN_OK);
    cr_assert_eq(number, 1.5f);
    cr_assert_eq(qn_gguf_get_float(gguf, "f64", &number, NULL), QN_OK);
    cr_assert_eq(number, 0.25f);
    bool truth;
    cr_assert_eq(qn_gguf_get_bool(gguf, "yes", &truth, NULL), QN_OK);
    cr_assert(truth);
    cr_assert_eq(qn_gguf_get_bool(gguf, "no", &truth, NULL), QN_OK);
    cr_assert_not(truth);
    struct qn_string string;
    cr_assert_eq(qn_gguf_get_string(gguf, "general.architecture", &string, NULL), QN_OK);
    cr_assert(string.size == 4 && memcmp(string.data, "tiny", 4) == 0);
    qn_gguf_close(gguf);
    free(file.data);
}

Test(gguf, reads_arrays) {
    const struct bytes file = model();
    struct qn_gguf *gguf = open_bytes(file);
    const struct qn_gguf_value *array;
    cr_assert_eq(qn_gguf_get_array(gguf, "tokens", QN_GGUF_STRING, &array, NULL), QN_OK);
    cr_assert_eq(array->count, 3);
    const uint8_t *cursor = array->data;
    const char *const expected[] = {"a", "", "bcd"};
    for (int i = 0; i < 3; i++) {
        const struct qn_string string = qn_gguf_next_string(&cursor);
        cr_assert_eq(string.size, strlen(expected[i]));
        cr_assert_eq(memcmp(string.data, expected[i], string.size), 0);
    }
    cr_assert_eq(cursor, array->data + array->size);
    cr_assert_eq(qn_gguf_get_array(gguf, "scores", QN_GGUF_F32, &array, NULL), QN_OK);
    cr_assert_eq(array->size, 12);
    cr_assert_eq(qn_gguf_get_array(gguf, "types", QN_GGUF_I32, &array, NULL), QN_OK);
    cr_assert(array->data[0] == 1 && array->data[4] == 2);
    cr_assert_eq(qn_gguf_get_array(gguf, "nothing", QN_GGUF_I16, &array, NULL), QN_OK);
    cr_assert_eq(array->count, 0);
    qn_gguf_close(gguf);
    free(file.data);
}

Test(gguf, reads_tensors) {
    const struct bytes file = model();
    struct qn_gguf *gguf = open_bytes(file);
    cr_assert_eq(qn_gguf_n_tensors(gguf), 3);
    const struct qn_tensor *norm = qn_gguf_find_tensor(gguf, "norm");
    cr_assert_eq(norm, qn_gguf_tensor_at(gguf, 0));
    cr_assert(norm->type == QN_TYPE_F32 && norm->n_dims == 1 && norm->size == 24);
    cr_assert(norm->shape[0] == 6 && norm->shape[1] == 1 && norm->shape[3] == 1);
    cr_assert_eq(memcmp(norm->data, (const float[]){1, 2, 3, 4, 5, 6}, 24), 0);
    const struct qn_tensor *matrix = qn_gguf_find_tensor(gguf, "matrix");
    cr_assert(matrix->type == QN_TYPE_Q8_0 && matrix->size == 6 * 34 && matrix->shape[1] == 3);
    const struct qn_tensor *experts = qn_gguf_find_tensor(gguf, "experts");
    cr_assert(experts->type == QN_TYPE_Q4_K && experts->n_dims == 3 && experts->size == 4 * 144);
    cr_assert_null(qn_gguf_find_tensor(gguf, "nor"));
    cr_assert_null(qn_gguf_find_tensor(gguf, "norms"));
    qn_gguf_close(gguf);
    free(file.data);
}

Test(gguf, reads_a_file_with_nothing_in_it) {
    struct gguf_writer w;
    gguf_writer_init(&w);
    w.version = 2;
    const struct bytes file = gguf_writer_finish(&w);
    struct qn_gguf *gguf = open_bytes(file);
    cr_assert_eq(qn_gguf_version(gguf), 2);
    cr_assert_eq(qn_gguf_n_values(gguf) + qn_gguf_n_tensors(gguf), 0);
    cr_assert_null(qn_gguf_find(gguf, "x"));
    cr_assert_null(qn_gguf_find_tensor(gguf, "x"));
    qn_gguf_close(gguf);
    free(file.data);
}

Test(gguf, closes_nothing) {
    qn_gguf_close(NULL);
}
