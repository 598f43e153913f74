/* SPDX-License-Identifier: Apache-2.0
 *
 * pytorch_model.bin: what the reader accepts, and each rule of archives and pickles broken once,
 * with the words that the reader has for it. The pickles here are written by hand; a file of
 * PyTorch's own is read too.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_meter.h"
#include "formats/torch_file.h"
#include "zip_writer.h"

/* ---- pickles ---- */

#define STRING(size, text) "X" size "\0\0\0" text
#define ORDERED_DICT       "ccollections\nOrderedDict\n)R"
/* A storage of n bytes at data/KEY, n a string of one byte. */
#define STORAGE_OF(module_class, key, n)                                                           \
    "(" STRING("\7", "storage") "c" module_class "\n" key STRING("\3", "cpu") "K" n "tQ"
#define STORAGE(class, n) STORAGE_OF("torch\n" class, STRING("\1", "0"), n)
#define REBUILD(version, storage, place, more)                                                     \
    "ctorch._utils\n_rebuild_tensor_" version "\n(" storage place "\x89" ORDERED_DICT more "tR"
#define TENSOR(storage, place) REBUILD("v2", storage, place, "")
/* Offset, shape and strides of a vector of 2, and of a matrix of 2 rows of 3. */
#define VECTOR                                                                                     \
    "K\0"                                                                                          \
    "K\2\x85"                                                                                      \
    "K\1\x85"
#define MATRIX                                                                                     \
    "K\0"                                                                                          \
    "K\2K\3\x86"                                                                                   \
    "K\3K\1\x86"
#define FLOATS        STORAGE("FloatStorage", "\6")
#define PICKLE(items) "\x80\2}(" items "u."
#define GOOD          STRING("\4", "good") TENSOR(FLOATS, MATRIX)

/* ---- reading ---- */

/* Reads a file from a block of its own size, so that a sanitizer sees a read past the end. */
static enum qn_status read_bytes(const struct bytes *bytes, struct qn_tensor_file *file,
                                 struct qn_error *err) {
    uint8_t *const data = malloc(bytes->size ? bytes->size : 1);
    cr_assert_not_null(data);
    if (bytes->size) memcpy(data, bytes->data, bytes->size);
    *file = (struct qn_tensor_file){.path = strdup("t.bin"), .data = data, .size = bytes->size};
    return qn_torch_read(file, err);
}

static void close_bytes(struct qn_tensor_file *file) {
    free((void *)(uintptr_t)file->data);
    qn_tensor_file_close(file);
}

static struct qn_tensor_file read_pickle_as(const void *pickle, size_t size, bool large) {
    struct bytes bytes = zip_of_pickle(pickle, size, large);
    struct qn_tensor_file file;
    struct qn_error err = {0};
    cr_assert_eq(read_bytes(&bytes, &file, &err), QN_OK, "%s", err.message);
    bytes_free(&bytes);
    return file;
}

#define READ_PICKLE(text) read_pickle_as(text, sizeof(text) - 1, false)

static const struct qn_stored_tensor *find(const struct qn_tensor_file *file, const char *name) {
    for (size_t i = 0; i < file->n_tensors; i++)
        if (strcmp(file->tensors[i].tensor.name, name) == 0) return &file->tensors[i];
    cr_assert_fail("no tensor '%s'", name);
    return NULL;
}

/* ---- what it accepts ---- */

static void check_good(const struct qn_tensor_file *file) {
    const struct qn_tensor *const good = &find(file, "good")->tensor;
    cr_assert(good->type == QN_TYPE_F32 && good->n_dims == 2 && good->size == 24);
    cr_assert(good->shape[0] == 3 && good->shape[1] == 2 && good->shape[2] == 1);
    for (size_t i = 0; i < 24; i++) cr_assert_eq(((const uint8_t *)good->data)[i], i);
}

Test(torch, reads_tensors) {
    for (int large = 0; large < 2; large++) {
        static const char pickle[] = PICKLE(GOOD);
        struct qn_tensor_file file = read_pickle_as(pickle, sizeof pickle - 1, large);
        cr_assert_eq(file.n_tensors, 1);
        cr_assert_null(file.tensors[0].left_out);
        check_good(&file);
        close_bytes(&file);
    }
}

