/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cache_folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool qn_folder_of_caches(const char *name, char *folder, size_t size) {
    const char *const cache = getenv("XDG_CACHE_HOME"), *const home = getenv("HOME");
    int n = -1;
    if (cache && cache[0] == '/')
        n = snprintf(folder, size, "%s/quern%s", cache, name);
    else if (home && home[0] == '/')
        n = snprintf(folder, size, "%s/.cache/quern%s", home, name);
    if (n > 0 && (size_t)n < size) return true;
    errno = n < 0 ? ENOENT : ENAMETOOLONG;
    return false;
}

bool qn_folder_make(const char *folder) {
    char path[PATH_MAX];
    if (!*folder || snprintf(path, sizeof path, "%s", folder) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        if (slash) *slash = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) return false;
        if (!slash) return true;
        *slash = '/';
    }
}
