/* SPDX-License-Identifier: Apache-2.0
 *
 * The readers of safetensors and pytorch_model.bin against damaged files: seeded mutations of the
 * whole file, and of its header or pickle within a container that stays right. Every input ends at
 * a page without access, so a read past the end faults in any build.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "alloc_meter.h"
#include "base/arena.h"
#include "formats/safetensors.h"
#include "formats/torch_file.h"
#include "mutate.h"
#include "safetensors_writer.h"
#include "zip_writer.h"

enum { MUTATIONS = 100000, MAX_SIZE = 1 << 16 };

/* The most that a byte of a file can make a reader hold is what an instruction of a pickle does:
 * three values of 16 bytes, in arrays that double (the old one beside the new: three times). */
enum { BYTES_PER_BYTE = 3 * 16 * 3, BYTES_ANYWAY = 16 << 10 };

typedef enum qn_status reader(struct qn_tensor_file *file, struct qn_error *err);

/* Reads every byte of a tensor, so that a sanitizer or the guard page sees a range that is wrong.
 */
static void touch(const struct qn_tensor *tensor) {
    unsigned sum = 0;
    for (size_t i = 0; i < tensor->size; i++) sum += ((const uint8_t *)tensor->data)[i];
    __asm__ volatile("" : : "r"(sum)); /* somebody wants the sum */
}

/* Reads an input that ends where the arena's memory does; true when it is accepted. */
static bool feed(const struct qn_arena *arena, const struct bytes *bytes, reader *read) {
    uint8_t *const place = (uint8_t *)arena->data + arena->size - bytes->size;
    if (bytes->size) memcpy(place, bytes->data, bytes->size);
    char name[] = "fuzz";
    struct qn_tensor_file file = {.path = name, .data = place, .size = bytes->size};
    struct qn_error err = {0};
    alloc_meter_reset();
    const enum qn_status status = read(&file, &err);
    cr_assert((status == QN_OK) == (err.status == QN_OK));
    cr_assert((status == QN_OK) == (err.message[0] == '\0'), "a failure without a sentence");
    cr_assert_neq(status, QN_NO_MEMORY, "%s", err.message);
    for (size_t i = 0; status == QN_OK && i < file.n_tensors; i++) {
        const struct qn_stored_tensor *const stored = &file.tensors[i];
        touch(&stored->tensor);
        if (stored->left_out) continue;
        const uint64_t *const shape = stored->tensor.shape;
        cr_assert_eq(qn_type_row_size(stored->tensor.type, shape[0]) * shape[1] * shape[2] *
                         shape[3],
                     stored->tensor.size);
    }
    file.path = NULL;
    qn_tensor_file_close(&file);
    cr_assert_eq(alloc_meter_held(), 0, "something was left allocated");
    cr_assert_leq(alloc_meter_peak(), BYTES_PER_BYTE * bytes->size + BYTES_ANYWAY);
    return status == QN_OK;
}

static struct qn_arena open_arena(void) {
    struct qn_arena arena;
    struct qn_error err = {0};
    cr_assert_eq(qn_arena_open(MAX_SIZE, false, &arena, &err), QN_OK, "%s", err.message);
    return arena;
}

/* Text and code break at almost any byte; some of these leave them whole. */
static void mutate_with(struct bytes *text, const char *alphabet, size_t n, uint64_t *state) {
    if (text->size == 0) return;
    const size_t at = mutate_pick(state, text->size);
    if (mutate_pick(state, 4) == 0)
        mutate(text, state);
    else
        text->data[at] = (uint8_t)alphabet[mutate_pick(state, n)];
}

/* Of the mutated files some must still open, or the mutations only ever scratch the surface. */
static void check_opened(size_t n) {
    cr_log_info("%zu of %d mutated files opened", n, MUTATIONS);
    cr_assert_gt(n, MUTATIONS / 50);
    cr_assert_lt(n, MUTATIONS / 2);
}

/* ---- safetensors ---- */

#define TENSOR(name, dtype, shape, start, end)                                                     \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #start "," #end \
    "]}"

static const char header[] =
    "{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("weight", "F32", "[2,3]", 0, 24) "," TENSOR(
        "half", "F16", "[4]", 40, 48) "," TENSOR("ids", "I64", "[2]", 24,
                                                 40) "," TENSOR("none", "BF16", "[0]", 48, 48) "}";

