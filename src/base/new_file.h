/* SPDX-License-Identifier: Apache-2.0
 *
 * A file that appears whole or not at all: written without a name, or under a temporary one where
 * the file system cannot do that, for its owner alone; and renamed.
 */
#ifndef QN_BASE_NEW_FILE_H
#define QN_BASE_NEW_FILE_H

#include <limits.h>

struct qn_new_file {
    int fd;                   /* to write to */
    char temporary[PATH_MAX]; /* empty while it has no name */
};

/* 0, or errno and nothing to end. */
int qn_new_file_open(struct qn_new_file *file, const char *path);
/* Ends writing. reason: 0 when all was written, and the file takes the place of path; else errno of
 * what failed, and it is gone. Returns 0, or errno: the reason, or what failed here. */
int qn_new_file_end(struct qn_new_file *file, const char *path, int reason);

#endif
