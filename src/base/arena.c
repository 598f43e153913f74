/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory for everything that lives as long as a model or a session.
 */
#include "base/arena.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/checked.h"

/* A huge page of x86-64, and of AArch64 with 4 KiB pages. */
static const size_t HUGE_PAGE = (size_t)2 << 20;

/* Addresses first, access second: the alignment's slack, at least one page on either side, stays
 * without access, and the usable part stays a mapping of its own in /proc/self/smaps. */
static enum qn_status reserve(size_t size, struct qn_arena *arena, struct qn_error *err) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t usable, mapped;
    if (!qn_checked_align(size, page, &usable) ||
        !qn_checked_add(usable, HUGE_PAGE + page, &mapped))
        return qn_fail(err, QN_NO_MEMORY, "%zu bytes of memory are more than can be addressed",
                       size);
    void *const map = mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return qn_fail(err, QN_NO_MEMORY, "%zu bytes of memory cannot be had: %s", size,
                       strerror(errno));
    const uintptr_t start = ((uintptr_t)map + page + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    *arena = (struct qn_arena){.data = (char *)start, .size = size, .mapped = mapped, .map = map};
    return QN_OK;
}

static enum qn_status no_access(struct qn_arena *arena, struct qn_error *err) {
    const int reason = errno;
    const size_t size = arena->size;
    qn_arena_close(arena);
    return qn_fail(err, QN_NO_MEMORY, "%zu bytes of memory cannot be had: %s", size,
                   strerror(reason));
}

enum qn_status qn_arena_open(size_t size, bool huge_pages, struct qn_arena *arena,
                             struct qn_error *err) {
    *arena = (struct qn_arena){0};
    if (size == 0) return QN_OK;
    QN_TRY(reserve(size, arena, err));
    if (mprotect(arena->data, size, PROT_READ | PROT_WRITE) != 0) return no_access(arena, err);
    arena->huge_pages = huge_pages && madvise(arena->data, size, MADV_HUGEPAGE) == 0;
    return QN_OK;
}

void qn_arena_split(const struct qn_arena *arena, size_t offset) {
    const size_t start = offset / HUGE_PAGE * HUGE_PAGE;
    if (!arena->huge_pages || start >= arena->size || offset == start) return;
    const size_t left = arena->size - start, size = left < HUGE_PAGE ? left : HUGE_PAGE;
    (void)madvise(arena->data + start, size, MADV_NOHUGEPAGE);
}

enum qn_status qn_arena_map(int fd, size_t offset, size_t size, bool huge_pages,
                            struct qn_arena *arena, struct qn_error *err) {
    *arena = (struct qn_arena){0};
    if (size == 0) return QN_OK;
    QN_TRY(reserve(size, arena, err));
    if (mmap(arena->data, size, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, (off_t)offset) ==
        MAP_FAILED)
        return no_access(arena, err);
    arena->huge_pages = huge_pages && madvise(arena->data, size, MADV_HUGEPAGE) == 0;
    return QN_OK;
}

size_t qn_arena_huge_size(const struct qn_arena *arena) {
    if (!arena->data) return 0;
    FILE *maps = fopen("/proc/self/smaps", "re");
    if (!maps) return 0;
    const uintptr_t data = (uintptr_t)arena->data;
    char line[512];
    bool inside = false;
    size_t total = 0;
    while (fgets(line, sizeof line, maps)) {
        size_t start, end;
        size_t kib;
        /* "7f00-8f00 rw-p ..." opens a mapping; "AnonHugePages:   2048 kB" belongs to the last. A
         * mapped file has FilePmdMapped. */
        if (sscanf(line, "%zx-%zx ", &start, &end) == 2)
            inside = start < data + arena->size && end > data;
        else if (inside && (sscanf(line, "AnonHugePages: %zu kB", &kib) == 1 ||
                            sscanf(line, "FilePmdMapped: %zu kB", &kib) == 1))
            total += kib * 1024;
    }
    fclose(maps);
    return total;
}

void qn_arena_close(struct qn_arena *arena) {
    if (arena->map) munmap(arena->map, arena->mapped);
    *arena = (struct qn_arena){0};
}
