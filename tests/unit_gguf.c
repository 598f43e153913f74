/* SPDX-License-Identifier: Apache-2.0
 *
 * The GGUF reader: what it accepts, typed access, splits, files on disk. What it refuses is in
 * unit_gguf_bad.c.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc_meter.h"
#include "formats/gguf.h"
#include "gguf_writer.h"

static struct qn_gguf *open_bytes(struct bytes file) {
    struct qn_gguf *gguf;
    struct qn_error err = {0};
    cr_assert_eq(qn_gguf_open_memory(file.data, file.size, "memory", &gguf, &err), QN_OK, "%s",
                 err.message);
    return gguf;
}

/* ---- what it accepts ---- */

Test(gguf, reads_every_value_type) {
    struct bytes file = gguf_tiny_model(3);
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
    bytes_free(&file);
}

Test(gguf, reads_arrays) {
    struct bytes file = gguf_tiny_model(3);
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
    bytes_free(&file);
}

Test(gguf, reads_tensors) {
    struct bytes file = gguf_tiny_model(3);
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
    bytes_free(&file);
}

Test(gguf, reads_a_file_with_nothing_in_it) {
    struct gguf_writer w;
    gguf_writer_init(&w);
    w.version = 2;
    struct bytes file = gguf_writer_finish(&w);
    struct qn_gguf *gguf = open_bytes(file);
    cr_assert_eq(qn_gguf_version(gguf), 2);
    cr_assert_eq(qn_gguf_n_values(gguf) + qn_gguf_n_tensors(gguf), 0);
    cr_assert_null(qn_gguf_find(gguf, "x"));
    cr_assert_null(qn_gguf_find_tensor(gguf, "x"));
    qn_gguf_close(gguf);
    bytes_free(&file);
}

Test(gguf, closes_nothing) {
    qn_gguf_close(NULL);
}

/* ---- typed access ---- */

static const char *error_of(enum qn_status status, const struct qn_error *err,
                            enum qn_status expected) {
    cr_assert_eq(status, expected, "%d: %s", status, err->message);
    cr_assert_eq(err->status, expected);
    return err->message;
}

#define EXPECT_ERROR(call, expected, fragment)                                                     \
    do {                                                                                           \
        struct qn_error err = {0};                                                                 \
        const char *message = error_of(call, &err, expected);                                      \
        cr_assert_not_null(strstr(message, fragment), "'%s' lacks '%s'", message, fragment);       \
    } while (0)

Test(gguf_access, says_what_is_missing) {
    struct bytes file = gguf_tiny_model(3);
    struct qn_gguf *gguf = open_bytes(file);
    uint64_t integer;
    float number;
    bool truth;
    struct qn_string string;
    const struct qn_gguf_value *array;
    EXPECT_ERROR(qn_gguf_get_u64(gguf, "x.y", &integer, &err), QN_NOT_FOUND, "no key 'x.y'");
    EXPECT_ERROR(qn_gguf_get_float(gguf, "x.y", &number, &err), QN_NOT_FOUND, "no key 'x.y'");
    EXPECT_ERROR(qn_gguf_get_bool(gguf, "x.y", &truth, &err), QN_NOT_FOUND, "no key 'x.y'");
    EXPECT_ERROR(qn_gguf_get_string(gguf, "x.y", &string, &err), QN_NOT_FOUND, "no key 'x.y'");
    EXPECT_ERROR(qn_gguf_get_array(gguf, "", QN_GGUF_U8, &array, &err), QN_NOT_FOUND, "no key ''");
    qn_gguf_close(gguf);
    bytes_free(&file);
}

