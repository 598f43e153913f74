/* SPDX-License-Identifier: Apache-2.0
 *
 * Status, checked arithmetic, arena and file maps.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/file_map.h"
#include "base/hash.h"
#include "base/new_file.h"
#include "base/status.h"
#include "temp_folder.h"

Test(status, fills_the_record) {
    struct qn_error err;
    cr_assert_eq(qn_fail(&err, QN_BAD_FILE, "%s has %d", "x", 3), QN_BAD_FILE);
    cr_assert_eq(err.status, QN_BAD_FILE);
    cr_assert_str_eq(err.message, "x has 3");
}

Test(status, needs_no_record) {
    cr_assert_eq(qn_fail(NULL, QN_IO, "x"), QN_IO);
}

Test(status, cuts_long_messages) {
    char text[2000];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    struct qn_error err;
    qn_fail(&err, QN_IO, "%s", text);
    cr_assert_eq(strlen(err.message), sizeof err.message - 1);
}

Test(status, hides_what_a_terminal_obeys) {
    struct qn_error err;
    qn_fail(&err, QN_IO, "%s",
            "a\033[2Jb\nc\x7f"
            "d\xc3\xa9");
    cr_assert_str_eq(err.message, "a?[2Jb?c?d\xc3\xa9");
}

static enum qn_status outer(enum qn_status inner, int *reached) {
    QN_TRY(inner);
    *reached = 1;
    return QN_OK;
}

Test(status, try_forwards) {
    int reached = 0;
    cr_assert_eq(outer(QN_IO, &reached), QN_IO);
    cr_assert_eq(reached, 0);
    cr_assert_eq(outer(QN_OK, &reached), QN_OK);
    cr_assert_eq(reached, 1);
}

Test(checked, add_at_the_edge) {
    size_t sum;
    cr_assert(qn_checked_add(SIZE_MAX - 1, 1, &sum));
    cr_assert_eq(sum, SIZE_MAX);
    cr_assert_not(qn_checked_add(SIZE_MAX, 1, &sum));
    cr_assert_not(qn_checked_add(1, SIZE_MAX, &sum));
    cr_assert(qn_checked_add(SIZE_MAX, 0, &sum));
}

Test(checked, mul_at_the_edge) {
    size_t product;
    const size_t root = (size_t)1 << 32;
    cr_assert_not(qn_checked_mul(root, root, &product));
    cr_assert(qn_checked_mul(root - 1, root + 1, &product));
    cr_assert_eq(product, SIZE_MAX);
    cr_assert(qn_checked_mul(0, SIZE_MAX, &product));
    cr_assert_eq(product, 0);
    cr_assert_not(qn_checked_mul(2, SIZE_MAX / 2 + 1, &product));
}

Test(checked, align_at_the_edge) {
    size_t aligned;
    cr_assert(qn_checked_align(0, 32, &aligned));
    cr_assert_eq(aligned, 0);
    cr_assert(qn_checked_align(1, 32, &aligned));
    cr_assert_eq(aligned, 32);
    cr_assert(qn_checked_align(32, 32, &aligned));
    cr_assert_eq(aligned, 32);
    cr_assert(qn_checked_align(SIZE_MAX - 31, 32, &aligned));
    cr_assert_eq(aligned, SIZE_MAX - 31);
    for (size_t a = SIZE_MAX - 30; a != 0; a++) cr_assert_not(qn_checked_align(a, 32, &aligned));
}

Test(arena, is_aligned_and_zero) {
    const size_t sizes[] = {1, 4095, 4096, 4097, (2 << 20) - 1, 2 << 20, (2 << 20) + 1};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct qn_arena arena;
        struct qn_error err;
        cr_assert_eq(qn_arena_open(sizes[i], i % 2, &arena, &err), QN_OK, "%s", err.message);
        cr_assert_eq((uintptr_t)arena.data % (2 << 20), 0);
        cr_assert_eq(arena.size, sizes[i]);
        cr_assert_geq(arena.mapped, sizes[i]);
        for (size_t at = 0; at < sizes[i]; at++) cr_assert_eq(arena.data[at], 0);
        memset(arena.data, 0xff, sizes[i]);
        qn_arena_close(&arena);
        cr_assert_null(arena.data);
        qn_arena_close(&arena);
    }
}

Test(arena, of_nothing) {
    struct qn_arena arena;
    cr_assert_eq(qn_arena_open(0, true, &arena, NULL), QN_OK);
    cr_assert_null(arena.data);
    cr_assert_eq(qn_arena_huge_size(&arena), 0);
    qn_arena_close(&arena);
}

Test(arena, too_large_is_an_error) {
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4096, (size_t)1 << 60};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct qn_arena arena;
        struct qn_error err;
        cr_assert_eq(qn_arena_open(sizes[i], true, &arena, &err), QN_NO_MEMORY);
        cr_assert_not_null(strstr(err.message, "of memory"));
        cr_assert_null(arena.data);
        qn_arena_close(&arena);
    }
}

/* Two megabytes that were touched are backed by one huge page or by none: the answer is a whole
 * number of huge pages, at most what was asked for, and nothing before the first touch. */
