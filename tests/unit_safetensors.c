/* SPDX-License-Identifier: Apache-2.0
 *
 * The safetensors reader: what it accepts, and each rule of the format broken once, with the words
 * that the reader has for it.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_meter.h"
#include "formats/safetensors.h"
#include "safetensors_writer.h"

/* Reads a file from a block of its own size, so that a sanitizer sees a read past the end. */
static enum qn_status read_bytes(const struct bytes *bytes, struct qn_tensor_file *file,
                                 struct qn_error *err) {
    uint8_t *const data = malloc(bytes->size ? bytes->size : 1);
    cr_assert_not_null(data);
    if (bytes->size) memcpy(data, bytes->data, bytes->size);
    *file =
        (struct qn_tensor_file){.path = strdup("t.safetensors"), .data = data, .size = bytes->size};
    return qn_safetensors_read(file, err);
}

static void close_bytes(struct qn_tensor_file *file) {
    free((void *)(uintptr_t)file->data);
    qn_tensor_file_close(file);
}

static struct qn_tensor_file read_file(const char *header, size_t data_size) {
    struct bytes bytes = safetensors_file(header, data_size);
    struct qn_tensor_file file;
    struct qn_error err = {0};
    cr_assert_eq(read_bytes(&bytes, &file, &err), QN_OK, "%s", err.message);
    bytes_free(&bytes);
    return file;
}

static const struct qn_stored_tensor *find(const struct qn_tensor_file *file, const char *name) {
    for (size_t i = 0; i < file->n_tensors; i++)
        if (strcmp(file->tensors[i].tensor.name, name) == 0) return &file->tensors[i];
    cr_assert_fail("no tensor '%s'", name);
    return NULL;
}

/* ---- what it accepts ---- */

Test(safetensors, reads_tensors) {
    struct qn_tensor_file file =
        read_file("{\"__metadata__\":{\"format\":\"pt\"},"
                  "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                  "\"matrix\":{\"dtype\":\"BF16\",\"shape\":[2,3],\"data_offsets\":[12,24]},"
                  "\"cube\":{\"dtype\":\"F16\",\"shape\":[1,2,1,2],\"data_offsets\":[4,12]}}   ",
                  24);
    const uint8_t *const start = file.data + file.size - 24;
    cr_assert_eq(file.n_tensors, 3);
    const struct qn_tensor *tensor = &find(&file, "scalar")->tensor;
    cr_assert(tensor->type == QN_TYPE_F32 && tensor->n_dims == 0 && tensor->size == 4);
    cr_assert(tensor->shape[0] == 1 && tensor->shape[3] == 1 && tensor->data == start);
    tensor = &find(&file, "matrix")->tensor;
    cr_assert(tensor->type == QN_TYPE_BF16 && tensor->n_dims == 2 && tensor->size == 12);
    cr_assert(tensor->shape[0] == 3 && tensor->shape[1] == 2 && tensor->shape[2] == 1);
    cr_assert_eq(tensor->data, start + 12);
    tensor = &find(&file, "cube")->tensor;
    cr_assert(tensor->type == QN_TYPE_F16 && tensor->n_dims == 4 && tensor->data == start + 4);
    cr_assert(tensor->shape[0] == 2 && tensor->shape[1] == 1 && tensor->shape[2] == 2 &&
              tensor->shape[3] == 1);
    close_bytes(&file);
}

Test(safetensors, reads_a_file_without_tensors) {
    struct qn_tensor_file file = read_file("{}", 0);
    cr_assert_eq(file.n_tensors, 0);
    close_bytes(&file);
    file = read_file("{\"__metadata__\":{}}", 0);
    cr_assert_eq(file.n_tensors, 0);
    close_bytes(&file);
}

/* Masks, ids and the like do not keep a file from being read. */
Test(safetensors, leaves_out_what_is_not_computed_with) {
    struct qn_tensor_file file =
        read_file("{\"mask\":{\"dtype\":\"BOOL\",\"shape\":[1,1,2,2],\"data_offsets\":[0,4]},"
                  "\"ids\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[4,20]},"
                  "\"none\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[20,20]},"
                  "\"deep\":{\"dtype\":\"F16\",\"shape\":[1,1,1,1,2],\"data_offsets\":[20,24]},"
                  "\"small\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[24,27]},"
                  "\"packed\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[27,28]},"
                  "\"weight\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[28,32]}}",
                  32);
    static const char *const why[][2] = {
        {"mask", "BOOL"},        {"ids", "I64"},
        {"none", "no elements"}, {"deep", "more than 4 dimensions"},
        {"small", "F8_E4M3"},    {"packed", "F4"}};
    for (size_t i = 0; i < sizeof why / sizeof *why; i++)
        cr_assert_str_eq(find(&file, why[i][0])->left_out, why[i][1]);
    cr_assert_null(find(&file, "weight")->left_out);
    close_bytes(&file);
}