Test(gguf_access, refuses_other_types) {
    struct bytes file = gguf_tiny_model(3);
    struct qn_gguf *gguf = open_bytes(file);
    uint64_t integer;
    float number;
    bool truth;
    struct qn_string string;
    static const struct {
        const char *key, *type;
    } no_integers[] = {{"f32", "type f32, expected an integer"},
                       {"f64", "type f64, expected an integer"},
                       {"yes", "type bool, expected an integer"},
                       {"general.architecture", "type string, expected an integer"},
                       {"types", "type array of u32, expected an integer"},
                       {"i8", "key 'i8' is -3, expected no negative number"},
                       {"i32", "key 'i32' is -7, expected no negative number"}};
    for (size_t i = 0; i < sizeof no_integers / sizeof *no_integers; i++)
        EXPECT_ERROR(qn_gguf_get_u64(gguf, no_integers[i].key, &integer, &err), QN_BAD_FILE,
                     no_integers[i].type);
    EXPECT_ERROR(qn_gguf_get_float(gguf, "u32", &number, &err), QN_BAD_FILE,
                 "key 'u32' is of type u32, expected a float");
    EXPECT_ERROR(qn_gguf_get_float(gguf, "scores", &number, &err), QN_BAD_FILE, "array of f32");
    EXPECT_ERROR(qn_gguf_get_float(gguf, "f64.huge", &number, &err), QN_BAD_FILE,
                 "expected a finite number");
    EXPECT_ERROR(qn_gguf_get_bool(gguf, "u8", &truth, &err), QN_BAD_FILE, "type u8, expected bool");
    EXPECT_ERROR(qn_gguf_get_string(gguf, "tokens", &string, &err), QN_BAD_FILE,
                 "array of string, expected string");
    qn_gguf_close(gguf);
    bytes_free(&file);
}

