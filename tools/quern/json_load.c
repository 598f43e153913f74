/* SPDX-License-Identifier: Apache-2.0 */
#include "json_load.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

static FILE *open_file(const char *path) {
    FILE *const file = fopen(path, "re");
    if (file == NULL) out_error("%s: cannot be opened: %s", path, strerror(errno));
    return file;
}

static json_t *read_value(FILE *file, const char *path) {
    json_error_t error;
    json_t *const value = json_loadf(file, JSON_REJECT_DUPLICATES | JSON_DISABLE_EOF_CHECK, &error);
    const int reason = errno;
    if (value == NULL && ferror(file)) /* a folder; the text of it only looks cut off */
        out_error("%s: cannot be read: %s", path, strerror(reason));
    else if (value == NULL)
        out_error("%s: line %d: %s", path, error.line, error.text);
    return value;
}

/* Passes over white space; false at the end. */
static bool more(FILE *file) {
    int c;
    do c = fgetc(file);
    while (isspace(c));
    return c != EOF && ungetc(c, file) != EOF;
}

json_t *json_load_all(const char *path) {
    FILE *const file = open_file(path);
    if (file == NULL) return NULL;
    json_t *all = json_array();
    do {
        json_t *const value = read_value(file, path);
        if (value == NULL || json_array_append_new(all, value) != 0) {
            json_decref(all);
            all = NULL;
        }
    } while (all != NULL && more(file));
    fclose(file);
    return all;
}