Test(folder_fuzz, safetensors) {
    static const char alphabet[] = "0123456789,:[]{}\" -";
    struct qn_arena arena = open_arena();
    size_t n_open = 0;
    for (uint64_t i = 0; i < MUTATIONS; i++) {
        uint64_t state = i;
        const size_t n = 1 + mutate_pick(&state, 3);
        struct bytes text = {0}, file;
        bytes_put(&text, header, sizeof header - 1);
        if (i % 2)
            for (size_t k = 0; k < n; k++)
                mutate_with(&text, alphabet, sizeof alphabet - 1, &state);
        bytes_put_u8(&text, 0);
        file = safetensors_file((const char *)text.data, 48);
        if (i % 2 == 0)
            for (size_t k = 0; k < n; k++) mutate(&file, &state);
        n_open += feed(&arena, &file, qn_safetensors_read);
        bytes_free(&text);
        bytes_free(&file);
    }
    check_opened(n_open);
    qn_arena_close(&arena);
}

/* ---- pytorch_model.bin ---- */

#define STRING(size, text) "X" size "\0\0\0" text
#define STORAGE(class, n)                                                                          \
    "(" STRING("\7", "storage") "ctorch\n" class "\n" STRING("\1", "0") STRING("\3", "cpu") "K" n  \
                                                                                            "tQ"
#define REBUILT(storage, place)                                                                    \
    "ctorch._utils\n_rebuild_tensor_v2\n(" storage place "\x89"                                    \
    "ccollections\nOrderedDict\n)RtR"

static const char pickle[] = "\x80\2ccollections\nOrderedDict\n)Rq\0(" STRING("\6", "weight")
    REBUILT(STORAGE("FloatStorage", "\6"),
            "K\0K\2K\3\x86K\3K\1\x86") "q\1" STRING("\4", "tied") "h\1" STRING("\4", "half")
        REBUILT(STORAGE("HalfStorage", "\x0c"), "K\1K\2\x85K\1\x85")
            STRING("\1", "l") "](K\1K\2eN\x86u}" STRING("\1", "m") "M\1\1sb.";

Test(folder_fuzz, torch) {
    static const char alphabet[] = "()]}.KMNQRabehqstu\x85\x86\x87\x89\0\1\2\3\4";
    struct qn_arena arena = open_arena();
    size_t n_open = 0;
    for (uint64_t i = 0; i < MUTATIONS; i++) {
        uint64_t state = i;
        const size_t n = 1 + mutate_pick(&state, 3);
        struct bytes code = {0}, file;
        bytes_put(&code, pickle, sizeof pickle - 1);
        if (i % 2)
            for (size_t k = 0; k < n; k++)
                mutate_with(&code, alphabet, sizeof alphabet - 1, &state);
        file = zip_of_pickle(code.data, code.size, i % 4 < 2);
        if (i % 2 == 0)
            for (size_t k = 0; k < n; k++) mutate(&file, &state);
        n_open += feed(&arena, &file, qn_torch_read);
        bytes_free(&code);
        bytes_free(&file);
    }
    check_opened(n_open);
    qn_arena_close(&arena);
}

/* The instructions that take the most memory for their bytes, until there is no end of them. */
Test(folder_fuzz, greedy_pickles) {
    static const char *const repeated[] = {"}", "}q", "(", ")", "]", "N\x85", "}NNs"};
    struct qn_arena arena = open_arena();
    for (size_t i = 0; i < sizeof repeated / sizeof *repeated; i++) {
        struct bytes code = {0};
        uint8_t n_kept = 0;
        while (code.size < MAX_SIZE / 2) {
            bytes_put(&code, repeated[i], strlen(repeated[i]));
            if (repeated[i][strlen(repeated[i]) - 1] == 'q') bytes_put_u8(&code, n_kept++);
        }
        struct bytes file = zip_of_pickle(code.data, code.size, false);
        cr_assert_not(feed(&arena, &file, qn_torch_read));
        bytes_free(&code);
        bytes_free(&file);
    }
    qn_arena_close(&arena);
}

/* One long name for thousands of tensors: the names must not be copied before they are counted. */
Test(folder_fuzz, greedy_names) {
    enum { NAME_SIZE = 1000 };
    struct qn_arena arena = open_arena();
    struct bytes code = {0};
    bytes_put(&code, "\x80\2}(X\xe8\3\0\0", 9);
    for (int i = 0; i < NAME_SIZE; i++) bytes_put_u8(&code, 'n');
    static const char tensor[] = "q\0" REBUILT(STORAGE("FloatStorage", "\6"), "K\0))") "q\1";
    bytes_put(&code, tensor, sizeof tensor - 1);
    while (code.size < MAX_SIZE / 2) bytes_put(&code, "h\0h\1", 4);
    bytes_put(&code, "u.", 2);
    struct bytes file = zip_of_pickle(code.data, code.size, false);
    cr_assert_not(feed(&arena, &file, qn_torch_read));
    bytes_free(&code);
    bytes_free(&file);
    qn_arena_close(&arena);
}
