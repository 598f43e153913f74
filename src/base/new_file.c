/* SPDX-License-Identifier: Apache-2.0 */
#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* mkostemp makes files of mode 0600. */
int qn_new_file_open(struct qn_new_file *file, const char *path) {
    const int size = snprintf(file->temporary, sizeof file->temporary, "%s.XXXXXX", path);
    if (size >= (int)sizeof file->temporary) return ENAMETOOLONG;
    file->fd = mkostemp(file->temporary, O_CLOEXEC);
    return file->fd < 0 ? errno : 0;
}

int qn_new_file_end(struct qn_new_file *file, const char *path, int reason) {
    if (close(file->fd) != 0 && reason == 0) reason = errno;
    if (reason == 0 && rename(file->temporary, path) != 0) reason = errno;
    if (reason != 0) unlink(file->temporary);
    return reason;
}