/* ---- what it refuses ---- */

static void expect_refused(const struct bytes *bytes, enum qn_status status, const char *fragment) {
    struct qn_tensor_file file;
    struct qn_error err = {0};
    alloc_meter_reset();
    const enum qn_status found = read_bytes(bytes, &file, &err);
    cr_assert_eq(found, status, "status %d, '%s', expected '%s'", found, err.message, fragment);
    cr_assert_not_null(strstr(err.message, fragment), "'%s' lacks '%s'", err.message, fragment);
    cr_assert_eq(strncmp(err.message, "t.safetensors: ", 15), 0, "'%s' lacks the file",
                 err.message);
    close_bytes(&file);
    cr_assert_eq(alloc_meter_held(), 0, "something was left allocated");
}

#define TENSOR(name, dtype, shape, start, end)                                                     \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #start "," #end \
    "]}"

/* A file of one right tensor before whatever the case adds; 8 bytes of data. */
#define GOOD TENSOR("good", "F16", "[4]", 0, 8)

Test(safetensors_bad, headers) {
    static const struct {
        const char *header;
        size_t data_size;
        enum qn_status status;
        const char *fragment;
    } cases[] = {
        /* JSON */
        {"", 8, QN_BAD_FILE, "its header does not begin with {"},
        {" {}", 0, QN_BAD_FILE, "its header does not begin with {"},
        {"{" GOOD, 8, QN_BAD_FILE, "header, byte "},
        {"{" GOOD "} x", 8, QN_BAD_FILE, "end of file expected"},
        {"[]", 0, QN_BAD_FILE, "its header does not begin with {"},
        {"7", 0, QN_BAD_FILE, "its header does not begin with {"},
        {"{" GOOD "," GOOD "}", 8, QN_BAD_FILE, "duplicate object key"},
        {"{\"a\\u0000\":{}}", 0, QN_BAD_FILE, "\\u0000"},
        {"{" GOOD ",\"__metadata__\":3}", 8, QN_BAD_FILE, "__metadata__ is not of strings"},
        {"{" GOOD ",\"__metadata__\":{\"a\":\"b\",\"c\":3}}", 8, QN_BAD_FILE, "is not of strings"},
        /* members */
        {"{\"x\":[]}", 0, QN_BAD_FILE, "tensor 'x': is not described by an object"},
        {"{\"x\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, QN_BAD_FILE, "no string 'dtype'"},
        {"{\"x\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, QN_BAD_FILE,
         "no string 'dtype'"},
        {"{" TENSOR("x", "f32", "[1]", 0, 4) "}", 4, QN_UNSUPPORTED,
         "tensor 'x': has dtype 'f32', which is not known"},
        {"{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, QN_BAD_FILE, "no array 'shape'"},
        {"{" TENSOR("x", "F32", "1", 0, 4) "}", 4, QN_BAD_FILE, "no array 'shape'"},
        {"{" TENSOR("x", "F32", "[1.0]", 0, 4) "}", 4, QN_BAD_FILE, "not of whole numbers"},
        {"{" TENSOR("x", "F32", "[-1]", 0, 4) "}", 4, QN_BAD_FILE, "not of whole numbers"},
        {"{" TENSOR("x", "F32", "[\"1\"]", 0, 4) "}", 4, QN_BAD_FILE, "not of whole numbers"},
        {"{" TENSOR("x", "F32", "[9223372036854775808]", 0, 4) "}", 4, QN_BAD_FILE,
         "header, byte "},
        {"{" TENSOR("x", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, QN_UNSUPPORTED,
         "has 9 dimensions, at most 8 are read"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, QN_BAD_FILE, "'data_offsets'"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4]}}", 4, QN_BAD_FILE,
         "'data_offsets'"},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,2,4]}}", 4, QN_BAD_FILE,
         "'data_offsets'"},
        {"{" TENSOR("x", "F32", "[1]", -4, 0) "}", 4, QN_BAD_FILE, "'data_offsets'"},
        {"{" TENSOR("x", "F32", "[1]", 0, 4.0) "}", 4, QN_BAD_FILE, "'data_offsets'"},
        /* sizes: 2^31 * 2^31 * 2^2 elements, 2^62 of 4 bytes, half a byte */
        {"{" TENSOR("x", "F32", "[2147483648,2147483648,4]", 0, 4) "}", 4, QN_BAD_FILE,
         "has a shape whose bytes cannot be counted"},
        {"{" TENSOR("x", "F32", "[4611686018427387904]", 0, 4) "}", 4, QN_BAD_FILE,
         "has a shape whose bytes cannot be counted"},
        {"{" TENSOR("x", "F4", "[3]", 0, 2) "}", 2, QN_BAD_FILE,
         "has a shape whose bytes cannot be counted"},
        {"{" TENSOR("x", "F32", "[2]", 0, 4) "}", 4, QN_BAD_FILE,
         "has 4 bytes, but its dtype and shape need 8"},
        {"{" TENSOR("x", "BOOL", "[2]", 0, 4) "}", 4, QN_BAD_FILE,
         "has 4 bytes, but its dtype and shape need 2"},
        /* places */
        {"{" TENSOR("x", "F32", "[1]", 4, 0) "}", 4, QN_BAD_FILE, "ends before it starts"},
        {"{" GOOD "}", 7, QN_BAD_FILE,
         "tensor 'good': ends at byte 8 of the data, which is cut off: the file has 7 bytes"},
        {"{" GOOD "}", 9, QN_BAD_FILE, "1 bytes at the end of the file belong to no tensor"},
        {"{}", 1, QN_BAD_FILE, "1 bytes at the end of the file belong to no tensor"},
        {"{" TENSOR("x", "F16", "[2]", 10, 14) "," GOOD "}", 14, QN_BAD_FILE,
         "2 bytes before the data of tensor 'x' belong to none"},
        {"{" TENSOR("x", "F16", "[2]", 1, 5) "}", 5, QN_BAD_FILE,
         "1 bytes before the data of tensor 'x' belong to none"},
        {"{" TENSOR("x", "F16", "[2]", 6, 10) "," GOOD "}", 10, QN_BAD_FILE,
         "the data of tensors 'good' and 'x' overlap"},
        {"{" TENSOR("x", "F16", "[4]", 0, 8) "," GOOD "}", 8, QN_BAD_FILE, "overlap"},
        {"{" TENSOR("x", "F16", "[0]", 4, 4) "," GOOD "}", 8, QN_BAD_FILE, "overlap"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes bytes = safetensors_file(cases[i].header, cases[i].data_size);
        expect_refused(&bytes, cases[i].status, cases[i].fragment);
        bytes_free(&bytes);
    }
}

