/* SPDX-License-Identifier: Apache-2.0 */
#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_NAMES = 1000, LINK_SIZE = 64 };

/* Where the system shows an open file, named or not. */
static void find_open_file(int fd, char link[LINK_SIZE]) {
    snprintf(link, LINK_SIZE, "/proc/self/fd/%d", fd);
}

/* A file without a name, of which nothing stays however the program ends. False where the file
 * system has no such files, or where there would be no way to name it in the end. */
static bool open_unnamed(struct qn_new_file *file, const char *path) {
    const char *const slash = strrchr(path, '/');
    char link[LINK_SIZE];
    snprintf(file->temporary, sizeof file->temporary, "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    file->fd = open(file->temporary, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    file->temporary[0] = '\0';
    if (file->fd < 0) return false;
    find_open_file(file->fd, link);
    if (access(link, F_OK) == 0) return true;
    close(file->fd);
    return false;
}

/* 0, or errno. */
static int give_name(struct qn_new_file *file, const char *path) {
    char link[LINK_SIZE];
    find_open_file(file->fd, link);
    for (int i = 0; i < MAX_NAMES; i++) {
        snprintf(file->temporary, sizeof file->temporary, "%s.%06d", path, i);
        if (linkat(AT_FDCWD, link, AT_FDCWD, file->temporary, AT_SYMLINK_FOLLOW) == 0) return 0;
        if (errno != EEXIST) break;
    }
    file->temporary[0] = '\0';
    return errno;
}

/* mkostemp makes files of mode 0600. */
int qn_new_file_open(struct qn_new_file *file, const char *path) {
    if (strlen(path) + sizeof ".XXXXXX" > sizeof file->temporary) return ENAMETOOLONG;
    if (open_unnamed(file, path)) return 0;
    snprintf(file->temporary, sizeof file->temporary, "%s.XXXXXX", path);
    file->fd = mkostemp(file->temporary, O_CLOEXEC);
    return file->fd < 0 ? errno : 0;
}

int qn_new_file_end(struct qn_new_file *file, const char *path, int reason) {
    if (reason == 0 && file->temporary[0] == '\0') reason = give_name(file, path);
    if (close(file->fd) != 0 && reason == 0) reason = errno;
    if (reason == 0 && rename(file->temporary, path) != 0) reason = errno;
    if (reason != 0 && file->temporary[0] != '\0') unlink(file->temporary);
    return reason;
}
