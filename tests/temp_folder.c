/* SPDX-License-Identifier: Apache-2.0 */
#include "temp_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct temp_folder temp_folder_make(void) {
    struct temp_folder folder = {"/tmp/quern-test-XXXXXX"};
    if (!mkdtemp(folder.path)) abort();
    return folder;
}

void temp_folder_remove(const struct temp_folder *folder) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", folder->path);
    if (system(command) != 0) abort();
}

const char *temp_folder_path(const struct temp_folder *folder, const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    return path;
}

void temp_folder_put(const struct temp_folder *folder, const char *name, const void *data,
                     size_t size) {
    FILE *const out = fopen(temp_folder_path(folder, name), "wb");
    if (!out || fwrite(data, 1, size, out) != size || fclose(out) != 0) abort();
}

void temp_folder_put_text(const struct temp_folder *folder, const char *name, const char *text) {
    temp_folder_put(folder, name, text, strlen(text));
}