/* Two names for one tensor, and another that starts within its storage. */
Test(torch, shares_storages) {
    struct qn_tensor_file file =
        READ_PICKLE(PICKLE(STRING("\4", "good") TENSOR(FLOATS, MATRIX) "q\0" STRING(
            "\4", "tied") "h\0" STRING("\3", "row") TENSOR(FLOATS, "K\3"
                                                                   "K\1K\3\x86"
                                                                   "K\x09K\1\x86")));
    cr_assert_eq(file.n_tensors, 3);
    check_good(&file);
    cr_assert_eq(find(&file, "tied")->tensor.data, find(&file, "good")->tensor.data);
    const struct qn_tensor *const row = &find(&file, "row")->tensor;
    cr_assert_eq(*(const uint8_t *)row->data, 12);
    cr_assert(row->size == 12 && row->shape[0] == 3 && row->shape[1] == 1);
    close_bytes(&file);
}

Test(torch, reads_element_types) {
    struct qn_tensor_file file = READ_PICKLE(PICKLE(
        STRING("\1", "h") TENSOR(STORAGE("HalfStorage", "\x0c"), "K\1"
                                                                 "K\2\x85"
                                                                 "K\1\x85") STRING("\1", "b")
            TENSOR(STORAGE("BFloat16Storage", "\x0c"), VECTOR) STRING("\1", "s")
                TENSOR(FLOATS, "K\5"
                               "))") STRING("\1", "i") TENSOR(STORAGE("LongStorage", "\3"), VECTOR)
                    STRING("\1", "m") TENSOR(STORAGE("BoolStorage", "\x18"), VECTOR)
                        STRING("\1", "e") TENSOR(FLOATS, "K\0"
                                                         "K\0\x85"
                                                         "K\1\x85") STRING("\1", "8")
                            REBUILD("v3",
                                    STORAGE_OF("torch.storage\nUntypedStorage", STRING("\1", "0"),
                                               "\x18"),
                                    VECTOR, "ctorch\nfloat8_e4m3fn\n")));
    const struct qn_tensor *tensor = &find(&file, "h")->tensor;
    cr_assert(tensor->type == QN_TYPE_F16 && tensor->size == 4);
    cr_assert_eq(*(const uint8_t *)tensor->data, 2);
    tensor = &find(&file, "b")->tensor;
    cr_assert(tensor->type == QN_TYPE_BF16 && tensor->size == 4 && tensor->shape[0] == 2);
    tensor = &find(&file, "s")->tensor;
    cr_assert(tensor->n_dims == 0 && tensor->size == 4 && *(const uint8_t *)tensor->data == 20);
    static const char *const why[][2] = {
        {"i", "I64"}, {"m", "BOOL"}, {"e", "no elements"}, {"8", "F8_E4M3"}};
    for (size_t i = 0; i < sizeof why / sizeof *why; i++)
        cr_assert_str_eq(find(&file, why[i][0])->left_out, why[i][1]);
    close_bytes(&file);
}

/* Parameters, state of an OrderedDict, numbers, lists, and tensors one level below. */
Test(torch, passes_over_what_is_no_tensor) {
    struct qn_tensor_file file = READ_PICKLE(
        "\x80\2" ORDERED_DICT
        "r\0\0\0\0(" STRING("\4", "good") "ctorch._utils\n_rebuild_parameter\n" TENSOR(
            FLOATS,
            MATRIX) "\x88" ORDERED_DICT
                    "\x87R" STRING("\1", "n") "N" STRING("\1", "i") "J\xff\xff\xff\xff" STRING("\1", "m") "M\1\1" STRING(
                        "\1",
                        "l") "\x8a\2\xff\xff" STRING("\1",
                                                     "f") "G\0\0\0\0\0\0\0\0" STRING("\1",
                                                                                     "a") "]("
                                                                                          "K\1K\2eK"
                                                                                          "\3a"
                                                                                          "K"
                                                                                          "\7" STRING(
                                                                                              "\1",
                                                                                              "x")
                                                                                              STRING(
                                                                                                  "\1",
                                                                                                  "d") "}u"
                                                                                                       "}" STRING(
                                                                                                           "\x09",
                                                                                                           "_metadata") "j\0\0\0\0sb.");
    cr_assert_eq(file.n_tensors, 1);
    check_good(&file);
    close_bytes(&file);
    file =
        READ_PICKLE(PICKLE(STRING("\5", "epoch") "K\3" STRING("\x0a", "state_dict") "}" GOOD "s"));
    check_good(&file);
    close_bytes(&file);
    file = READ_PICKLE(PICKLE(STRING("\5", "model") "}" GOOD "s"));
    check_good(&file);
    close_bytes(&file);
    file = READ_PICKLE("}.");
    cr_assert_eq(file.n_tensors, 0);
    close_bytes(&file);
}

