/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of packed weights: what is written comes back, what is damaged or of something else does
 * not, and whoever writes at the same time does no harm.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "kernels/pack.h"
#include "models/packed_file.h"
#include "temp_folder.h"

/* Three chunks of 4 MiB, the last one short and odd. */
enum { SIZE = (9 << 20) + 12345, WEIGHTS_AT = 2 << 20, HEADER_SIZE = 64, N_HASHES = 3 };

static const struct qn_packed_key the_key = {
    .version = 7, .tile_rows = 16, .files = 123, .layout = 456, .size = SIZE};

struct fixture {
    struct temp_folder folder;
    char path[128];
    struct qn_topology topology;
    struct qn_pool *pool;
    char *data; /* [SIZE] */
};

/* xorshift64*, so that a failure can be repeated by its seed. */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 2685821657736338717u;
}

static void fill(char *data, uint64_t seed) {
    for (size_t i = 0; i + 8 <= SIZE; i += 8) {
        const uint64_t word = next_random(&seed);
        memcpy(data + i, &word, 8);
    }
}

static struct fixture setup(void) {
    struct fixture f = {.folder = temp_folder_make(), .data = calloc(1, SIZE)};
    const struct qn_pool_options options = {.n_threads = 2};
    snprintf(f.path, sizeof f.path, "%s/w.packed", f.folder.path);
    fill(f.data, 1);
    cr_assert_eq(qn_topology_read(NULL, &f.topology, NULL), QN_OK);
    cr_assert_eq(qn_pool_new(&f.topology, &options, &f.pool, NULL), QN_OK);
    return f;
}

static void teardown(struct fixture *f) {
    qn_pool_free(f->pool);
    qn_topology_free(&f->topology);
    free(f->data);
    temp_folder_remove(&f->folder);
}

static void write_file(const struct fixture *f) {
    struct qn_error err;
    cr_assert_eq(qn_packed_file_write(f->path, &the_key, f->pool, f->data, &err), QN_OK, "%s",
                 err.message);
}

static enum qn_status open_file(const struct fixture *f, const struct qn_packed_key *key,
                                struct qn_arena *arena, struct qn_error *err) {
    const struct qn_packed_reader reader = {.pool = f->pool, .huge_pages = true};
    return qn_packed_file_open(f->path, key, &reader, arena, err);
}

static void accepts(const struct fixture *f, const char *data) {
    struct qn_arena arena;
    struct qn_error err;
    cr_assert_eq(open_file(f, &the_key, &arena, &err), QN_OK, "%s", err.message);
    cr_assert_eq((uintptr_t)arena.data % (2 << 20), 0);
    cr_assert_eq(arena.size, SIZE);
    cr_assert_eq(memcmp(arena.data, data, SIZE), 0);
    qn_arena_close(&arena);
}

static void refuses(const struct fixture *f, const struct qn_packed_key *key,
                    enum qn_status expected, const char *fragment) {
    struct qn_arena arena;
    struct qn_error err = {0};
    cr_assert_eq(open_file(f, key, &arena, &err), expected, "'%s'", err.message);
    cr_assert_not_null(strstr(err.message, fragment), "'%s' lacks '%s'", err.message, fragment);
    cr_assert_not_null(strstr(err.message, f->path), "'%s' lacks the path", err.message);
    cr_assert_null(arena.data);
}

static size_t count_files(const struct fixture *f) {
    char command[160];
    size_t n = 0;
    snprintf(command, sizeof command, "ls -A %s | wc -l", f->folder.path);
    FILE *const out = popen(command, "r");
    cr_assert_eq(fscanf(out, "%zu", &n), 1);
    pclose(out);
    return n;
}

/* ---- whole ---- */

Test(packed_file, comes_back) {
    struct fixture f = setup();
    refuses(&f, &the_key, QN_NOT_FOUND, "No such file");
    write_file(&f);
    accepts(&f, f.data);
    struct stat info;
    cr_assert_eq(stat(f.path, &info), 0);
    cr_assert_eq(info.st_mode & 0777, 0600);
    cr_assert_eq(info.st_size, WEIGHTS_AT + SIZE);
    cr_assert_eq(count_files(&f), 1);
    teardown(&f);
}

