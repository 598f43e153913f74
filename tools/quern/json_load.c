/* SPDX-License-Identifier: Apache-2.0 */
#include "json_load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "output.h"

json_t *json_load(const char *path) {
    FILE *const file = fopen(path, "re");
    if (file == NULL) {
        out_error("%s: cannot be opened: %s", path, strerror(errno));
        return NULL;
    }
    json_error_t error;
    json_t *const value = json_loadf(file, JSON_REJECT_DUPLICATES, &error);
    fclose(file);
    if (value == NULL) out_error("%s: line %d: %s", path, error.line, error.text);
    return value;
}
