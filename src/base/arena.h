/* SPDX-License-Identifier: Apache-2.0
 *
 * One mapping that holds everything of a model or a session; placement is decided beforehand
 * (plan/), the arena only provides zeroed, aligned memory and says what it got. Pages
 * without access stand before and after it, so running over an edge ends in a fault, not in
 * somebody else's data.
 */
#ifndef QN_BASE_ARENA_H
#define QN_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct qn_arena {
    char *data;    /* 2 MiB aligned, zero pages until touched */
    size_t size;   /* bytes asked for */
    size_t mapped; /* bytes of address space taken, alignment and guard pages included */
    void *map;
    bool huge_pages; /* madvise(MADV_HUGEPAGE) was accepted */
};

/* size 0 is allowed and gives data == NULL. Error: QN_NO_MEMORY. */
enum qn_status qn_arena_open(size_t size, bool huge_pages, struct qn_arena *arena,
                             struct qn_error *err);
/* Makes the huge page around an offset, of memory not touched yet, of small ones: its two sides
 * will be touched on different memory nodes, and a page lies on one. */
void qn_arena_split(const struct qn_arena *arena, size_t offset);
/* The same layout over bytes [offset, offset + size) of an open file, read-only and private; offset
 * is a multiple of 2 MiB. fd may be closed afterwards. Error: QN_NO_MEMORY. */
enum qn_status qn_arena_map(int fd, size_t offset, size_t size, bool huge_pages,
                            struct qn_arena *arena, struct qn_error *err);
/* Bytes that huge pages back at this moment, as the kernel says; 0 when it does not say. */
size_t qn_arena_huge_size(const struct qn_arena *arena);
/* Idempotent; a zeroed struct counts as closed. */
void qn_arena_close(struct qn_arena *arena);

#endif