/* See tests/data/README.md. */
Test(torch, reads_a_file_of_torch_save) {
    struct qn_tensor_file file;
    struct qn_error err = {0};
    cr_assert_eq(qn_tensor_file_open(TEST_DATA "/torch/state_dict.bin", &file, &err), QN_OK, "%s",
                 err.message);
    cr_assert_eq(qn_torch_read(&file, &err), QN_OK, "%s", err.message);
    static const struct {
        const char *name;
        enum qn_type type;
        int n_dims;
        size_t shape[2];
        float first; /* each value is one more than the one before it */
    } expected[] = {{"matrix", QN_TYPE_F32, 2, {3, 2}, 0},  {"tied", QN_TYPE_F32, 2, {3, 2}, 0},
                    {"row", QN_TYPE_F32, 2, {3, 1}, 3},     {"half", QN_TYPE_F16, 1, {4, 1}, 0},
                    {"bfloat", QN_TYPE_BF16, 1, {4, 1}, 0}, {"scalar", QN_TYPE_F32, 0, {1, 1}, 7},
                    {"flat", QN_TYPE_F32, 2, {3, 1}, 0}};
    enum { N = sizeof expected / sizeof *expected };
    for (size_t i = 0; i < N; i++) {
        cr_assert_str_eq(file.tensors[i].tensor.name, expected[i].name);
        cr_assert_null(file.tensors[i].left_out);
        const struct qn_tensor *const tensor = &file.tensors[i].tensor;
        const size_t n = expected[i].shape[0] * expected[i].shape[1];
        cr_assert(tensor->type == expected[i].type && tensor->n_dims == expected[i].n_dims);
        cr_assert(tensor->shape[0] == expected[i].shape[0] &&
                  tensor->shape[1] == expected[i].shape[1] && tensor->shape[2] == 1);
        cr_assert_eq(tensor->size, qn_type_row_size(tensor->type, n));
        float values[6];
        qn_type_to_float(tensor->type, tensor->data, values, n);
        for (size_t k = 0; k < n; k++) cr_assert_eq(values[k], expected[i].first + (float)k);
    }
    cr_assert_eq(file.n_tensors, N + 3);
    static const char *const left_out[] = {"BOOL", "I64", "F8_E4M3"};
    for (size_t i = 0; i < 3; i++) cr_assert_str_eq(file.tensors[N + i].left_out, left_out[i]);
    qn_tensor_file_close(&file);
}

/* ---- refused pickles ---- */

static void expect_refused(const struct bytes *bytes, enum qn_status status, const char *fragment) {
    struct qn_tensor_file file;
    struct qn_error err = {0};
    alloc_meter_reset();
    const enum qn_status found = read_bytes(bytes, &file, &err);
    cr_assert_eq(found, status, "status %d, '%s', expected '%s'", found, err.message, fragment);
    cr_assert_not_null(strstr(err.message, fragment), "'%s' lacks '%s'", err.message, fragment);
    cr_assert_eq(strncmp(err.message, "t.bin: ", 7), 0, "'%s' lacks the file", err.message);
    close_bytes(&file);
    cr_assert_eq(alloc_meter_held(), 0, "something was left allocated");
}

struct pickle_case {
    const char *pickle;
    size_t size;
    enum qn_status status;
    const char *fragment;
};

#define CASE(pickle, status, fragment)                                                             \
    { pickle, sizeof(pickle) - 1, status, fragment }
#define BAD(pickle, fragment)         CASE(pickle, QN_BAD_FILE, fragment)
#define UNSUPPORTED(pickle, fragment) CASE(pickle, QN_UNSUPPORTED, fragment)

static void expect_all_refused(const struct pickle_case *cases, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct bytes bytes = zip_of_pickle(cases[i].pickle, cases[i].size, false);
        expect_refused(&bytes, cases[i].status, cases[i].fragment);
        bytes_free(&bytes);
    }
}

#define EXPECT_ALL_REFUSED(cases) expect_all_refused(cases, sizeof cases / sizeof *cases)