/* The page around the offset alone is of small ones; at a page's edge there is nothing to split. */
Test(arena, pages_are_split_where_asked) {
    const size_t page = (size_t)2 << 20;
    struct qn_arena whole, split;
    cr_assert_eq(qn_arena_open(4 * page, true, &whole, NULL), QN_OK);
    cr_assert_eq(qn_arena_open(4 * page, true, &split, NULL), QN_OK);
    qn_arena_split(&split, page + 4096);
    qn_arena_split(&split, 2 * page);
    qn_arena_split(&split, 4 * page + 1);
    memset(whole.data, 1, whole.size);
    memset(split.data, 1, split.size);
    if (qn_arena_huge_size(&whole) == whole.size)
        cr_assert_leq(qn_arena_huge_size(&split), 3 * page);
    for (size_t at = 0; at < split.size; at++) cr_assert_eq(split.data[at], 1);
    qn_arena_close(&whole);
    qn_arena_close(&split);
}

Test(arena, huge_pages_are_read_back) {
    struct qn_arena arena;
    const size_t size = 8 << 20;
    cr_assert_eq(qn_arena_open(size, true, &arena, NULL), QN_OK);
    cr_assert_eq(qn_arena_huge_size(&arena), 0);
    memset(arena.data, 1, size);
    const size_t huge = qn_arena_huge_size(&arena);
    cr_assert_eq(huge % (2 << 20), 0);
    cr_assert_leq(huge, size);
    cr_assert(arena.huge_pages || huge == 0);
    qn_arena_close(&arena);
}

Test(arena, ends_at_a_guard, .signal = SIGSEGV) {
    struct qn_arena arena;
    cr_assert_eq(qn_arena_open(4096, false, &arena, NULL), QN_OK);
    signal(SIGSEGV, SIG_DFL); /* a sanitizer would report it in its own way */
    *(volatile char *)(arena.data + 4096) = 1;
}

Test(arena, begins_after_a_guard, .signal = SIGSEGV) {
    struct qn_arena arena;
    cr_assert_eq(qn_arena_open(4096, false, &arena, NULL), QN_OK);
    signal(SIGSEGV, SIG_DFL);
    *(volatile char *)(arena.data - 1) = 1;
}

static void make_file(char *path, const char *contents) {
    const int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    const size_t size = strlen(contents);
    cr_assert_eq(write(fd, contents, size), (ssize_t)size);
    close(fd);
}

Test(file_map, maps_a_file) {
    char path[] = "/tmp/quern-unit-XXXXXX";
    make_file(path, "contents");
    struct qn_file_map map;
    struct qn_error err;
    cr_assert_eq(qn_file_map_open(path, &map, &err), QN_OK, "%s", err.message);
    cr_assert_eq(map.size, 8);
    cr_assert_eq(memcmp(map.data, "contents", 8), 0);
    qn_file_map_prefetch(&map, 0, 8);
    qn_file_map_release(&map, 3, 2);
    qn_file_map_release(&map, 7, SIZE_MAX);
    cr_assert_eq(memcmp(map.data, "contents", 8), 0);
    cr_assert_eq(qn_file_map_check(&map, path, &err), QN_OK);
    qn_file_map_close(&map);
    cr_assert_null(map.data);
    qn_file_map_close(&map);
    unlink(path);
}

