/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that the GGUF reader refuses, one by one, with the words it uses. Each case is a right
 * file but for one thing.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_meter.h"
#include "formats/gguf.h"
#include "gguf_writer.h"

enum { F32 = 0, F16 = 1, Q8_0 = 8, Q4_K = 12 }; /* type numbers as stored */

/* ---- the two kinds of cases ---- */

static void expect_refused(struct bytes *file, enum qn_status status, const char *fragment) {
    /* In a block of its own size, so that a sanitizer sees a read past the end. */
    uint8_t *data = malloc(file->size ? file->size : 1);
    cr_assert_not_null(data);
    if (file->size) memcpy(data, file->data, file->size);
    struct qn_gguf *gguf;
    struct qn_error err = {0};
    alloc_meter_reset();
    const enum qn_status found = qn_gguf_open_memory(data, file->size, "bad.gguf", &gguf, &err);
    cr_assert_eq(found, status, "status %d, '%s'", found, err.message);
    cr_assert_not_null(strstr(err.message, fragment), "'%s' lacks '%s'", err.message, fragment);
    cr_assert_eq(strncmp(err.message, "bad.gguf: ", 10), 0, "'%s' lacks the file", err.message);
    cr_assert_null(gguf);
    cr_assert_eq(alloc_meter_held(), 0, "something was left allocated");
    cr_assert_leq(alloc_meter_peak(), 4 * file->size + 4096);
    free(data);
    bytes_free(file);
}

/* A case that writes a file w in parts. */
#define REFUSED(name, status, fragment)                                                            \
    static void write_##name(struct gguf_writer *w);                                               \
    Test(gguf_bad, name) {                                                                         \
        struct gguf_writer writer;                                                                 \
        gguf_writer_init(&writer);                                                                 \
        write_##name(&writer);                                                                     \
        struct bytes file = gguf_writer_finish(&writer);                                           \
        expect_refused(&file, status, fragment);                                                   \
    }                                                                                              \
    static void write_##name(struct gguf_writer *w)

/* A case that spoils a finished, right file. */
#define SPOILED(name, status, fragment)                                                            \
    static void spoil_##name(struct bytes *f);                                                     \
    Test(gguf_bad, name) {                                                                         \
        struct bytes file = gguf_tiny_model(3);                                                    \
        spoil_##name(&file);                                                                       \
        expect_refused(&file, status, fragment);                                                   \
    }                                                                                              \
    static void spoil_##name(struct bytes *f)

#define SHAPE(...)                                                                                 \
    (sizeof((uint64_t[]){__VA_ARGS__}) / 8), (const uint64_t[]) {                                  \
        __VA_ARGS__                                                                                \
    }

static void put_at(struct bytes *file, size_t at, uint64_t value, size_t size) {
    cr_assert_leq(at + size, file->size);
    memcpy(file->data + at, &value, size);
}

/* ---- header ---- */

SPOILED(empty, QN_BAD_FILE, "header, byte 0: the file ends within the magic number") {
    f->size = 0;
}
SPOILED(three_bytes, QN_BAD_FILE, "(3 bytes left, 4 needed)") {
    f->size = 3;
}
SPOILED(four_bytes, QN_BAD_FILE, "byte 4: the file ends within the version") {
    f->size = 4;
}
SPOILED(header_cut, QN_BAD_FILE, "byte 16: the file ends within the number of keys") {
    put_at(f, 8, 0, 8);
    f->size = 23;
}
SPOILED(wrong_magic, QN_BAD_FILE, "is not a GGUF file: it begins with 50 4b 03 04") {
    memcpy(f->data, "PK\3\4", 4);
}
SPOILED(lower_case_magic, QN_BAD_FILE, "begins with 67 67 75 66") {
    memcpy(f->data, "gguf", 4);
}
SPOILED(reversed_magic, QN_BAD_FILE, "is not a GGUF file") {
    memcpy(f->data, "FUGG", 4);
}
REFUSED(version_0, QN_UNSUPPORTED, "of GGUF version 0; this build reads 2 and 3") {
    w->version = 0;
}
REFUSED(version_1, QN_UNSUPPORTED, "of GGUF version 1;") {
    w->version = 1;
}
REFUSED(version_4, QN_UNSUPPORTED, "of GGUF version 4;") {
    w->version = 4;
}
REFUSED(version_huge, QN_UNSUPPORTED, "version 4294967295;") {
    w->version = UINT32_MAX;
}
REFUSED(big_endian_2, QN_UNSUPPORTED, "is a big-endian GGUF file") {
    w->version = 0x02000000;
}
REFUSED(big_endian_3, QN_UNSUPPORTED, "is a big-endian GGUF file") {
    w->version = 0x03000000;
}