/* What a pickle could do to who loads it. */
Test(torch_bad, code) {
    static const struct pickle_case cases[] = {
        UNSUPPORTED("\x80\2cos\nsystem\n" STRING("\2", "ls") "\x85R.",
                    "pickle, byte 2: refers to os.system; of a file of weights only tensors and "
                    "dicts of them are read"),
        UNSUPPORTED(PICKLE(GOOD STRING("\1", "x") "cposix\nsystem\n" STRING("\2", "ls") "\x85R"),
                    "refers to posix.system;"),
        UNSUPPORTED("\x80\2c__builtin__\neval\n.", "refers to __builtin__.eval;"),
        UNSUPPORTED("\x80\2ctorch\nload\n.", "refers to torch.load;"),
        UNSUPPORTED("\x80\2ctorch\nFloatStorage2\n.", "refers to torch.FloatStorage2;"),
        UNSUPPORTED("\x80\2ccollections\0\nOrderedDict\n.", "refers to "),
        UNSUPPORTED("\x80\4\x8c\2os\x8c\6system\x93.", "is of protocol 4; this build reads 2"),
        UNSUPPORTED("\x8c\2os\x8c\6system\x93.", "uses the instruction SHORT_BINUNICODE, which"),
        UNSUPPORTED("(S'ls'\nios\nsystem\n.", "uses the instruction STRING, which weights"),
        UNSUPPORTED("(ios\nsystem\n.", "uses the instruction INST,"),
        UNSUPPORTED("(cos\nsystem\no.", "refers to os.system;"),
        UNSUPPORTED("(ccollections\nOrderedDict\no.", "uses the instruction OBJ,"),
        UNSUPPORTED("ccollections\nOrderedDict\n)\x81.", "uses the instruction NEWOBJ,"),
        UNSUPPORTED("\x82\1.", "uses the instruction EXT1,"),
        UNSUPPORTED("P0\n.", "uses the instruction PERSID,"),
        UNSUPPORTED("ctorch\nFloatStorage\n)R.", "calls torch.FloatStorage"),
        UNSUPPORTED("ctorch\nuint16\n)R.", "calls torch.uint16"),
        UNSUPPORTED("ctorch.storage\nUntypedStorage\n)R.", "calls torch.storage.UntypedStorage"),
    };
    EXPECT_ALL_REFUSED(cases);
}

Test(torch_bad, instructions) {
    static const struct pickle_case cases[] = {
        BAD("", "pickle, byte 0: the pickle ends within it"),
        BAD("\x80", "pickle, byte 0: the pickle ends within it"),
        BAD("}", "pickle, byte 1: the pickle ends within it"),
        BAD("\xff", "0xff is no instruction of a pickle"),
        BAD("K", "the pickle ends within it"),
        BAD("M\1", "the pickle ends within it"),
        BAD("J\1\1\1", "the pickle ends within it"),
        BAD("G\1\1\1\1\1\1\1", "the pickle ends within it"),
        BAD("X\1\0\0", "the pickle ends within it"),
        BAD("X\2\0\0\0a", "the pickle ends within it"),
        BAD("X\xff\xff\xff\xff"
            "a",
            "the pickle ends within it"),
        BAD("\x8a\2\1", "the pickle ends within it"),
        UNSUPPORTED("\x8a\x09\1\1\1\1\1\1\1\1\1.", "has an integer of 9 bytes"),
        BAD("ctorch", "the pickle ends within it"),
        BAD("ctorch\nFloatStorage", "the pickle ends within it"),
        BAD("q", "the pickle ends within it"),
        BAD("}q\1", "pickle, byte 1: keeps value 1 after 0 values"),
        BAD("}r\xff\xff\xff\xff", "keeps value 4294967295 after 0 values"),
        BAD("h\0", "wants value 0 of 0 that were kept"),
        BAD("}q\0j\1\0\0\0", "wants value 1 of 1 that were kept"),
        BAD("q\0", "takes values from an empty stack"),
        BAD("(q\0", "takes a mark for a value"),
        BAD(".", "takes values from an empty stack"),
        BAD("(.", "takes a mark for a value"),
        BAD("t", "needs a mark on the stack"),
        BAD("\x85", "takes values from an empty stack"),
        BAD("N(\x86", "takes a mark for a value"),
        BAD("NN\x87", "takes values from an empty stack"),
        BAD("u", "needs a mark on the stack"),
        BAD("(u", "takes values from an empty stack"),
        BAD("}(Nu", "sets a key without a value"),
        BAD("](NNu", "needs a dict on the stack"),
        BAD("NNs", "takes values from an empty stack"),
        BAD("NNNs", "needs a dict on the stack"),
        BAD("a", "takes values from an empty stack"),
        BAD("}Na", "needs a list on the stack"),
        BAD("}(e", "needs a list on the stack"),
        BAD("](NNNb", "needs a dict on the stack"),
        BAD("NQ", "names a storage by something that is not a tuple"),
        BAD("NR", "takes values from an empty stack"),
        BAD("N)R", "calls what is not a function with arguments"),
        BAD("ccollections\nOrderedDict\nNR", "calls what is not a function with arguments"),
        UNSUPPORTED("ccollections\nOrderedDict\nN\x85R", "calls collections.OrderedDict with arg"),
        UNSUPPORTED("ctorch._utils\n_rebuild_tensor_v2\n)R",
                    "calls torch._utils._rebuild_tensor_v2 with arguments that are not known"),
        UNSUPPORTED("ctorch._utils\n_rebuild_tensor_v3\n(NNNNNNtR",
                    "calls torch._utils._rebuild_tensor_v3 with arguments that are not known"),
        UNSUPPORTED("ctorch._utils\n_rebuild_parameter\nNNN\x87R",
                    "calls torch._utils._rebuild_parameter with arguments that are not known"),
        UNSUPPORTED("ctorch._utils\n_rebuild_parameter\n)R", "with arguments that are not known"),
    };
    EXPECT_ALL_REFUSED(cases);
}