static bool stop_at_once(void *context, double done) {
    *(double *)context = done;
    return false;
}

Test(packed_file, can_be_stopped) {
    struct fixture f = setup();
    write_file(&f);
    double done = 0;
    struct qn_arena arena;
    const struct qn_packed_reader reader = {
        .pool = f.pool, .progress = stop_at_once, .progress_context = &done};
    cr_assert_eq(qn_packed_file_open(f.path, &the_key, &reader, &arena, NULL), QN_CANCELLED);
    cr_assert_null(arena.data);
    cr_assert(done > 0 && done <= 1, "%g", done);
    teardown(&f);
}

/* ---- of something else ---- */

Test(packed_file, of_another_key_is_refused) {
    struct fixture f = setup();
    write_file(&f);
    static const struct {
        struct qn_packed_key key;
        const char *why;
    } cases[] = {
        {{8, 16, 123, 456, SIZE}, "another version of Quern"},
        {{7, 8, 123, 456, SIZE}, "other kernels"},
        {{7, 16, 124, 456, SIZE}, "files that have changed"},
        {{7, 16, 123, 457, SIZE}, "other types or shapes"},
        {{7, 16, 123, 456, SIZE - 1}, "other types or shapes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(&f, &cases[i].key, QN_BAD_FILE, cases[i].why);
    accepts(&f, f.data);
    teardown(&f);
}

Test(packed_file, that_others_may_write_is_refused) {
    struct fixture f = setup();
    write_file(&f);
    cr_assert_eq(chmod(f.path, 0620), 0);
    refuses(&f, &the_key, QN_IO, "others than you");
    cr_assert_eq(chmod(f.path, 0600), 0);
    accepts(&f, f.data);
    teardown(&f);
}

Test(packed_file, not_a_file) {
    struct fixture f = setup();
    temp_folder_put_text(&f.folder, "w.packed", "not what was expected");
    cr_assert_eq(chmod(f.path, 0600), 0);
    refuses(&f, &the_key, QN_BAD_FILE, "is not a file of packed weights");
    unlink(f.path);
    cr_assert_eq(mkfifo(f.path, 0600), 0);
    refuses(&f, &the_key, QN_IO, "is not a regular file"); /* and does not wait for a writer */
    unlink(f.path);
    cr_assert_eq(symlink("/etc/hostname", f.path), 0);
    refuses(&f, &the_key, QN_IO, "cannot be opened");
    teardown(&f);
}

/* ---- damaged ---- */

Test(packed_file, truncated_is_refused) {
    struct fixture f = setup();
    static const size_t sizes[] = {
        WEIGHTS_AT + SIZE + 1, WEIGHTS_AT + SIZE - 1, WEIGHTS_AT, HEADER_SIZE + 8,
        HEADER_SIZE,           HEADER_SIZE - 1,       8,          0};
    write_file(&f);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        cr_assert_eq(truncate(f.path, (off_t)sizes[i]), 0);
        refuses(&f, &the_key, QN_BAD_FILE, "w.packed: ");
    }
    teardown(&f);
}

static void flip(const struct fixture *f, size_t at, int bit) {
    FILE *const file = fopen(f->path, "r+b");
    cr_assert_eq(fseek(file, (long)at, SEEK_SET), 0);
    const int byte = fgetc(file);
    cr_assert_eq(fseek(file, (long)at, SEEK_SET), 0);
    fputc(byte ^ 1 << bit, file);
    cr_assert_eq(fclose(file), 0);
}

/* Any one bit of header, hashes and weights; the zeros between are nobody's. */
Test(packed_file, flipped_bits_are_found) {
    struct fixture f = setup();
    write_file(&f);
    uint64_t random = 99;
    enum { N_META = HEADER_SIZE + 8 * N_HASHES, N_FLIPS = 200 };
    for (size_t i = 0; i < N_META + N_FLIPS; i++) {
        const size_t at = i < N_META ? i : WEIGHTS_AT + next_random(&random) % SIZE;
        const int bit = (int)(next_random(&random) % 8);
        flip(&f, at, bit);
        refuses(&f, &the_key, QN_BAD_FILE, at < 8 ? "is not a file" : "damaged");
        flip(&f, at, bit);
    }
    static const size_t edges[] = {0, (4 << 20) - 1, 4 << 20, 8 << 20, SIZE - 1};
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        flip(&f, WEIGHTS_AT + edges[i], 0);
        refuses(&f, &the_key, QN_BAD_FILE, "damaged between bytes");
        flip(&f, WEIGHTS_AT + edges[i], 0);
    }
    accepts(&f, f.data);
    teardown(&f);
}

