/* SPDX-License-Identifier: Apache-2.0
 *
 * Files that the program writes. A regular one appears whole or not at all, and until then an older
 * one of its name stays; what is a pipe, a device or standard output itself is written in place.
 */
#ifndef QUERN_TOOLS_OUT_FILE_H
#define QUERN_TOOLS_OUT_FILE_H

#include <stdbool.h>
#include <stdio.h>

#include "base/new_file.h"

struct out_file { /* the stream leads to it, so it stays where it is */
    FILE *stream; /* to write to */
    const char *path;
    char *place; /* what the new file takes the place of; NULL: written in place */
    struct qn_new_file file;
    int reason; /* errno of the write that failed first, after which nothing is written; or 0 */
};

/* A path of - is standard output. False, with the sentence printed and nothing to end, on failure;
 * so where a model would be written over. */
bool out_file_open(struct out_file *out, const char *path);

/* whole: all was handed to the stream; else the file is given up, for a reason that the caller has
 * told, unless it was a write that failed. False, with the sentence printed where a write failed,
 * when there is no whole file. */
bool out_file_end(struct out_file *out, bool whole);

#endif