/* ---- counts ---- */

REFUSED(tensors_2_64, QN_BAD_FILE,
        "byte 8: the number of tensors is 18446744073709551615, at most 1048576") {
    w->n_tensors = UINT64_MAX;
}
REFUSED(tensors_above_limit, QN_BAD_FILE, "is 1048577, at most 1048576 are allowed") {
    w->n_tensors = (1 << 20) + 1;
}
REFUSED(tensors_at_limit, QN_BAD_FILE, "is 1048576, more than the file's 24 bytes can hold") {
    w->n_tensors = 1 << 20;
}
/* A record overhead times this count wraps to something small. */
REFUSED(tensors_that_wrap, QN_BAD_FILE, "the number of tensors is") {
    w->n_tensors = UINT64_MAX / sizeof(struct qn_tensor) + 2;
}
REFUSED(one_tensor_in_no_bytes, QN_BAD_FILE, "is 1, more than the file's 24 bytes") {
    w->n_tensors = 1;
}
REFUSED(keys_2_64, QN_BAD_FILE, "byte 16: the number of keys is 18446744073709551615") {
    w->n_values = UINT64_MAX;
}
REFUSED(keys_above_limit, QN_BAD_FILE, "is 65537, at most 65536 are allowed") {
    w->n_values = 65537;
}
REFUSED(keys_at_limit, QN_BAD_FILE, "is 65536, more than the file's 24 bytes can hold") {
    w->n_values = 65536;
}
REFUSED(keys_that_wrap, QN_BAD_FILE, "the number of keys is") {
    w->n_values = UINT64_MAX / sizeof(struct qn_gguf_value) + 2;
}
REFUSED(one_key_more_than_there_are, QN_BAD_FILE, "key 2, byte 72: the file ends within a key") {
    gguf_key_u32(w, "a", 1);
    gguf_key_string(w, "b", "0123456789");
    w->n_values++;
}
REFUSED(one_tensor_more_than_there_are, QN_BAD_FILE, "tensor 1") {
    gguf_tensor(w, "a", SHAPE(16), F32, NULL, 64);
    w->n_tensors++;
}

/* ---- keys and values ---- */

