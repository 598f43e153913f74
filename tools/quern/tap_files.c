/* SPDX-License-Identifier: Apache-2.0 */
#include "tap_files.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
    bool done = split_patterns(out);
    if (done && mkdir(folder, 0777) != 0 && errno != EEXIST) {
        out_error("cannot make the folder %s: %s", folder, strerror(errno));
        done = false;
    }
    if (!done) tap_files_close(out);
    return done;
}

void tap_files_close(struct tap_files *files) {
    free(files->list);
    files->list = NULL;
}

bool tap_files_check(const struct tap_files *files) {
    for (size_t i = 0; files->patterns[i] != NULL; i++) {
        if (files->matched[i]) continue;
        out_error("--tap: no tensor of this model is named like '%s' ('quern logits --help' lists "
                  "the names)",
                  files->patterns[i]);
        return false;
    }
    return true;
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

/* Positions come in order, so the file is begun with the first and continued with the others. It is
 * not held open: there are more tensors than files that a process may have open. */
void tap_files_write(void *context, const struct quern_tensor *tensor) {
    struct tap_files *const files = context;
    if (files->failed) return;
    for (size_t i = 0; files->patterns[i] != NULL; i++)
        if (fnmatch(files->patterns[i], tensor->name, 0) == 0) files->matched[i] = true;
    char *path;
    if (asprintf(&path, "%s/%s.npy", files->folder, tensor->name) < 0) {
        out_error("no memory");
        files->failed = true;
        return;
    }
    FILE *file = fopen(path, tensor->positions[0] == 0 ? "wb" : "ab");
    bool done = file != NULL && write_rows(file, files, tensor);
    if (file != NULL && fclose(file) != 0) done = false;
    if (!done) {
        out_error("cannot write %s: %s", path, strerror(errno));
        files->failed = true;
    }
    files->n_written += tensor->positions[0] == 0;
    free(path);
}