/* ---- writing ---- */

/* Who has mapped a file keeps it when another takes its place. */
Test(packed_file, replaced_while_mapped) {
    struct fixture f = setup();
    char *const other = calloc(1, SIZE);
    fill(other, 2);
    write_file(&f);
    struct qn_arena arena;
    cr_assert_eq(open_file(&f, &the_key, &arena, NULL), QN_OK);
    cr_assert_eq(qn_packed_file_write(f.path, &the_key, f.pool, other, NULL), QN_OK);
    cr_assert_eq(memcmp(arena.data, f.data, SIZE), 0);
    qn_arena_close(&arena);
    accepts(&f, other);
    free(other);
    teardown(&f);
}

/* Processes that write the same file over and over; a reader sees one of the two, whole. */
Test(packed_file, two_write_at_once) {
    enum { N_WRITES = 15 };
    struct fixture f = setup();
    char *const other = calloc(1, SIZE);
    fill(other, 2);
    write_file(&f);
    pid_t writers[2];
    for (int w = 0; w < 2; w++) {
        writers[w] = fork();
        cr_assert_geq(writers[w], 0);
        if (writers[w] != 0) continue;
        struct qn_pool *pool; /* threads do not survive fork */
        const struct qn_pool_options options = {.n_threads = 2};
        int status = qn_pool_new(&f.topology, &options, &pool, NULL) != QN_OK;
        for (int i = 0; i < N_WRITES && status == 0; i++)
            status = qn_packed_file_write(f.path, &the_key, pool, w ? other : f.data, NULL);
        _exit(status);
    }
    for (int i = 0; i < N_WRITES; i++) {
        struct qn_arena arena;
        struct qn_error err;
        cr_assert_eq(open_file(&f, &the_key, &arena, &err), QN_OK, "%s", err.message);
        cr_assert(memcmp(arena.data, f.data, SIZE) == 0 || memcmp(arena.data, other, SIZE) == 0);
        qn_arena_close(&arena);
    }
    for (int w = 0; w < 2; w++) {
        int status;
        cr_assert_eq(waitpid(writers[w], &status, 0), writers[w]);
        cr_assert_eq(status, 0);
    }
    cr_assert_eq(count_files(&f), 1, "temporary files are left");
    free(other);
    teardown(&f);
}