REFUSED(key_empty, QN_BAD_FILE, "key 0, byte 24: a key is empty") {
    gguf_key_u32(w, "", 1);
}
REFUSED(key_past_the_end, QN_BAD_FILE, "a key of 100 bytes, but the file has 8 more") {
    bytes_put_u64(&w->values, 100);
    bytes_put_u64(&w->values, 0);
    w->n_values++;
}
REFUSED(key_of_2_64, QN_BAD_FILE, "a key of 18446744073709551615 bytes") {
    bytes_put_u64(&w->values, UINT64_MAX);
    bytes_put_u64(&w->values, 0);
    w->n_values++;
}
REFUSED(key_of_2_63, QN_BAD_FILE, "a key of 9223372036854775808 bytes") {
    bytes_put_u64(&w->values, 1ull << 63);
    bytes_put_u64(&w->values, 0);
    w->n_values++;
}
REFUSED(key_too_long, QN_BAD_FILE, "a key has 65536 bytes, at most 65535 are allowed") {
    char *key = malloc(65537);
    cr_assert_not_null(key);
    memset(key, 'k', 65536);
    key[65536] = '\0';
    gguf_key_u32(w, key, 1);
    free(key);
}
REFUSED(key_with_zero_byte, QN_BAD_FILE, "a key holds a zero byte") {
    bytes_put_u64(&w->values, 3);
    bytes_put(&w->values, "a\0b", 3);
    bytes_put_u32(&w->values, QN_GGUF_U32);
    bytes_put_u32(&w->values, 1);
    w->n_values++;
}
REFUSED(key_twice, QN_BAD_FILE, "has the key 'same' twice") {
    gguf_key_u32(w, "same", 1);
    gguf_key_u32(w, "other", 1);
    gguf_key_u32(w, "same", 1);
}
REFUSED(key_twice_of_two_types, QN_BAD_FILE, "has the key 'same' twice") {
    gguf_key_u32(w, "same", 1);
    gguf_key_string(w, "same", "x");
}
REFUSED(key_a_terminal_would_obey, QN_BAD_FILE, "key '?[2Jx', byte") {
    gguf_key(w, "\033[2Jx", 99);
    bytes_put_u64(&w->values, 0);
}
REFUSED(value_type_13, QN_BAD_FILE, "key 'k', byte 33: the value's type is 13, expected 0 to 12") {
    gguf_key(w, "k", 13);
    bytes_put_u64(&w->values, 0);
}
REFUSED(value_type_huge, QN_BAD_FILE, "the value's type is 4294967295") {
    gguf_key(w, "k", UINT32_MAX);
    bytes_put_u64(&w->values, 0);
}
REFUSED(value_cut, QN_BAD_FILE, "key 'k', byte 37: 1 values of type u64, but the file has 7 more") {
    gguf_key(w, "k", QN_GGUF_U64);
    bytes_put_zeros(&w->values, 7);
}
REFUSED(value_missing, QN_BAD_FILE, "key 'kk'") {
    gguf_key(w, "kk", QN_GGUF_U8);
}
REFUSED(string_past_the_end, QN_BAD_FILE,
        "key 'k', byte 37: a string of 5 bytes, but the file has "
        "4 more") {
    gguf_key(w, "k", QN_GGUF_STRING);
    bytes_put_u64(&w->values, 5);
    bytes_put_u32(&w->values, 0);
}
REFUSED(string_of_2_64, QN_BAD_FILE, "a string of 18446744073709551615 bytes") {
    gguf_key(w, "k", QN_GGUF_STRING);
    bytes_put_u64(&w->values, UINT64_MAX);
}
/* A length that wraps around to just before the string. */
REFUSED(string_of_minus_8, QN_BAD_FILE, "a string of 18446744073709551608 bytes") {
    gguf_key(w, "k", QN_GGUF_STRING);
    bytes_put_u64(&w->values, (uint64_t)-8);
}
REFUSED(string_of_1_gib, QN_BAD_FILE, "a string of 1073741824 bytes") {
    gguf_key(w, "k", QN_GGUF_STRING);
    bytes_put_u64(&w->values, 1 << 30);
}
REFUSED(bool_of_2, QN_BAD_FILE, "key 'k', byte 37: bool of value 2, expected 0 or 1") {
    gguf_key_bool(w, "k", 2);
}
REFUSED(bool_in_array_of_255, QN_BAD_FILE, "byte 51: bool of value 255") {
    gguf_key_array(w, "k", QN_GGUF_BOOL, 3);
    bytes_put(&w->values, "\0\1\xff", 3);
}

/* ---- arrays ---- */

