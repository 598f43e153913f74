/* SPDX-License-Identifier: Apache-2.0 */
#include "models/packed_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/hash.h"
#include "base/new_file.h"

enum { CHUNK_SIZE = 4 << 20, ALIGNMENT = 2 << 20 };

struct header {
    char magic[8];
    struct qn_packed_key key;
    uint64_t hashes; /* of the list of hashes */
    uint64_t self;   /* of the fields before */
};
_Static_assert(sizeof(struct header) == 64, "no padding in what is stored");

static const char magic[8] = {'Q', 'N', 'P', 'A', 'C', 'K', 'E', 'D'};

/* Where things lie in a file for weights of some size. */
struct places {
    size_t n_chunks, hashes_size, weights, file_size;
};

static bool find_places(uint64_t size, struct places *places) {
    size_t padded;
    if (size == 0 || !qn_checked_add(size, CHUNK_SIZE - 1, &padded)) return false;
    places->n_chunks = padded / CHUNK_SIZE;
    places->hashes_size = places->n_chunks * sizeof(uint64_t);
    return places->n_chunks <= INT_MAX &&
           qn_checked_align(sizeof(struct header) + places->hashes_size, ALIGNMENT,
                            &places->weights) &&
           qn_checked_add(places->weights, size, &places->file_size) &&
           places->file_size <= PTRDIFF_MAX;
}

static size_t chunk_size(size_t size, size_t chunk) {
    const size_t left = size - chunk * CHUNK_SIZE;
    return left < CHUNK_SIZE ? left : CHUNK_SIZE;
}

static uint64_t header_hash(const struct header *header) {
    return qn_hash(header, offsetof(struct header, self), 0);
}

