/* SPDX-License-Identifier: Apache-2.0 */
#include "tap_files.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "npy.h"
#include "output.h"

static bool split_patterns(struct tap_files *files) {
    size_t n = 0;
    char *rest = files->list;
    for (char *one; (one = strsep(&rest, ",")) != NULL;) {
        if (n == MAX_TAP_PATTERNS) {
            out_error("--tap takes up to %d patterns", MAX_TAP_PATTERNS);
            return false;
        }
        if (*one != '\0') files->patterns[n++] = one;
    }
    files->patterns[n++] = "logits";
    files->patterns[n] = NULL;
    return true;
}

bool tap_files_open(const char *folder, const char *patterns, size_t n_rows,
                    struct tap_files *out) {
    *out = (struct tap_files){.folder = folder, .n_rows = n_rows, .list = strdup(patterns)};
    if (out->list == NULL) {
        out_error("no memory");
        return false;
    }
    const bool done = split_patterns(out);
    if (!done) tap_files_close(out);
    return done;
}

static bool has_matches(const struct tap_files *files) {
    for (size_t i = 0; files->patterns[i] != NULL; i++) {
        if (files->matched[i]) continue;
        out_error("--tap: no tensor of this model is named like '%s' ('quern logits --help' lists "
                  "the names)",
                  files->patterns[i]);
        return false;
    }
    return true;
}

bool tap_files_begin(struct tap_files *files) {
    if (!has_matches(files)) return false;
    files->writing = mkdir(files->folder, 0777) == 0 || errno == EEXIST;
    if (!files->writing) out_error("cannot make the folder %s: %s", files->folder, strerror(errno));
    return files->writing;
}

/* ---- files ------------------------------------------------------------------------------ */

/* NULL, with errno set, without memory. */
static char *path_of(const struct tap_files *files, const char *name, const char *suffix) {
    char *path;
    return asprintf(&path, "%s/%s.npy%s", files->folder, name, suffix) >= 0 ? path : NULL;
}

static bool note_part(struct tap_files *files, const char *name) {
    char **const parts = reallocarray(files->parts, files->n_parts + 1, sizeof *parts);
    if (parts == NULL) return false;
    files->parts = parts;
    parts[files->n_parts] = strdup(name);
    if (parts[files->n_parts] == NULL) return false;
    files->n_parts++;
    return true;
}

static void forget_part(struct tap_files *files, const char *name) {
    size_t i = 0;
    while (strcmp(files->parts[i], name) != 0) i++;
    free(files->parts[i]);
    files->parts[i] = files->parts[--files->n_parts];
}

void tap_files_close(struct tap_files *files) {
    for (size_t i = 0; i < files->n_parts; i++) {
        char *const part = path_of(files, files->parts[i], ".part");
        if (part != NULL) unlink(part);
        free(part);
        free(files->parts[i]);
    }
    free(files->parts);
    free(files->list);
    files->parts = NULL;
    files->list = NULL;
    files->n_parts = 0;
}

static bool write_rows(FILE *file, const struct tap_files *files,
                       const struct quern_tensor *tensor) {
    if (tensor->positions[0] == 0 && !npy_write_header(file, files->n_rows, tensor->n_columns))
        return false;
    for (size_t r = 0; r < tensor->n_rows; r++)
        if (!npy_write_floats(file, tensor->data + r * tensor->stride, tensor->n_columns))
            return false;
    return true;
}

/* False with errno set; so do the two below. The file is not held open: there are more tensors than
 * files that a process may have open. */
static bool append(const struct tap_files *files, const struct quern_tensor *tensor,
                   const char *part) {
    FILE *const file = fopen(part, tensor->positions[0] == 0 ? "wbe" : "abe");
    if (file == NULL) return false;
    const bool done = write_rows(file, files, tensor);
    const int reason = errno;
    const bool closed = fclose(file) == 0;
    if (!done) errno = reason;
    return done && closed;
}

static bool end_file(struct tap_files *files, const char *name, const char *part) {
    char *const path = path_of(files, name, "");
    const bool done = path != NULL && rename(part, path) == 0;
    free(path);
    if (!done) return false;
    forget_part(files, name);
    files->n_written++;
    return true;
}

/* Positions come in order, so a file is begun with the first, continued with the others and whole
 * with the last. */
static bool take(struct tap_files *files, const struct quern_tensor *tensor, const char *part) {
    const bool last = (size_t)tensor->positions[tensor->n_rows - 1] + 1 == files->n_rows;
    if (tensor->positions[0] == 0 && !note_part(files, tensor->name)) return false;
    return append(files, tensor, part) && (!last || end_file(files, tensor->name, part));
}

void tap_files_write(void *context, const struct quern_tensor *tensor) {
    struct tap_files *const files = context;
    for (size_t i = 0; files->patterns[i] != NULL; i++)
        if (fnmatch(files->patterns[i], tensor->name, 0) == 0) files->matched[i] = true;
    if (files->failed || !files->writing) return;
    char *const part = path_of(files, tensor->name, ".part");
    if (part == NULL || !take(files, tensor, part)) {
        out_error("cannot write %s/%s.npy: %s", files->folder, tensor->name, strerror(errno));
        files->failed = true;
    }
    free(part);
}