REFUSED(array_of_arrays, QN_UNSUPPORTED, "key 'k', byte 41: an array of arrays") {
    gguf_key_array(w, "k", QN_GGUF_ARRAY, 1);
    bytes_put_u32(&w->values, QN_GGUF_U8);
    bytes_put_u64(&w->values, 0);
}
REFUSED(array_nested_deep, QN_UNSUPPORTED, "an array of arrays") {
    gguf_key_array(w, "k", QN_GGUF_ARRAY, 1);
    for (int i = 0; i < 100000; i++) {
        bytes_put_u32(&w->values, QN_GGUF_ARRAY);
        bytes_put_u64(&w->values, 1);
    }
}
REFUSED(array_of_type_13, QN_BAD_FILE, "the array's element type is 13") {
    gguf_key_array(w, "k", 13, 0);
}
REFUSED(array_without_a_count, QN_BAD_FILE, "the file ends within the array's count") {
    gguf_key(w, "k", QN_GGUF_ARRAY);
    bytes_put_u32(&w->values, QN_GGUF_U8);
}
REFUSED(array_without_a_type, QN_BAD_FILE, "the file ends within the array's element type") {
    gguf_key(w, "kk", QN_GGUF_ARRAY);
}
REFUSED(array_of_2_64, QN_BAD_FILE, "18446744073709551615 values of type u8") {
    gguf_key_array(w, "k", QN_GGUF_U8, UINT64_MAX);
}
/* Times the element's size, this count is 0, or 8, in 64 bits. */
REFUSED(array_that_wraps_to_0, QN_BAD_FILE, "2305843009213693952 values of type f64") {
    gguf_key_array(w, "k", QN_GGUF_F64, 1ull << 61);
}
REFUSED(array_that_wraps_to_8, QN_BAD_FILE, "4611686018427387906 values of type f32") {
    gguf_key_array(w, "k", QN_GGUF_F32, (1ull << 62) + 2);
    bytes_put_u64(&w->values, 0);
}
REFUSED(array_one_too_long, QN_BAD_FILE, "4 values of type u32, but the file has 12 more bytes") {
    gguf_key_array(w, "k", QN_GGUF_U32, 4);
    bytes_put_zeros(&w->values, 12);
}
REFUSED(array_of_2_61_strings, QN_BAD_FILE, "key 'k', byte 49: the file ends within a string") {
    gguf_key_array(w, "k", QN_GGUF_STRING, 1ull << 61);
}
REFUSED(array_with_a_long_string, QN_BAD_FILE, "a string of 9 bytes, but the file has 8 more") {
    gguf_key_array(w, "k", QN_GGUF_STRING, 2);
    bytes_put_u64(&w->values, 0);
    bytes_put_u64(&w->values, 9);
    bytes_put_u64(&w->values, 0);
}

/* ---- alignment ---- */

