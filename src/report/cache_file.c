/* SPDX-License-Identifier: Apache-2.0 */
#include "report/cache_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "base/cache_folder.h"
#include "base/new_file.h"

/* The hash is FNV-1a. */
bool qn_cache_path(const char *folder, const char *kind, const char *key, char *path, size_t size) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = key; *c; c++) hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    const int n =
        snprintf(path, size, "%s/%s-%016llx.json", folder, kind, (unsigned long long)hash);
    return n > 0 && (size_t)n < size;
}

static bool write_whole(const char *path, const json_t *object) {
    struct qn_new_file file;
    int reason = qn_new_file_open(&file, path);
    if (reason == 0) {
        errno = ENOMEM; /* unless the system says otherwise */
        reason = json_dumpfd(object, file.fd, JSON_INDENT(1)) == 0 ? 0 : errno;
        reason = qn_new_file_end(&file, path, reason);
    }
    errno = reason;
    return reason == 0;
}

bool qn_cache_is_writable(const char *folder) {
    return qn_folder_make(folder) && access(folder, W_OK | X_OK) == 0;
}

bool qn_cache_write(const char *folder, const char *path, const json_t *object) {
    return qn_folder_make(folder) && write_whole(path, object);
}