#define NAMED(tensor) PICKLE(STRING("\1", "x") tensor)

Test(torch_bad, tensors) {
    static const struct pickle_case cases[] = {
        BAD("].", "does not hold a dict of tensors"),
        BAD("N.", "does not hold a dict of tensors"),
        BAD(PICKLE(STRING("\2", "x\0") TENSOR(FLOATS, MATRIX)), "has a zero byte in its name"),
        /* storages */
        BAD(NAMED(TENSOR("N", MATRIX)), "tensor 'x': names no storage"),
        BAD(NAMED(TENSOR(")", MATRIX)), "tensor 'x': names no storage"),
        BAD(NAMED(TENSOR(")Q", MATRIX)), "names no storage"),
        BAD(NAMED(TENSOR("(NNNNNtQ", MATRIX)), "names no storage"),
        BAD(NAMED(TENSOR("(Nctorch\nFloatStorage\nNNK\6tQ", MATRIX)), "names no storage"),
        BAD(NAMED(TENSOR("(Nctorch\nFloatStorage\n" STRING("\1", "0") "NNtQ", MATRIX)),
            "names no storage"),
        BAD(NAMED(TENSOR("(Nctorch\nFloatStorage\n" STRING("\1", "0") "NJ\xff\xff\xff\xfftQ",
                         MATRIX)),
            "names no storage"),
        BAD(NAMED(
                TENSOR("(Nctorch\nFloatStorage\n" STRING("\1", "0") "N\x8a\x08\0\0\0\0\0\0\0\x40tQ",
                       MATRIX)),
            "has a storage of 4611686018427387904 elements"),
        BAD(NAMED(TENSOR(STORAGE_OF("torch\nFloatStorage", STRING("\1", "1"), "\6"), MATRIX)),
            "is in a storage that the file does not hold: data/1"),
        BAD(NAMED(TENSOR(STORAGE_OF("torch\nFloatStorage", STRING("\7", "../data"), "\6"), MATRIX)),
            "that the file does not hold: data/../data"),
        BAD(NAMED(TENSOR(STORAGE("FloatStorage", "\5"), VECTOR)),
            "is in a storage of 20 bytes, of which the file holds 24"),
        BAD(NAMED(TENSOR(STORAGE("FloatStorage", "\7"), VECTOR)),
            "is in a storage of 28 bytes, of which the file holds 24"),
        BAD(NAMED(TENSOR(STORAGE("LongStorage", "\4"), VECTOR)),
            "is in a storage of 32 bytes, of which the file holds 24"),
        BAD(NAMED(TENSOR(STORAGE_OF("torch.storage\nUntypedStorage", STRING("\1", "0"), "\x18"),
                         VECTOR)),
            "has no element type"),
        BAD(NAMED(
                TENSOR(STORAGE_OF("collections\nOrderedDict", STRING("\1", "0"), "\x18"), VECTOR)),
            "has no element type"),
        BAD(NAMED(REBUILD("v3", FLOATS, VECTOR, "ctorch\nuint16\n")), "has no element type"),
        BAD(NAMED(REBUILD("v3",
                          STORAGE_OF("torch.storage\nUntypedStorage", STRING("\1", "0"), "\x18"),
                          VECTOR, "ctorch\nFloatStorage\n")),
            "has no element type"),
        /* places */
        BAD(NAMED(TENSOR(FLOATS, "N"
                                 "K\2\x85"
                                 "K\1\x85")),
            "has no offset, shape and strides"),
        BAD(NAMED(TENSOR(FLOATS, "J\xff\xff\xff\xff"
                                 "K\2\x85"
                                 "K\1\x85")),
            "has no offset, shape"),
        BAD(NAMED(TENSOR(FLOATS, "K\0"
                                 "N"
                                 "K\1\x85")),
            "has no offset, shape and strides"),
        BAD(NAMED(TENSOR(FLOATS, "K\0"
                                 "N\x85"
                                 "K\1\x85")),
            "has no offset, shape and strides"),
        BAD(NAMED(TENSOR(FLOATS, "K\0"
                                 "K\2\x85"
                                 "N")),
            "has no offset, shape and strides"),
        BAD(NAMED(TENSOR(FLOATS, "K\0"
                                 "K\2\x85"
                                 "K\1K\1\x86")),
            "has no offset, shape"),
        BAD(NAMED(TENSOR(FLOATS, "K\0"
                                 "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t"
                                 "K\1\x85")),
            "of at most 8 whole numbers"),
        BAD(NAMED(TENSOR(FLOATS, "K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t(K\1K\1K\1K\1K\1K\1K\1K\1K\1t")),
            "of at most 8 whole numbers"),
        BAD(NAMED(TENSOR(FLOATS, "K\0NN")), "has no offset, shape and strides"),
        BAD(NAMED(TENSOR(FLOATS, "K\0"
                                 "\x8a\x08\0\0\0\0\0\0\0\x40K\4\x86"
                                 "K\4K\1\x86")),
            "has a shape whose bytes cannot be counted"),
        BAD(NAMED(TENSOR(FLOATS, "\x8a\x08\0\0\0\0\0\0\0\x40"
                                 "K\2\x85"
                                 "K\1\x85")),
            "has a shape whose bytes cannot be counted"),
        BAD(NAMED(TENSOR(FLOATS, "K\0"
                                 "K\7\x85"
                                 "K\1\x85")),
            "ends at byte 28 of a storage of 24 bytes"),
        BAD(NAMED(TENSOR(FLOATS, "K\5"
                                 "K\2\x85"
                                 "K\1\x85")),
            "ends at byte 28 of a storage of 24 bytes"),
        UNSUPPORTED(NAMED(TENSOR(FLOATS, "K\0"
                                         "K\3K\2\x86"
                                         "K\1K\3\x86")),
                    "tensor 'x': is not contiguous: shape [3, 2], strides [1, 3]; save it after "
                    ".contiguous()"),
        UNSUPPORTED(NAMED(TENSOR(FLOATS, "K\0"
                                         "K\3\x85"
                                         "K\2\x85")),
                    "is not contiguous"),
        UNSUPPORTED(NAMED(TENSOR(FLOATS, "K\0"
                                         "K\3\x85"
                                         "K\0\x85")),
                    "is not contiguous"),
    };
    EXPECT_ALL_REFUSED(cases);
}