Test(safetensors_bad, sizes_of_headers) {
    static const struct {
        uint64_t size;
        const char *fragment;
    } cases[] = {
        {100000001, "its header would have 100000001 bytes, at most 100000000 are allowed"},
        {UINT64_MAX, "its header would have 18446744073709551615 bytes"},
        {100000000, "is cut off: its header has 100000000 bytes, the file 65 more"},
        {66, "is cut off: its header has 66 bytes, the file 65 more"},
    };
    struct bytes bytes = safetensors_file("{" GOOD "}", 8);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(bytes.data, &cases[i].size, 8);
        expect_refused(&bytes, QN_BAD_FILE, cases[i].fragment);
    }
    bytes.size = 7;
    expect_refused(&bytes, QN_BAD_FILE, "has 7 bytes, too few for a safetensors file");
    bytes.size = 0;
    expect_refused(&bytes, QN_BAD_FILE, "has 0 bytes");
    bytes_free(&bytes);
}

Test(safetensors_bad, no_memory) {
    struct bytes bytes = safetensors_file("{" GOOD "}", 8);
    for (size_t k = 1;; k++) {
        uint8_t *const data = malloc(bytes.size);
        cr_assert_not_null(data);
        memcpy(data, bytes.data, bytes.size);
        struct qn_tensor_file file = {.path = strdup("t"), .data = data, .size = bytes.size};
        struct qn_error err = {0};
        alloc_meter_reset();
        alloc_meter_fail_at(k, 0);
        const enum qn_status status = qn_safetensors_read(&file, &err);
        const size_t calls = alloc_meter_calls();
        alloc_meter_fail_at(0, 0);
        close_bytes(&file);
        if (calls < k) {
            cr_assert_eq(status, QN_OK);
            cr_assert_gt(k, 3, "nothing was made to fail");
            break;
        }
        cr_assert_eq(status, QN_NO_MEMORY, "allocation %zu: %d, %s", k, status, err.message);
    }
    bytes_free(&bytes);
}