/* An array read as another type would be read past its end. */
Test(gguf_access, refuses_arrays_of_other_widths) {
    struct bytes file = gguf_tiny_model(3);
    struct qn_gguf *gguf = open_bytes(file);
    const struct qn_gguf_value *array;
    static const struct {
        const char *key;
        enum qn_gguf_type element;
        const char *fragment;
    } cases[] = {{"types", QN_GGUF_I64, "array of u32, expected array of i64"},
                 {"types", QN_GGUF_U8, "array of u32, expected array of u8"},
                 {"types", QN_GGUF_F32, "array of u32, expected array of f32"},
                 {"scores", QN_GGUF_U32, "array of f32, expected array of u32"},
                 {"scores", QN_GGUF_F64, "array of f32, expected array of f64"},
                 {"tokens", QN_GGUF_U64, "array of string, expected array of u64"},
                 {"nothing", QN_GGUF_BOOL, "array of i16, expected array of bool"},
                 {"u32", QN_GGUF_U32, "is of type u32, expected array of u32"},
                 {"general.architecture", QN_GGUF_STRING, "expected array of string"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        EXPECT_ERROR(qn_gguf_get_array(gguf, cases[i].key, cases[i].element, &array, &err),
                     QN_BAD_FILE, cases[i].fragment);
    qn_gguf_close(gguf);
    bytes_free(&file);
}

Test(gguf_access, names_types) {
    cr_assert_str_eq(qn_gguf_type_name(QN_GGUF_U8), "u8");
    cr_assert_str_eq(qn_gguf_type_name(QN_GGUF_ARRAY), "array");
    cr_assert_str_eq(qn_gguf_type_name(QN_GGUF_F64), "f64");
}

/* ---- limits that are still fine ---- */

Test(gguf, accepts_the_limits) {
    static const uint32_t alignments[] = {8, 65536};
    for (int i = 0; i < 2; i++) {
        struct gguf_writer w;
        gguf_writer_init(&w);
        w.alignment = alignments[i];
        gguf_key_u32(&w, "general.alignment", alignments[i]);
        char name[65];
        memset(name, 'n', 64);
        name[64] = '\0';
        gguf_tensor(&w, name, 4, (const uint64_t[]){1, 1, 1, 1}, 0, NULL, 4);
        gguf_tensor(&w, "b", 1, (const uint64_t[]){2}, 0, NULL, 8);
        char *key = malloc(65536);
        cr_assert_not_null(key);
        memset(key, 'k', 65535);
        key[65535] = '\0';
        gguf_key_u32(&w, key, 7);
        struct bytes file = gguf_writer_finish(&w);
        struct qn_gguf *gguf = open_bytes(file);
        uint64_t value;
        cr_assert_eq(qn_gguf_get_u64(gguf, key, &value, NULL), QN_OK);
        cr_assert_eq(value, 7);
        cr_assert_not_null(qn_gguf_find_tensor(gguf, name));
        cr_assert_eq((const uint8_t *)qn_gguf_find_tensor(gguf, "b")->data + 8,
                     file.data + file.size);
        qn_gguf_close(gguf);
        bytes_free(&file);
        free(key);
    }
}

/* Holes between tensors and bytes behind the last are nobody's business. */
Test(gguf, accepts_holes_and_trailing_bytes) {
    struct gguf_writer w;
    gguf_writer_init(&w);
    gguf_tensor_info(&w, "late", 1, (const uint64_t[]){4}, 0, 96);
    gguf_tensor_info(&w, "early", 1, (const uint64_t[]){4}, 0, 0);
    bytes_put_zeros(&w.data, 200);
    struct bytes file = gguf_writer_finish(&w);
    struct qn_gguf *gguf = open_bytes(file);
    const uint8_t *late = qn_gguf_find_tensor(gguf, "late")->data;
    cr_assert_eq(late - (const uint8_t *)qn_gguf_find_tensor(gguf, "early")->data, 96);
    qn_gguf_close(gguf);
    bytes_free(&file);
}

/* ---- files ---- */

static void write_file(const char *path, struct bytes *file) {
    FILE *out = fopen(path, "wb");
    cr_assert_not_null(out, "%s", path);
    cr_assert_eq(fwrite(file->data, 1, file->size, out), file->size);
    fclose(out);
    bytes_free(file);
}

static void make_folder(char *folder) {
    cr_assert_not_null(mkdtemp(folder));
}

static void remove_folder(const char *folder) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}

Test(gguf_files, opens_maps_and_releases) {
    char folder[] = "/tmp/quern-gguf-XXXXXX", path[128];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    struct bytes file = gguf_tiny_model(2);
    const size_t size = file.size;
    write_file(path, &file);
    struct qn_gguf *gguf;
    cr_assert_eq(qn_gguf_open(path, &gguf, NULL), QN_OK);
    cr_assert_eq(qn_gguf_file_size(gguf), size);
    cr_assert_eq(qn_gguf_version(gguf), 2);
    const struct qn_tensor *norm = qn_gguf_find_tensor(gguf, "norm");
    qn_gguf_prefetch(gguf, norm->data, norm->size);
    qn_gguf_release(gguf, norm->data, norm->size);
    cr_assert_eq(memcmp(norm->data, (const float[]){1, 2, 3, 4, 5, 6}, 24), 0);
    cr_assert_eq(qn_gguf_check_unchanged(gguf, NULL), QN_OK);
    FILE *out = fopen(path, "ab");
    cr_assert_not_null(out);
    fputc(0, out);
    fclose(out);
    EXPECT_ERROR(qn_gguf_check_unchanged(gguf, &err), QN_IO, "changed while it was read");
    qn_gguf_close(gguf);
    remove_folder(folder);
}

Test(gguf_files, names_what_cannot_be_opened) {
    struct qn_gguf *gguf;
    EXPECT_ERROR(qn_gguf_open("/tmp/quern-none.gguf", &gguf, &err), QN_NOT_FOUND,
                 "/tmp/quern-none.gguf: cannot be opened");
    cr_assert_null(gguf);
    EXPECT_ERROR(qn_gguf_open("/tmp", &gguf, &err), QN_IO, "/tmp: is a folder");
}

/* Parts of a split: part i holds tensor "t<i>", and "shared" too when asked. */
struct split_parts {
    uint32_t count;            /* split.count */
    uint32_t n_tensors;        /* split.tensors.count */
    uint32_t number_of_second; /* split.no of the second part */
    bool duplicate;
};

static void write_parts(const char *folder, const struct split_parts *parts) {
    for (uint32_t i = 0; i < 3; i++) {
        struct gguf_writer w;
        gguf_writer_init(&w);
        if (i == 0) gguf_key_string(&w, "general.architecture", "tiny");
        gguf_key(&w, "split.no", QN_GGUF_U16);
        bytes_put(&w.values, &(uint16_t){(uint16_t)(i == 1 ? parts->number_of_second : i)}, 2);
        gguf_key(&w, "split.count", QN_GGUF_U16);
        bytes_put(&w.values, &(uint16_t){(uint16_t)parts->count}, 2);
        gguf_key(&w, "split.tensors.count", QN_GGUF_I32);
        bytes_put_u32(&w.values, parts->n_tensors);
        char name[16];
        snprintf(name, sizeof name, "t%u", parts->duplicate ? 0 : i);
        gguf_tensor(&w, name, 1, (const uint64_t[]){2}, 0, (const float[]){(float)i, 9}, 8);
        char path[128];
        snprintf(path, sizeof path, "%s/m-%05u-of-00003.gguf", folder, i + 1);
        struct bytes file = gguf_writer_finish(&w);
        write_file(path, &file);
    }
}

static const struct split_parts good_parts = {3, 3, 1, false};

Test(gguf_split, opens_from_any_part) {
    char folder[] = "/tmp/quern-gguf-XXXXXX", path[128];
    make_folder(folder);
    write_parts(folder, &good_parts);
    for (int given = 1; given <= 3; given++) {
        snprintf(path, sizeof path, "%s/m-%05d-of-00003.gguf", folder, given);
        struct qn_gguf *gguf;
        struct qn_error err = {0};
        cr_assert_eq(qn_gguf_open(path, &gguf, &err), QN_OK, "%s", err.message);
        cr_assert_eq(qn_gguf_n_files(gguf), 3);
        cr_assert_eq(qn_gguf_n_tensors(gguf), 3);
        cr_assert_not_null(qn_gguf_find(gguf, "general.architecture"), "the first part's keys");
        for (int i = 0; i < 3; i++) {
            const struct qn_tensor *tensor = qn_gguf_tensor_at(gguf, (size_t)i);
            cr_assert(tensor->name[1] == '0' + i && tensor->name[2] == '\0');
            cr_assert_eq(((const float *)tensor->data)[0], (float)i);
            qn_gguf_release(gguf, tensor->data, tensor->size);
        }
        qn_gguf_close(gguf);
    }
    remove_folder(folder);
}

static void split_fails(const struct split_parts *parts, int given, enum qn_status status,
                        const char *fragment) {
    char folder[] = "/tmp/quern-gguf-XXXXXX", path[128];
    make_folder(folder);
    write_parts(folder, parts);
    snprintf(path, sizeof path, "%s/m-%05d-of-00003.gguf", folder, given);
    struct qn_gguf *gguf;
    EXPECT_ERROR(qn_gguf_open(path, &gguf, &err), status, fragment);
    cr_assert_null(gguf);
    remove_folder(folder);
}

Test(gguf_split, wrong_parts) {
    const struct split_parts missing_tensors = {3, 4, 1, false}, twice = {3, 3, 1, true},
                             wrong_order = {3, 3, 2, false}, more = {4, 3, 1, false},
                             beyond = {3, 3, 3, false}, too_many = {10000, 3, 1, false};
    split_fails(&missing_tensors, 1, QN_BAD_FILE, "hold 3 tensors, but 'split.tensors.count' is 4");
    split_fails(&twice, 1, QN_BAD_FILE, "has the tensor 't0' twice");
    split_fails(&wrong_order, 1, QN_BAD_FILE, "calls itself part 3 of 3");
    split_fails(&wrong_order, 2, QN_BAD_FILE, "its name has to end in -00003-of-00003.gguf");
    split_fails(&more, 1, QN_BAD_FILE, "its name has to end in -00001-of-00004.gguf");
    split_fails(&beyond, 2, QN_BAD_FILE, "expected no below count");
    split_fails(&too_many, 1, QN_BAD_FILE, "count up to 9999");
}

Test(gguf_split, missing_and_broken_parts) {
    char folder[] = "/tmp/quern-gguf-XXXXXX", first[128], second[128];
    make_folder(folder);
    write_parts(folder, &good_parts);
    snprintf(first, sizeof first, "%s/m-00001-of-00003.gguf", folder);
    snprintf(second, sizeof second, "%s/m-00002-of-00003.gguf", folder);
    struct qn_gguf *gguf;
    cr_assert_eq(truncate(second, 30), 0);
    EXPECT_ERROR(qn_gguf_open(first, &gguf, &err), QN_BAD_FILE, "part 2 of 3: ");
    cr_assert_eq(unlink(second), 0);
    EXPECT_ERROR(qn_gguf_open(first, &gguf, &err), QN_NOT_FOUND, "m-00002-of-00003.gguf");
    char renamed[128];
    snprintf(renamed, sizeof renamed, "%s/other.gguf", folder);
    cr_assert_eq(rename(first, renamed), 0);
    EXPECT_ERROR(qn_gguf_open(renamed, &gguf, &err), QN_BAD_FILE,
                 "its name has to end in -00001-of-00003.gguf");
    remove_folder(folder);
}

/* A name alone does not make a split. */
Test(gguf_split, name_without_keys_is_a_single_file) {
    char folder[] = "/tmp/quern-gguf-XXXXXX", path[128];
    make_folder(folder);
    snprintf(path, sizeof path, "%s/m-00001-of-00002.gguf", folder);
    struct bytes file = gguf_tiny_model(3);
    write_file(path, &file);
    struct qn_gguf *gguf;
    cr_assert_eq(qn_gguf_open(path, &gguf, NULL), QN_OK);
    cr_assert_eq(qn_gguf_n_files(gguf), 1);
    qn_gguf_close(gguf);
    remove_folder(folder);
}

/* ---- resources ---- */

/* Whichever allocation fails, the answer is QN_NO_MEMORY and nothing is kept. */
Test(gguf_files, survives_failed_allocations) {
    char folder[] = "/tmp/quern-gguf-XXXXXX", path[128];
    make_folder(folder);
    write_parts(folder, &good_parts);
    snprintf(path, sizeof path, "%s/m-00002-of-00003.gguf", folder);
    enum qn_status status = QN_NO_MEMORY;
    size_t k;
    for (k = 1; status != QN_OK; k++) {
        struct qn_gguf *gguf;
        struct qn_error err = {0};
        alloc_meter_reset();
        alloc_meter_fail_at(k, false);
        status = qn_gguf_open(path, &gguf, &err);
        alloc_meter_fail_at(0, false);
        if (status == QN_OK) {
            qn_gguf_close(gguf);
        } else {
            cr_assert_eq(status, QN_NO_MEMORY);
            cr_assert_not_null(strstr(err.message, "no memory"), "%s", err.message);
        }
        cr_assert_eq(alloc_meter_held(), 0);
    }
    cr_assert_gt(k, 10); /* three parts with four blocks each were among them */
    remove_folder(folder);
}

/* Names and merges of a vocabulary of 300 000 tokens are walked in under 100 ms of processor
 * time: once a string, nothing quadratic. */
Test(gguf, large_vocabulary_opens_fast) {
    enum { N = 300000 };
    struct gguf_writer w;
    gguf_writer_init(&w);
    gguf_key_array(&w, "tokenizer.ggml.tokens", QN_GGUF_STRING, N);
    char text[32];
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "token %d", i);
        bytes_put_string(&w.values, text);
    }
    gguf_key_array(&w, "tokenizer.ggml.scores", QN_GGUF_F32, N);
    bytes_put_zeros(&w.values, (size_t)N * 4);
    gguf_key_array(&w, "tokenizer.ggml.merges", QN_GGUF_STRING, N);
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "left%d right", i);
        bytes_put_string(&w.values, text);
    }
    struct bytes file = gguf_writer_finish(&w);
    struct timespec start, end;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &start);
    struct qn_gguf *gguf = open_bytes(file);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
    const double ms =
        (double)(end.tv_sec - start.tv_sec) * 1e3 + (double)(end.tv_nsec - start.tv_nsec) * 1e-6;
    cr_log_info("%d tokens opened in %.2f ms", N, ms);
    cr_assert_lt(ms, 100);
    qn_gguf_close(gguf);
    bytes_free(&file);
}