/* A key longer than any path that is looked for. */
Test(torch_bad, long_keys) {
    enum { KEY_SIZE = 1000 };
    struct bytes pickle = {0};
    static const char start[] = "\x80\2}(" STRING("\1", "x") "ctorch._utils\n_rebuild_tensor_v2\n("
                                                             "(Nctorch\nFloatStorage\nX\xe8\3\0\0";
    bytes_put(&pickle, start, sizeof start - 1);
    for (int i = 0; i < KEY_SIZE; i++) bytes_put_u8(&pickle, 'k');
    static const char rest[] = "NK\6tQ" VECTOR "\x89NtRu.";
    bytes_put(&pickle, rest, sizeof rest - 1);
    struct bytes file = zip_of_pickle(pickle.data, pickle.size, false);
    expect_refused(&file, QN_BAD_FILE, "that the file does not hold: data/kkkk");
    bytes_free(&file);
    bytes_free(&pickle);
}

/* ---- refused archives ---- */

static const char good_pickle[] = PICKLE(GOOD);

static struct bytes good_file(bool large) {
    return zip_of_pickle(good_pickle, sizeof good_pickle - 1, large);
}

/* Start of record number n (from 0) of a signature's two last bytes. */
static size_t find_record(const struct bytes *file, const char *kind, int n) {
    for (size_t at = 0; at + 4 <= file->size; at++)
        if (memcmp(file->data + at, "PK", 2) == 0 && memcmp(file->data + at + 2, kind, 2) == 0 &&
            n-- == 0)
            return at;
    cr_assert_fail("no record");
    return 0;
}

