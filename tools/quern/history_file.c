/* SPDX-License-Identifier: Apache-2.0 */
#include "history_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/new_file.h"

enum { REMEMBERED = 1000 };

char *history_file_path(void) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *path = NULL;
    int size = -1;
    if (state != NULL && *state == '/')
        size = asprintf(&path, "%s/quern/history", state);
    else if (home != NULL && *home == '/')
        size = asprintf(&path, "%s/.local/state/quern/history", home);
    if (size < 0) return NULL;
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* one that exists is as good; a failure shows when saving */
        *slash = '/';
    }
    return path;
}

History *history_file_list(void) {
    HistEvent event;
    History *const list = history_init();
    if (list == NULL) return NULL;
    history(list, &event, H_SETSIZE, REMEMBERED);
    history(list, &event, H_SETUNIQUE, 1);
    return list;
}

/* 0, or errno. */
static int write_list(History *list, int fd) {
    HistEvent event;
    const int copy = dup(fd);
    FILE *const file = copy >= 0 ? fdopen(copy, "w") : NULL;
    if (file == NULL) {
        const int reason = errno;
        if (copy >= 0) close(copy);
        return reason;
    }
    errno = 0;
    const bool written = history(list, &event, H_SAVE_FP, file) >= 0;
    const int reason = errno;
    if (fclose(file) != 0) return errno;
    return written ? 0 : reason != 0 ? reason : EIO;
}

/* A link to the file stays. 0, or errno. */
static int replace(const char *path, History *list) {
    struct qn_new_file file;
    char *const found = realpath(path, NULL);
    const char *const place = found != NULL ? found : path;
    int reason = qn_new_file_open(&file, place);
    if (reason == 0) reason = qn_new_file_end(&file, place, write_list(list, file.fd));
    free(found);
    return reason;
}

static int append(const char *path, const char *line) {
    HistEvent event;
    History *const list = history_file_list();
    if (list == NULL) return ENOMEM;
    history(list, &event, H_LOAD, path); /* there may be none yet */
    history(list, &event, H_ENTER, line);
    const int reason = replace(path, list);
    history_end(list);
    return reason;
}

/* The file itself is another one after each line, so that the lock is a file of its own. Where a
 * file system has no locks, two lines at the same instant may become one. */
int history_file_append(const char *path, const char *line) {
    char *lock;
    if (asprintf(&lock, "%s.lock", path) < 0) return ENOMEM;
    const int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int reason = fd < 0 ? errno : 0;
    free(lock);
    if (fd < 0) return reason;
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR) continue;
    reason = append(path, line);
    close(fd);
    return reason;
}
