/* SPDX-License-Identifier: Apache-2.0
 *
 * A whole file mapped read-only. The mapping lives until qn_file_map_close.
 */
#ifndef QN_BASE_FILE_MAP_H
#define QN_BASE_FILE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct qn_file_map {
    const uint8_t *data; /* [size] */
    size_t size;
};

/* Errors: QN_NOT_FOUND, QN_IO (a folder, no permission, empty, map failed). */
enum qn_status qn_file_map_open(const char *path, struct qn_file_map *map, struct qn_error *err);
/* Tells the kernel that pages [offset, offset + size) will not be read again soon. */
void qn_file_map_release(const struct qn_file_map *map, size_t offset, size_t size);
/* Idempotent. */
void qn_file_map_close(struct qn_file_map *map);

#endif