#define LOCAL   "\3\4"
#define CENTRAL "\1\2"
#define END     "\5\6"
#define END_64  "\6\6"
#define LOCATOR "\6\7"

/* Entries: 0 m/data.pkl, 1 m/byteorder, 2 m/data/0, 3 m/version. */
Test(torch_bad, archives) {
    static const struct {
        const char *kind;
        int n;
        size_t at; /* in the record */
        uint64_t value;
        size_t size; /* of the value */
        bool large;
        enum qn_status status;
        const char *fragment;
    } cases[] = {
        {END, 0, 0, 0, 4, false, QN_BAD_FILE, "is not a zip archive, or is cut off"},
        {END, 0, 20, 1, 2, false, QN_BAD_FILE, "is not a zip archive, or is cut off"},
        {END, 0, 4, 1, 2, false, QN_UNSUPPORTED, "is a zip archive on several disks"},
        {END, 0, 8, 3, 2, false, QN_UNSUPPORTED, "is a zip archive on several disks"},
        {END_64, 0, 16, 1, 4, false, QN_UNSUPPORTED, "is a zip archive on several disks"},
        {END_64, 0, 24, 3, 8, false, QN_UNSUPPORTED, "is a zip archive on several disks"},
        {LOCATOR, 0, 8, 0, 8, false, QN_BAD_FILE, "ZIP64 end record is not where it should be"},
        {LOCATOR, 0, 8, UINT64_MAX, 8, false, QN_BAD_FILE, "is not where it should be"},
        {END_64, 0, 40, UINT64_MAX, 8, false, QN_BAD_FILE, "does not fit before its end"},
        {END_64, 0, 48, UINT64_MAX, 8, false, QN_BAD_FILE, "does not fit before its end"},
        {END_64, 0, 40, 100, 8, false, QN_BAD_FILE, "directory of 4 entries in 100 bytes at"},
        {END_64, 0, 40, 184, 8, false, QN_BAD_FILE, "directory is broken at byte"},
        {CENTRAL, 1, 0, 0, 4, false, QN_BAD_FILE, "directory is broken at byte"},
        {CENTRAL, 3, 28, 500, 2, false, QN_BAD_FILE, "directory ends within the entry at byte"},
        {CENTRAL, 3, 8, 1, 2, false, QN_UNSUPPORTED, "zip entry 'm/version' is encrypted"},
        {CENTRAL, 3, 10, 8, 2, false, QN_UNSUPPORTED,
         "zip entry 'm/version' is compressed, so it cannot be used where it lies"},
        {CENTRAL, 2, 20, 23, 4, false, QN_BAD_FILE, "zip entry 'm/data/0' has two sizes"},
        {CENTRAL, 2, 42, 0x7fffffff, 4, false, QN_BAD_FILE, "'m/data/0' is out of range"},
        {CENTRAL, 2, 42, 1, 4, false, QN_BAD_FILE, "'m/data/0' has no header where the dir"},
        {CENTRAL, 2, 42, 0, 4, false, QN_BAD_FILE, "'m/data/0' is another one in its own header"},
        {LOCAL, 2, 8, 8, 2, false, QN_BAD_FILE, "'m/data/0' is another one in its own header"},
        {LOCAL, 2, 30, 'x', 1, false, QN_BAD_FILE, "'m/data/0' is another one in its own header"},
        {LOCAL, 2, 28, 65535, 2, false, QN_BAD_FILE, "'m/data/0' is out of range"},
        {LOCAL, 2, 28, 90, 2, false, QN_BAD_FILE, "zip entry 'm/version' overlaps"},
        {CENTRAL, 2, 46 + 8 + 7 + 2, 23, 2, true, QN_BAD_FILE,
         "'m/data/0' has a broken extra field"},
        {CENTRAL, 2, 46 + 8 + 7 + 2, 25, 2, true, QN_BAD_FILE,
         "'m/data/0' has a broken extra field"},
        {CENTRAL, 2, 46 + 8 + 7 + 4, 25, 8, true, QN_BAD_FILE, "'m/data/0' has two sizes"},
        {CENTRAL, 2, 46 + 8 + 7 + 20, UINT64_MAX, 8, true, QN_BAD_FILE,
         "'m/data/0' is out of range"},
        {LOCAL, 1, 30 + 11 + 9, 'b', 1, false, QN_UNSUPPORTED, "does not hold little-endian"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes file = good_file(cases[i].large);
        const size_t at = find_record(&file, cases[i].kind, cases[i].n) + cases[i].at;
        memcpy(file.data + at, &cases[i].value, cases[i].size);
        expect_refused(&file, cases[i].status, cases[i].fragment);
        bytes_free(&file);
    }
}

Test(torch_bad, entries) {
    static const struct {
        const char *names[2];
        const char *fragment;
    } cases[] = {
        {{"m/data", "m/data.pk"}, "is a zip archive without NAME/data.pkl, so not from torch.save"},
        {{"data.pkl", "/m/data.pkl"}, "is a zip archive without NAME/data.pkl"},
        {{"m/data.pkl", "n/data.pkl"}, "holds two data.pkl"},
        {{"m/data.pkl", "m/data.pkl"}, "zip entry 'm/data.pkl' is there twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct zip_writer writer = {0};
        for (int k = 0; k < 2; k++) zip_add(&writer, cases[i].names[k], "}.", 2);
        struct bytes file = zip_finish(&writer);
        expect_refused(&file, QN_BAD_FILE, cases[i].fragment);
        bytes_free(&file);
    }
    struct zip_writer writer = {0};
    struct bytes file = zip_finish(&writer);
    expect_refused(&file, QN_BAD_FILE, "is a zip archive without NAME/data.pkl");
    bytes_free(&file);
}

/* 64 MiB are read, and not a byte more. */
Test(torch_bad, pickles_too_large) {
    enum { SIZE = (64 << 20) + 1 };
    uint8_t *const pickle = calloc(SIZE, 1);
    cr_assert_not_null(pickle);
    struct bytes file = zip_of_pickle(pickle, SIZE, false);
    expect_refused(&file, QN_UNSUPPORTED, "pickle, byte 0: has 67108865 bytes, at most 67108864");
    bytes_free(&file);
    file = zip_of_pickle(pickle, SIZE - 1, false);
    expect_refused(&file, QN_BAD_FILE, "pickle, byte 0: 0x00 is no instruction of a pickle");
    bytes_free(&file);
    free(pickle);
}

Test(torch_bad, other_formats) {
    struct bytes file = {0};
    expect_refused(&file, QN_BAD_FILE, "is not a zip archive, or is cut off");
    bytes_put(&file, "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    expect_refused(&file, QN_UNSUPPORTED,
                   "is in the format of PyTorch before 1.6; in Python, torch.save(torch.load(FILE, "
                   "weights_only=True), FILE) brings it up to date");
    bytes_free(&file);
}

/* Cut anywhere, the file is refused: its end is what is read first. */
Test(torch_bad, cut_at_every_byte) {
    struct bytes file = good_file(true);
    while (file.size-- > 0) expect_refused(&file, QN_BAD_FILE, "is not a zip archive, or is cut");
    file.size = 0;
    bytes_free(&file);
}

Test(torch_bad, no_memory) {
    struct bytes bytes = good_file(false);
    for (size_t k = 1;; k++) {
        struct qn_tensor_file file = {.path = strdup("t"), .data = bytes.data, .size = bytes.size};
        struct qn_error err = {0};
        alloc_meter_reset();
        alloc_meter_fail_at(k, 0);
        const enum qn_status status = qn_torch_read(&file, &err);
        const size_t calls = alloc_meter_calls();
        alloc_meter_fail_at(0, 0);
        qn_tensor_file_close(&file);
        if (calls < k) {
            cr_assert_eq(status, QN_OK);
            cr_assert_gt(k, 5, "nothing was made to fail");
            break;
        }
        cr_assert_eq(status, QN_NO_MEMORY, "allocation %zu: %d, %s", k, status, err.message);
    }
    bytes_free(&bytes);
}
