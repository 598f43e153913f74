/* SPDX-License-Identifier: Apache-2.0 */
#include "report/cache_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cache_folder.h"

/* The hash is FNV-1a. */
bool qn_cache_path(const char *folder, const char *kind, const char *key, char *path, size_t size) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = key; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    const int n =
        snprintf(path, size, "%s/%s-%016llx.json", folder, kind, (unsigned long long)hash);
    return n > 0 && (size_t)n < size;
}

/* mkostemp makes files of mode 0600. */
static bool write_atomic(const char *path, const json_t *object) {
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        return false;
    const int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) return false;
    const bool written = json_dumpfd(object, fd, JSON_INDENT(1)) == 0;
    const bool closed = close(fd) == 0;
    if (written && closed && rename(temporary, path) == 0) return true;
    const int reason = errno;
    unlink(temporary);
    errno = reason;
    return false;
}

bool qn_cache_write(const char *folder, const char *path, const json_t *object) {
    return qn_folder_make(folder) && write_atomic(path, object);
}
