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
#include "base/status.h"

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

/* ---- files beside the report ------------------------------------------------------------ */

/* They are opened before anything is measured: a path that cannot be written is told at once. */
struct out_side {
    const char *option; /* "--html" */
    const char *path;   /* its value; NULL: no such file */
    struct out_file file;
    bool open;
};

typedef enum qn_status out_writer(const void *context, FILE *out, struct qn_error *err);

/* document: the option that makes standard output one, as "--json", or NULL. False, with the
 * sentence printed, where two of all these would be mixed in one file: wrong usage. */
bool out_sides_check(const struct out_side *sides, size_t n, const char *document);
/* False, with the sentence printed and none left open, on failure. */
bool out_sides_open(struct out_side *sides, size_t n);
/* True where there is no such file; false with the sentence printed and no file. */
bool out_side_write(struct out_side *side, out_writer *write, const void *context);
/* Gives up those that were not written. */
void out_sides_close(struct out_side *sides, size_t n);

#endif
