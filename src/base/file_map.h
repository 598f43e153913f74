/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole file mapped read-only. The mapping lives until qn_file_map_close.
 */
#ifndef QN_BASE_FILE_MAP_H
#define QN_BASE_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/status.h"

struct qn_file_map {
    const uint8_t *data; /* [size], page-aligned; NULL when closed */
    size_t size;
    struct timespec modified; /* when the contents last changed, as of open */
    struct timespec changed;  /* when contents, name or owner did: no program can set this back */
    uint64_t inode;
    int fd; /* kept to ask whether the file has changed; valid while data is */
};

/* Errors: QN_NOT_FOUND, QN_IO (a folder, no permission, empty, map failed). */
enum qn_status qn_file_map_open(const char *path, struct qn_file_map *map, struct qn_error *err);
/* QN_IO when the file has changed size or was written since it was opened: what was read from the
 * mapping may then be a mixture of two files. path is for the message. */
enum qn_status qn_file_map_check(const struct qn_file_map *map, const char *path,
                                 struct qn_error *err);
/* Tells the kernel that bytes [offset, offset + size) will be read soon. */
void qn_file_map_prefetch(const struct qn_file_map *map, size_t offset, size_t size);
/* Tells the kernel that bytes [offset, offset + size) will not be read again soon. */
void qn_file_map_release(const struct qn_file_map *map, size_t offset, size_t size);
/* Idempotent; a zeroed struct counts as closed. */
void qn_file_map_close(struct qn_file_map *map);

#endif
