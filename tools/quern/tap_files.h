/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensors inside a forward pass, written to a folder of NumPy files as a session computes them. A
 * file has its name when it is whole, and NAME.npy.part until then.
 */
#ifndef QUERN_TOOLS_TAP_FILES_H
#define QUERN_TOOLS_TAP_FILES_H

#include <stdbool.h>

#include "quern.h"

enum { MAX_TAP_PATTERNS = 64 };

struct tap_files {
    const char *folder;
    size_t n_rows; /* of each file: tokens of the one sequence */
    bool writing;  /* else tensors are only held against the patterns */
    bool failed;   /* a file could not be written; the sentence is printed */
    size_t n_written;
    char *list; /* patterns points into it */
    const char *patterns[MAX_TAP_PATTERNS + 2];
    bool matched[MAX_TAP_PATTERNS + 1];
    char **parts; /* [n_parts] names of tensors whose files are not whole yet */
    size_t n_parts;
};

/* patterns: globs separated by commas; "logits" is always taken too. False, with the sentence
 * printed and nothing to free, on failure. */
bool tap_files_open(const char *folder, const char *patterns, size_t n_rows, struct tap_files *out);
/* Removes the files that are not whole. */
void tap_files_close(struct tap_files *files);

/* After a pass: makes the folder, and tensors go into files from now on. False, with the sentence
 * printed, when a pattern has matched no tensor or the folder cannot be made. */
bool tap_files_begin(struct tap_files *files);

/* A quern_tap_fn; context: struct tap_files. */
void tap_files_write(void *context, const struct quern_tensor *tensor);

#endif