Test(file_map, notices_change) {
    char path[] = "/tmp/quern-unit-XXXXXX";
    make_file(path, "contents");
    struct qn_file_map map;
    struct qn_error err;
    cr_assert_eq(qn_file_map_open(path, &map, NULL), QN_OK);
    const struct timespec later[2] = {{.tv_sec = map.modified.tv_sec + 5},
                                      {.tv_sec = map.modified.tv_sec + 5}};
    cr_assert_eq(utimensat(AT_FDCWD, path, later, 0), 0);
    cr_assert_eq(qn_file_map_check(&map, path, &err), QN_IO);
    cr_assert_not_null(strstr(err.message, "was written"));
    cr_assert_eq(truncate(path, 3), 0);
    cr_assert_eq(qn_file_map_check(&map, path, &err), QN_IO);
    cr_assert_not_null(strstr(err.message, "it had 8 bytes, now 3"));
    qn_file_map_close(&map);
    unlink(path);
}

static void refuses(const char *path, enum qn_status status, const char *fragment) {
    struct qn_file_map map;
    struct qn_error err = {0};
    cr_assert_eq(qn_file_map_open(path, &map, &err), status);
    cr_assert_not_null(strstr(err.message, fragment), "'%s' lacks '%s'", err.message, fragment);
    cr_assert_not_null(strstr(err.message, path), "'%s' lacks the path", err.message);
    cr_assert_null(map.data);
}

Test(file_map, refuses_what_is_no_file) {
    refuses("/tmp", QN_IO, "is a folder");
    refuses("/dev/null", QN_IO, "is not a regular file");
    refuses("/tmp/quern-there-is-no-such-file", QN_NOT_FOUND, "No such file");
    char empty[] = "/tmp/quern-unit-XXXXXX";
    make_file(empty, "");
    refuses(empty, QN_IO, "is empty");
    unlink(empty);
    char pipe[] = "/tmp/quern-unit-XXXXXX";
    make_file(pipe, "");
    unlink(pipe);
    cr_assert_eq(mkfifo(pipe, 0600), 0);
    refuses(pipe, QN_IO, "is not a regular file"); /* and does not wait for a writer */
    unlink(pipe);
}

/* ---- new files -------------------------------------------------------------------------- */

static void contents_are(const char *path, const char *expected) {
    char text[16] = "";
    FILE *const file = fopen(path, "r");
    cr_assert_not_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    cr_assert_str_eq(text, expected);
}

Test(new_file, takes_the_place_when_it_is_whole) {
    const struct temp_folder folder = temp_folder_make();
    char path[128];
    struct qn_new_file file;
    snprintf(path, sizeof path, "%s", temp_folder_path(&folder, "x"));
    temp_folder_put_text(&folder, "x", "older");
    temp_folder_put_text(&folder, "x.000000", "of another");
    for (int reason = ENOSPC; reason >= 0; reason -= ENOSPC) {
        cr_assert_eq(qn_new_file_open(&file, path), 0);
        cr_assert_eq(write(file.fd, "newer", 5), 5);
        contents_are(path, "older");
        cr_assert_eq(qn_new_file_end(&file, path, reason), reason);
        contents_are(path, reason != 0 ? "older" : "newer");
        cr_assert_neq(access(file.temporary, F_OK), 0);
    }
    contents_are(temp_folder_path(&folder, "x.000000"), "of another");
    temp_folder_remove(&folder);
}

Test(new_file, needs_a_folder_and_a_short_name) {
    struct qn_new_file file;
    char name[PATH_MAX];
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    cr_assert_eq(qn_new_file_open(&file, "/no/such/folder/x"), ENOENT);
    cr_assert_eq(qn_new_file_open(&file, name), ENAMETOOLONG);
}

/* ---- hash ------------------------------------------------------------------------------- */

/* Published values of XXH64: no stripes, a tail of four bytes, a whole stripe and a tail. */
Test(hash, is_xxh64) {
    static const struct {
        const char *text;
        uint64_t hash;
    } known[] = {{"", 0xef46db3751d8e999},
                 {"a", 0xd24ec4f1a98c6e5b},
                 {"abc", 0x44bc2cf5ad770999},
                 {"Nobody inspects the spammish repetition", 0xfbcea83c8a378bf1}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        cr_expect_eq(qn_hash(known[i].text, strlen(known[i].text), 0), known[i].hash, "'%s'",
                     known[i].text);
}

Test(hash, depends_on_the_seed) {
    cr_assert_neq(qn_hash("abc", 3, 0), qn_hash("abc", 3, 1));
}