/* A limit on the size of files stands for a full disk; the old file stays. */
Test(packed_file, no_space_leaves_nothing) {
    struct fixture f = setup();
    struct qn_error err;
    const struct rlimit limit = {WEIGHTS_AT + SIZE / 2, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(qn_packed_file_write(f.path, &the_key, f.pool, f.data, &err), QN_IO);
    cr_assert_not_null(strstr(err.message, "cannot be kept: File too large"), "%s", err.message);
    cr_assert_eq(count_files(&f), 0);
    teardown(&f);
}

Test(packed_file, no_folder) {
    struct fixture f = setup();
    struct qn_error err;
    char path[sizeof f.folder.path + 16];
    snprintf(path, sizeof path, "%s/none/w", f.folder.path);
    cr_assert_eq(qn_packed_file_write(path, &the_key, f.pool, f.data, &err), QN_IO);
    cr_assert_not_null(strstr(err.message, "cannot be kept"), "%s", err.message);
    teardown(&f);
}

/* ---- the packed format ---- */

enum { N_ROWS = 19, K = 512 };

static uint64_t hash_packed(enum qn_type type, int tile_rows) {
    const size_t row_size = qn_type_row_size(type, K);
    const size_t tiles = (size_t)((N_ROWS + tile_rows - 1) / tile_rows);
    const size_t size = tiles * qn_pack_tile_size(type, tile_rows, K);
    unsigned char *const rows = malloc(N_ROWS * row_size);
    void *const packed = aligned_alloc(64, size);
    uint64_t random = 5;
    memset(packed, 0, size);
    for (size_t i = 0; i < N_ROWS * row_size; i++) rows[i] = (unsigned char)next_random(&random);
    qn_pack_rows(type, tile_rows, K, rows, row_size, N_ROWS, 0, N_ROWS, packed);
    const uint64_t hash = qn_hash(packed, size, 0);
    free(rows);
    free(packed);
    return hash;
}

/* What the format's version stands for. Where one of these changes, raise QN_PACK_VERSION: files
 * packed before hold other bytes. */
Test(pack_version, stands_for_these_bytes) {
    static const struct {
        enum qn_type type;
        uint64_t hashes[2]; /* of tiles of 8 and of 16 rows */
    } expected[] = {
        {QN_TYPE_F32, {0x38a0278a79dac8b6, 0x35ddb45be116e31f}},
        {QN_TYPE_F16, {0xe76e5ce5318b76ce, 0x579b19687f992bd9}},
        {QN_TYPE_BF16, {0x065b774006239084, 0x29ff378550b2ef5b}},
        {QN_TYPE_Q8_0, {0x46226e6c65e15e3e, 0x12852c018a2c61b2}},
        {QN_TYPE_Q4_0, {0x5c115948b4798a22, 0xaee118066e88dd71}},
        {QN_TYPE_Q4_1, {0xf084b291ebb6dd26, 0x9e9bbe4100b41385}},
        {QN_TYPE_Q5_0, {0x0b9bffba75e50b88, 0xeedefa3957efe6dc}},
        {QN_TYPE_Q5_1, {0xefd23980c13fe7a4, 0xe49f3caad43c4e43}},
        {QN_TYPE_Q2_K, {0xc0f5f7e38fc3d351, 0xd80ae909aed9e8e0}},
        {QN_TYPE_Q3_K, {0x7e0779c1c14672d6, 0xe8e8389405f57a95}},
        {QN_TYPE_Q4_K, {0x098f749a4bba6b13, 0xc8b7ce67286f5cf4}},
        {QN_TYPE_Q5_K, {0xe04b1547394a4dbb, 0x54ac32e7b43a531c}},
        {QN_TYPE_Q6_K, {0x142e9f6f3820b481, 0x2d998268d6056fcf}},
        {QN_TYPE_IQ4_NL, {0x5c115948b4798a22, 0xaee118066e88dd71}},
        {QN_TYPE_IQ4_XS, {0xcd7ced6898c39d7e, 0x16c46ca627150e72}},
        {QN_TYPE_I16, {0xeb8f88f3c8c20f09, 0xe00350c74dcbaadf}},
        {QN_TYPE_Q8_I16, {0x848ee25c80efceeb, 0x10ee844dec347b59}},
        {QN_TYPE_Q6_I16, {0x8899414a32af6799, 0xa3be065e0acf3787}},
    };
    cr_assert_eq(QN_PACK_VERSION, 3, "this table is of version 3");
    cr_assert_eq(sizeof expected / sizeof *expected, (size_t)QN_TYPE_COUNT, "a type is missing");
    for (int t = 0; t < QN_TYPE_COUNT; t++)
        for (int i = 0; i < 2; i++)
            cr_expect_eq(hash_packed(expected[t].type, 8 << i), expected[t].hashes[i],
                         "%s, tiles of %d: 0x%016llx", qn_type_infos[expected[t].type].name, 8 << i,
                         (unsigned long long)hash_packed(expected[t].type, 8 << i));
}
