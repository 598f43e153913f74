/* SPDX-License-Identifier: Apache-2.0
 *
 * The GGUF reader against damaged files: cut at every byte, every byte of a header changed, and
 * tens of thousands of seeded mutations that know where the numbers are. Every input ends at a
 * page without access, so a read past the end faults in any build. What must hold is in
 * fuzz_gguf.c; here memory is bounded too.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc_meter.h"
#include "base/arena.h"
#include "formats/gguf.h"
#include "fuzz_gguf.h"
#include "gguf_writer.h"
#include "mutate.h"

enum { MUTATIONS = 60000, MAX_SIZE = 1 << 16 };

/* Feeds an input that ends where the arena's memory does. */
static void feed(const struct qn_arena *arena, const uint8_t *data, size_t size) {
    uint8_t *place = (uint8_t *)arena->data + arena->size - size;
    memcpy(place, data, size);
    alloc_meter_reset();
    LLVMFuzzerTestOneInput(place, size);
    cr_assert_eq(alloc_meter_held(), 0, "something was left allocated");
    cr_assert_leq(alloc_meter_peak(), 4 * size + (8 << 20));
}

static struct qn_arena open_arena(void) {
    struct qn_arena arena;
    struct qn_error err = {0};
    cr_assert_eq(qn_arena_open(MAX_SIZE, false, &arena, &err), QN_OK, "%s", err.message);
    return arena;
}

/* Cut anywhere, the tiny model is refused, and the message says that bytes are missing. */
Test(gguf_fuzz, cut_at_every_byte) {
    struct qn_arena arena = open_arena();
    struct bytes file = gguf_tiny_model(3);
    for (size_t size = 0; size < file.size; size++) {
        feed(&arena, file.data, size);
        struct qn_gguf *gguf;
        struct qn_error err = {0};
        const uint8_t *end = (const uint8_t *)arena.data + arena.size;
        cr_assert_eq(qn_gguf_open_memory(end - size, size, "cut", &gguf, &err), QN_BAD_FILE,
                     "%zu of %zu bytes", size, file.size);
        cr_assert(strstr(err.message, "the file ends within") || strstr(err.message, " more") ||
                      strstr(err.message, "which are cut off"),
                  "%zu bytes: %s", size, err.message);
        cr_assert_not_null(strstr(err.message, "byte "));
    }
    bytes_free(&file);
    qn_arena_close(&arena);
}

Test(gguf_fuzz, every_byte_of_a_header_changed) {
    struct qn_arena arena = open_arena();
    for (uint32_t version = 2; version <= 3; version++) {
        struct bytes file = gguf_tiny_model(version);
        for (size_t at = 0; at < file.size; at++) {
            const uint8_t before = file.data[at];
            const uint8_t changes[] = {0, 0xff, before ^ 0x80, before + 1, before - 1};
            for (size_t i = 0; i < sizeof changes; i++) {
                file.data[at] = changes[i];
                feed(&arena, file.data, file.size);
            }
            file.data[at] = before;
        }
        bytes_free(&file);
    }
    qn_arena_close(&arena);
}

/* ---- mutations ---- */

static struct bytes seed_file(size_t which) {
    struct gguf_writer w;
    if (which < 2) return gguf_tiny_model(2 + (uint32_t)which);
    gguf_writer_init(&w);
    if (which == 2) { /* a vocabulary alone */
        static const char *const tokens[] = {"<s>", "</s>", "a", "b", "ab"};
        gguf_key_string(&w, "tokenizer.ggml.model", "gpt2");
        gguf_key_strings(&w, "tokenizer.ggml.tokens", tokens, 5);
        gguf_key_strings(&w, "tokenizer.ggml.merges", (const char *const[]){"a b"}, 1);
    } else { /* many small tensors of every type */
        static const struct {
            uint32_t type;
            uint64_t row, size;
        } types[] = {{0, 4, 16},     {1, 4, 8},      {2, 32, 18},   {3, 32, 20},    {6, 32, 22},
                     {7, 32, 24},    {8, 32, 34},    {10, 256, 84}, {11, 256, 110}, {12, 256, 144},
                     {13, 256, 176}, {14, 256, 210}, {20, 32, 18},  {23, 256, 136}, {30, 4, 8}};
        char name[16];
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            snprintf(name, sizeof name, "blk.%zu.w", i);
            gguf_tensor(&w, name, 2, (const uint64_t[]){types[i].row, 2}, types[i].type, NULL,
                        2 * types[i].size);
        }
    }
    return gguf_writer_finish(&w);
}

/* Of the mutated files some must still open, or the mutations only ever scratch the surface. */
Test(gguf_fuzz, mutations) {
    struct qn_arena arena = open_arena();
    size_t n_open = 0;
    for (uint64_t i = 0; i < MUTATIONS; i++) {
        uint64_t state = i;
        struct bytes file = seed_file(mutate_pick(&state, 4));
        const size_t n = 1 + mutate_pick(&state, 3);
        for (size_t k = 0; k < n; k++) mutate(&file, &state);
        feed(&arena, file.data, file.size);
        struct qn_gguf *gguf;
        n_open += qn_gguf_open_memory(file.data, file.size, "m", &gguf, NULL) == QN_OK;
        qn_gguf_close(gguf);
        bytes_free(&file);
    }
    cr_log_info("%zu of %d mutated files opened", n_open, MUTATIONS);
    cr_assert_gt(n_open, MUTATIONS / 50);
    cr_assert_lt(n_open, MUTATIONS / 2);
    qn_arena_close(&arena);
}
