/* SPDX-License-Identifier: Apache-2.0
 *
 * Read-only mappings of regular files.
 */
#include "base/file_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static enum qn_status map_descriptor(int fd, const char *path, struct qn_file_map *map,
                                     struct qn_error *err) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return qn_fail(err, QN_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if (S_ISDIR(info.st_mode)) return qn_fail(err, QN_IO, "%s: is a folder, expected a file", path);
    if (!S_ISREG(info.st_mode))
        return qn_fail(err, QN_IO, "%s: is not a regular file, so it cannot be mapped", path);
    if (info.st_size == 0) return qn_fail(err, QN_IO, "%s: is empty", path);
    const size_t size = (size_t)info.st_size;
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        return qn_fail(err, QN_IO, "%s: %zu bytes cannot be mapped: %s", path, size,
                       strerror(errno));
    *map = (struct qn_file_map){.data = data,
                                .size = size,
                                .modified = info.st_mtim,
                                .changed = info.st_ctim,
                                .inode = info.st_ino,
                                .fd = fd};
    return QN_OK;
}

enum qn_status qn_file_map_open(const char *path, struct qn_file_map *map, struct qn_error *err) {
    *map = (struct qn_file_map){0};
    /* O_NONBLOCK: opening a pipe without a writer must be an error, not a wait. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        const enum qn_status status = errno == ENOENT || errno == ENOTDIR ? QN_NOT_FOUND : QN_IO;
        return qn_fail(err, status, "%s: cannot be opened: %s", path, strerror(errno));
    }
    const enum qn_status status = map_descriptor(fd, path, map, err);
    if (status != QN_OK) close(fd);
    return status;
}

enum qn_status qn_file_map_check(const struct qn_file_map *map, const char *path,
                                 struct qn_error *err) {
    struct stat info;
    if (fstat(map->fd, &info) != 0)
        return qn_fail(err, QN_IO, "%s: cannot be examined: %s", path, strerror(errno));
    if ((size_t)info.st_size != map->size)
        return qn_fail(err, QN_IO, "%s: changed while it was read: it had %zu bytes, now %lld",
                       path, map->size, (long long)info.st_size);
    if (info.st_mtim.tv_sec != map->modified.tv_sec ||
        info.st_mtim.tv_nsec != map->modified.tv_nsec)
        return qn_fail(err, QN_IO, "%s: was written while it was read", path);
    return QN_OK;
}

/* Advice is about whole pages: the range is widened to them. Losing it costs time only, so a
 * refusal is not an error. */
static void advise(const struct qn_file_map *map, size_t offset, size_t size, int advice) {
    if (!map->data || offset >= map->size || size == 0) return;
    if (size > map->size - offset) size = map->size - offset;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t start = offset & ~(page - 1);
    void *address = (void *)((uintptr_t)map->data + start);
    (void)madvise(address, offset + size - start, advice);
}

void qn_file_map_prefetch(const struct qn_file_map *map, size_t offset, size_t size) {
    advise(map, offset, size, MADV_WILLNEED);
}

void qn_file_map_release(const struct qn_file_map *map, size_t offset, size_t size) {
    advise(map, offset, size, MADV_DONTNEED);
}

void qn_file_map_close(struct qn_file_map *map) {
    if (map->data) {
        munmap((void *)(uintptr_t)map->data, map->size);
        close(map->fd);
    }
    *map = (struct qn_file_map){0};
}