#define ALIGNMENT(name, value)                                                                     \
    REFUSED(alignment_##name, QN_BAD_FILE,                                                         \
            "key 'general.alignment', byte 53: is " #value                                         \
            ", expected a power of two from 8 to 65536") {                                         \
        gguf_key_u32(w, "general.alignment", value##u);                                            \
    }
ALIGNMENT(of_0, 0)
ALIGNMENT(of_1, 1)
ALIGNMENT(of_3, 3)
ALIGNMENT(of_4, 4)
ALIGNMENT(of_24, 24)
ALIGNMENT(of_33, 33)
ALIGNMENT(of_131072, 131072)
ALIGNMENT(of_2_31, 2147483648)
ALIGNMENT(of_2_32, 4294967295)

REFUSED(alignment_i32, QN_BAD_FILE, "'general.alignment', byte 53: is of type i32, expected u32") {
    gguf_key(w, "general.alignment", QN_GGUF_I32);
    bytes_put_u32(&w->values, 32);
}
REFUSED(alignment_u64, QN_BAD_FILE, "is of type u64, expected u32") {
    gguf_key(w, "general.alignment", QN_GGUF_U64);
    bytes_put_u64(&w->values, 32);
}
REFUSED(alignment_string, QN_BAD_FILE, "is of type string, expected u32") {
    gguf_key_string(w, "general.alignment", "32");
}
REFUSED(alignment_array, QN_BAD_FILE, "is of type array, expected u32") {
    gguf_key_array(w, "general.alignment", QN_GGUF_U32, 1);
    bytes_put_u32(&w->values, 32);
}

/* ---- tensors ---- */

REFUSED(tensor_name_empty, QN_BAD_FILE, "tensor 0, byte 24: a tensor's name is empty") {
    gguf_tensor(w, "", SHAPE(4), F32, NULL, 16);
}
REFUSED(tensor_name_of_65, QN_BAD_FILE, "a tensor's name has 65 bytes, at most 64 are allowed") {
    char name[66];
    memset(name, 'n', 65);
    name[65] = '\0';
    gguf_tensor(w, name, SHAPE(4), F32, NULL, 16);
}
REFUSED(tensor_name_of_2_64, QN_BAD_FILE, "a tensor's name of 18446744073709551615 bytes") {
    bytes_put_u64(&w->infos, UINT64_MAX);
    bytes_put_zeros(&w->infos, 64);
    w->n_tensors++;
}
REFUSED(tensor_name_with_zero_byte, QN_BAD_FILE, "a tensor's name holds a zero byte") {
    bytes_put_u64(&w->infos, 3);
    bytes_put_zeros(&w->infos, 64);
    w->n_tensors++;
}
REFUSED(tensor_twice, QN_BAD_FILE, "has the tensor 'blk.0.x' twice") {
    gguf_tensor(w, "blk.0.x", SHAPE(4), F32, NULL, 16);
    gguf_tensor(w, "blk.0.y", SHAPE(4), F32, NULL, 16);
    gguf_tensor(w, "blk.0.x", SHAPE(8), F32, NULL, 32);
}
REFUSED(dims_0, QN_BAD_FILE, "tensor 'a', byte 33: has 0 dimensions, expected 1 to 4") {
    gguf_tensor_info(w, "a", 0, NULL, F32, 0);
    bytes_put_zeros(&w->data, 64);
}
REFUSED(dims_5, QN_BAD_FILE, "has 5 dimensions, expected 1 to 4") {
    gguf_tensor(w, "a", SHAPE(4, 1, 1, 1, 1), F32, NULL, 16);
}
REFUSED(dims_2_32, QN_BAD_FILE, "has 4294967295 dimensions") {
    bytes_put_string(&w->infos, "a");
    bytes_put_u32(&w->infos, UINT32_MAX);
    bytes_put_zeros(&w->infos, 64);
    w->n_tensors++;
}
REFUSED(shape_0, QN_BAD_FILE, "tensor 'a', byte 37: has shape[0] = 0") {
    gguf_tensor(w, "a", SHAPE(0, 4), F32, NULL, 16);
}
REFUSED(shape_with_0_behind, QN_BAD_FILE, "byte 61: has shape[3] = 0") {
    gguf_tensor(w, "a", SHAPE(4, 1, 1, 0), F32, NULL, 16);
}
REFUSED(shape_of_2_64, QN_BAD_FILE, "has more bytes than can be counted") {
    gguf_tensor(w, "a", SHAPE(1ull << 32, 1ull << 32), F32, NULL, 16);
}
REFUSED(shape_that_wraps_to_few, QN_BAD_FILE, "has more bytes than can be counted") {
    gguf_tensor(w, "a", SHAPE(1ull << 63, 2), F32, NULL, 16);
}
REFUSED(shape_whose_third_wraps, QN_BAD_FILE, "1 x 4294967296 x 4294967296 x 1 has more bytes") {
    gguf_tensor(w, "a", SHAPE(1, 1ull << 32, 1ull << 32), F16, NULL, 16);
}
REFUSED(bytes_that_wrap_to_0, QN_BAD_FILE, "has more bytes than can be counted") {
    gguf_tensor(w, "a", SHAPE(1ull << 62), F32, NULL, 16);
}
REFUSED(block_bytes_that_wrap, QN_BAD_FILE, "has more bytes than can be counted") {
    gguf_tensor(w, "a", SHAPE(1ull << 62, 32), Q8_0, NULL, 16);
}
/* Rounded up to the alignment, this size would be 0. */
REFUSED(size_that_pads_to_0, QN_BAD_FILE, "needs 18446744073709551612 bytes, but the whole file") {
    gguf_tensor(w, "a", SHAPE((1ull << 62) - 1), F32, NULL, 16);
}
/* Each is countable, their sum is not. */
REFUSED(sizes_whose_sum_wraps, QN_BAD_FILE,
        "tensor 'a', byte 49: needs 9223372036854775808 bytes") {
    gguf_tensor(w, "a", SHAPE(1ull << 61), F32, NULL, 16);
    gguf_tensor(w, "b", SHAPE(1ull << 61), F32, NULL, 16);
}
REFUSED(larger_than_the_file, QN_BAD_FILE, "needs 4000 bytes, but the whole file has 80") {
    gguf_tensor(w, "a", SHAPE(1000), F32, NULL, 16);
}
REFUSED(rows_not_of_whole_blocks, QN_BAD_FILE,
        "has rows of 33 elements, expected a multiple of Q8_0's block of 32") {
    gguf_tensor(w, "a", SHAPE(33, 2), Q8_0, NULL, 128);
}
REFUSED(rows_of_half_a_superblock, QN_BAD_FILE, "a multiple of Q4_K's block of 256") {
    gguf_tensor(w, "a", SHAPE(128, 2), Q4_K, NULL, 144);
}

/* ---- tensor types ---- */

REFUSED(
    type_iq1_s, QN_UNSUPPORTED,
    "tensor 'blk.0.ffn_up.weight', byte 63: has type IQ1_S (19); this build runs F32, F16, BF16, "
    "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS") {
    gguf_tensor(w, "blk.0.ffn_up.weight", SHAPE(256), 19, NULL, 64);
}
REFUSED(type_q8_1, QN_UNSUPPORTED, "has type Q8_1 (9)") {
    gguf_tensor(w, "a", SHAPE(256), 9, NULL, 288);
}
REFUSED(type_i16, QN_UNSUPPORTED, "has type I16 (25); this build runs F32") {
    gguf_tensor(w, "a", SHAPE(64), 25, NULL, 128);
}
REFUSED(type_i32, QN_UNSUPPORTED, "has type I32 (26)") {
    gguf_tensor(w, "a", SHAPE(4), 26, NULL, 16);
}
REFUSED(type_f64, QN_UNSUPPORTED, "has type F64 (28)") {
    gguf_tensor(w, "a", SHAPE(4), 28, NULL, 32);
}
REFUSED(type_removed, QN_UNSUPPORTED, "has type number 4, which is not known") {
    gguf_tensor(w, "a", SHAPE(256), 4, NULL, 64);
}
REFUSED(type_unknown, QN_UNSUPPORTED, "has type number 42, which is not known") {
    gguf_tensor(w, "a", SHAPE(256), 42, NULL, 64);
}
REFUSED(type_huge, QN_UNSUPPORTED, "has type number 4294967295, which is not known") {
    gguf_tensor(w, "a", SHAPE(256), UINT32_MAX, NULL, 64);
}

/* ---- tensor data ---- */

REFUSED(offset_not_aligned, QN_BAD_FILE, "byte 49: has offset 16, expected a multiple of 32") {
    gguf_tensor_info(w, "a", SHAPE(4), F32, 16);
    bytes_put_zeros(&w->data, 64);
}
REFUSED(offset_not_of_the_files_alignment, QN_BAD_FILE, "offset 32, expected a multiple of 64") {
    gguf_key_u32(w, "general.alignment", 64);
    w->alignment = 64;
    gguf_tensor_info(w, "a", SHAPE(4), F32, 32);
    bytes_put_zeros(&w->data, 64);
}
REFUSED(
    offset_past_the_end, QN_BAD_FILE,
    "tensor 'a', byte 64: has 16 bytes at offset 64 of the data, which are cut off: the file has "
    "32 bytes of data") {
    gguf_tensor_info(w, "a", SHAPE(4), F32, 64);
    bytes_put_zeros(&w->data, 32);
}
REFUSED(offset_that_wraps, QN_BAD_FILE, "at offset 18446744073709551584 of the data") {
    gguf_tensor_info(w, "a", SHAPE(16), F32, UINT64_MAX - 31);
    bytes_put_zeros(&w->data, 64);
}
REFUSED(data_one_byte_short, QN_BAD_FILE, "has 68 bytes at offset 32 of the data, which are cut") {
    gguf_tensor_info(w, "a", SHAPE(17), F32, 32);
    bytes_put_zeros(&w->data, 32 + 67);
}
REFUSED(data_missing, QN_BAD_FILE, "the file has 0 bytes of data") {
    gguf_tensor_info(w, "a", SHAPE(4), F32, 0);
}
REFUSED(data_and_padding_missing, QN_BAD_FILE, "the file has 0 bytes of data") {
    gguf_key_u32(w, "general.alignment", 65536);
    gguf_tensor_info(w, "a", SHAPE(4), F32, 0);
}
REFUSED(data_at_one_place, QN_BAD_FILE, "the data of tensors 'a' and 'b' overlap") {
    gguf_tensor_info(w, "a", SHAPE(4), F32, 32);
    gguf_tensor_info(w, "b", SHAPE(4), F32, 32);
    bytes_put_zeros(&w->data, 64);
}
REFUSED(data_that_overlap_by_a_byte, QN_BAD_FILE, "the data of tensors 'b' and 'a' overlap") {
    gguf_tensor_info(w, "a", SHAPE(4), F32, 64);
    gguf_tensor_info(w, "b", SHAPE(33), F16, 0);
    bytes_put_zeros(&w->data, 128);
}
REFUSED(data_within_others, QN_BAD_FILE, "overlap") {
    gguf_tensor_info(w, "a", SHAPE(64), F32, 0);
    gguf_tensor_info(w, "b", SHAPE(4), F32, 64);
    bytes_put_zeros(&w->data, 256);
}
SPOILED(last_tensor_cut, QN_BAD_FILE, "tensor 'experts'") {
    f->size -= 1;
}

/* ---- split keys in a file that is in memory ---- */

REFUSED(split_in_memory, QN_UNSUPPORTED, "is one of 2 parts of a split model") {
    gguf_key_u32(w, "split.no", 0);
    gguf_key_u32(w, "split.count", 2);
    gguf_key_u32(w, "split.tensors.count", 0);
}
REFUSED(split_without_number, QN_BAD_FILE, "has the key 'split.count' but not 'split.no'") {
    gguf_key_u32(w, "split.count", 2);
    gguf_key_u32(w, "split.tensors.count", 0);
}
REFUSED(split_without_tensors, QN_BAD_FILE, "but not 'split.tensors.count'") {
    gguf_key_u32(w, "split.count", 2);
    gguf_key_u32(w, "split.no", 0);
}
REFUSED(split_number_beyond_count, QN_BAD_FILE, "has 'split.no' 2 and 'split.count' 2") {
    gguf_key_u32(w, "split.no", 2);
    gguf_key_u32(w, "split.count", 2);
    gguf_key_u32(w, "split.tensors.count", 0);
}
REFUSED(split_of_too_many, QN_BAD_FILE, "expected no below count and count up to 9999") {
    gguf_key_u32(w, "split.no", 0);
    gguf_key_u32(w, "split.count", 10000);
    gguf_key_u32(w, "split.tensors.count", 0);
}
REFUSED(split_count_as_text, QN_BAD_FILE, "key 'split.count' is of type string") {
    gguf_key_string(w, "split.count", "2");
}
REFUSED(split_number_negative, QN_BAD_FILE, "key 'split.no' is -1") {
    gguf_key(w, "split.no", QN_GGUF_I32);
    bytes_put_u32(&w->values, UINT32_MAX);
    gguf_key_u32(w, "split.count", 2);
    gguf_key_u32(w, "split.tensors.count", 0);
}

/* ---- a right file with one number changed ---- */

SPOILED(one_key_fewer, QN_BAD_FILE, "tensor") {
    put_at(f, 16, f->data[16] - 1u, 8);
}
SPOILED(one_key_more, QN_BAD_FILE, "tensor") {
    put_at(f, 16, f->data[16] + 1u, 8);
}