/* All bytes, at an offset; false: errno, 0 at the end of the file. */
static bool read_all(int fd, void *data, size_t size, size_t offset) {
    char *at = data;
    while (size) {
        const ssize_t n = pread(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = 0;
        if (n <= 0) return false;
        at += n;
        offset += (size_t)n;
        size -= (size_t)n;
    }
    return true;
}

static bool write_all(int fd, const void *data, size_t size, size_t offset) {
    const char *at = data;
    while (size) {
        const ssize_t n = pwrite(fd, at, size, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return false;
        at += n;
        offset += (size_t)n;
        size -= (size_t)n;
    }
    return true;
}

/* ---- reading ---------------------------------------------------------------------------- */

/* In the order in which they are compared. */
static const char *difference(const struct qn_packed_key *found,
                              const struct qn_packed_key *wanted) {
    if (found->version != wanted->version) return "was packed by another version of Quern";
    if (found->tile_rows != wanted->tile_rows) return "was packed for other kernels";
    if (found->files != wanted->files) return "was packed from files that have changed since";
    if (found->layout != wanted->layout || found->size != wanted->size)
        return "holds weights of other types or shapes";
    return NULL;
}

static enum qn_status check_owner(int fd, const char *path, size_t *size, struct qn_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return qn_fail(err, QN_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return qn_fail(err, QN_IO, "%s: is not a regular file", path);
    if (info.st_uid != geteuid() || info.st_mode & (S_IWGRP | S_IWOTH))
        return qn_fail(err, QN_IO, "%s: others than you can write it", path);
    *size = (size_t)info.st_size;
    return QN_OK;
}

/* The header, and whether it is the one expected; hashes [n_chunks]. */
static enum qn_status read_header(int fd, const char *path, const struct qn_packed_key *key,
                                  const struct places *places, uint64_t *hashes,
                                  struct qn_error *err) {
    struct header header;
    size_t size = 0;
    QN_TRY(check_owner(fd, path, &size, err));
    if (!read_all(fd, &header, sizeof header, 0) || memcmp(header.magic, magic, sizeof magic) != 0)
        return qn_fail(err, QN_BAD_FILE, "%s: is not a file of packed weights", path);
    if (header.self != header_hash(&header))
        return qn_fail(err, QN_BAD_FILE, "%s: its header is damaged", path);
    const char *const why = difference(&header.key, key);
    if (why) return qn_fail(err, QN_BAD_FILE, "%s: %s", path, why);
    if (size != places->file_size)
        return qn_fail(err, QN_BAD_FILE, "%s: has %zu bytes, expected %zu", path, size,
                       places->file_size);
    if (!read_all(fd, hashes, places->hashes_size, sizeof header) ||
        qn_hash(hashes, places->hashes_size, 0) != header.hashes)
        return qn_fail(err, QN_BAD_FILE, "%s: its list of hashes is damaged", path);
    return QN_OK;
}

struct check {
    const struct qn_packed_reader *reader;
    char *data;
    size_t size, n_chunks;
    const uint64_t *hashes; /* [n_chunks] */
    atomic_size_t damaged;  /* one more than a chunk that is; 0: none */
    atomic_bool stop;
};

static void advise(const struct check *check, size_t chunk, int advice) {
    (void)madvise(check->data + chunk * CHUNK_SIZE, chunk_size(check->size, chunk), advice);
}

/* The next chunk comes from the disk while this one is hashed. Its pages are mapped at once, not
 * one fault after the other; a kernel that does not know how lets them fault. */
static void check_share(void *context, int thread) {
    struct check *const check = context;
    const struct qn_packed_reader *const reader = check->reader;
    const int n_threads = qn_pool_n_threads(reader->pool), n = (int)check->n_chunks;
    const int first = qn_share(n, thread, n_threads), end = qn_share(n, thread + 1, n_threads);
    for (int i = first; i < end && !atomic_load(&check->stop); i++) {
        const size_t chunk = (size_t)i;
        if (i + 1 < end) advise(check, chunk + 1, MADV_WILLNEED);
#ifdef MADV_POPULATE_READ
        advise(check, chunk, MADV_POPULATE_READ);
#endif
        const uint64_t hash =
            qn_hash(check->data + chunk * CHUNK_SIZE, chunk_size(check->size, chunk), 0);
        if (hash != check->hashes[chunk]) {
            atomic_store(&check->damaged, chunk + 1);
            return;
        }
        if (thread == 0 && reader->progress &&
            !reader->progress(reader->progress_context, (double)(i + 1) / (double)end))
            atomic_store(&check->stop, true);
    }
}

static enum qn_status check_weights(const char *path, const struct qn_packed_reader *reader,
                                    const struct qn_arena *arena, const struct places *places,
                                    const uint64_t *hashes, struct qn_error *err) {
    struct check check = {.reader = reader,
                          .data = arena->data,
                          .size = arena->size,
                          .n_chunks = places->n_chunks,
                          .hashes = hashes};
    qn_pool_run(reader->pool, check_share, &check);
    const size_t damaged = atomic_load(&check.damaged);
    if (damaged)
        return qn_fail(err, QN_BAD_FILE, "%s: damaged between bytes %zu and %zu", path,
                       places->weights + (damaged - 1) * CHUNK_SIZE,
                       places->weights + (damaged - 1) * CHUNK_SIZE +
                           chunk_size(arena->size, damaged - 1));
    if (atomic_load(&check.stop)) return qn_fail(err, QN_CANCELLED, "loading was stopped");
    return QN_OK;
}

static enum qn_status open_descriptor(int fd, const char *path, const struct qn_packed_key *key,
                                      const struct qn_packed_reader *reader,
                                      const struct places *places, uint64_t *hashes,
                                      struct qn_arena *arena, struct qn_error *err) {
    QN_TRY(read_header(fd, path, key, places, hashes, err));
    QN_TRY(qn_arena_map(fd, places->weights, key->size, reader->huge_pages, arena, err));
    const enum qn_status status = check_weights(path, reader, arena, places, hashes, err);
    if (status != QN_OK) qn_arena_close(arena);
    return status;
}

enum qn_status qn_packed_file_open(const char *path, const struct qn_packed_key *key,
                                   const struct qn_packed_reader *reader, struct qn_arena *arena,
                                   struct qn_error *err) {
    struct places places;
    *arena = (struct qn_arena){0};
    if (!find_places(key->size, &places))
        return qn_fail(err, QN_NO_MEMORY, "%s: %llu bytes cannot be mapped", path,
                       (unsigned long long)key->size);
    /* O_NONBLOCK: a pipe must be an error, not a wait. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return qn_fail(err, errno == ENOENT || errno == ENOTDIR ? QN_NOT_FOUND : QN_IO,
                       "%s: cannot be opened: %s", path, strerror(errno));
    uint64_t *const hashes = malloc(places.hashes_size);
    const enum qn_status status =
        hashes ? open_descriptor(fd, path, key, reader, &places, hashes, arena, err)
               : qn_fail(err, QN_NO_MEMORY, "no memory for the hashes of packed weights");
    free(hashes);
    close(fd);
    return status;
}

/* ---- writing ---------------------------------------------------------------------------- */

struct writer {
    struct qn_pool *pool;
    const char *data;
    size_t size;
    const struct places *places;
    int fd;
    uint64_t *hashes; /* [n_chunks] */
    atomic_int error; /* errno of a write that failed; 0: none */
};

static void write_share(void *context, int thread) {
    struct writer *const writer = context;
    const int n_threads = qn_pool_n_threads(writer->pool), n = (int)writer->places->n_chunks;
    const int first = qn_share(n, thread, n_threads), end = qn_share(n, thread + 1, n_threads);
    for (int i = first; i < end && atomic_load(&writer->error) == 0; i++) {
        const size_t chunk = (size_t)i, size = chunk_size(writer->size, chunk);
        const char *const data = writer->data + chunk * CHUNK_SIZE;
        writer->hashes[chunk] = qn_hash(data, size, 0);
        if (!write_all(writer->fd, data, size, writer->places->weights + chunk * CHUNK_SIZE))
            atomic_store(&writer->error, errno);
    }
}

/* 0, or errno. Space is asked for first: a full disk is known before anything is written. */
static int write_descriptor(struct writer *writer, const struct qn_packed_key *key) {
    const struct places *const places = writer->places;
    if (fallocate(writer->fd, 0, 0, (off_t)places->file_size) != 0 && errno != EOPNOTSUPP)
        return errno;
    qn_pool_run(writer->pool, write_share, writer);
    if (atomic_load(&writer->error)) return atomic_load(&writer->error);
    struct header header = {.key = *key, .hashes = qn_hash(writer->hashes, places->hashes_size, 0)};
    memcpy(header.magic, magic, sizeof magic);
    header.self = header_hash(&header);
    if (!write_all(writer->fd, writer->hashes, places->hashes_size, sizeof header) ||
        !write_all(writer->fd, &header, sizeof header, 0))
        return errno;
    return 0;
}

/* 0, or errno. No fsync: what a crash of the machine leaves unwritten, the hashes find. */
static int write_file(const char *path, struct writer *writer, const struct qn_packed_key *key) {
    struct qn_new_file file;
    const int reason = qn_new_file_open(&file, path);
    if (reason != 0) return reason;
    writer->fd = file.fd;
    return qn_new_file_end(&file, path, write_descriptor(writer, key));
}

enum qn_status qn_packed_file_write(const char *path, const struct qn_packed_key *key,
                                    struct qn_pool *pool, const char *data, struct qn_error *err) {
    struct places places;
    if (!find_places(key->size, &places))
        return qn_fail(err, QN_IO, "%s: %llu bytes cannot be written", path,
                       (unsigned long long)key->size);
    struct writer writer = {.pool = pool,
                            .data = data,
                            .size = key->size,
                            .places = &places,
                            .hashes = malloc(places.hashes_size)};
    if (!writer.hashes)
        return qn_fail(err, QN_NO_MEMORY, "no memory for the hashes of packed weights");
    const int reason = write_file(path, &writer, key);
    free(writer.hashes);
    if (reason == 0) return QN_OK;
    return qn_fail(err, QN_IO, "%s: packed weights cannot be kept: %s", path, strerror(reason));
}
