/* SPDX-License-Identifier: Apache-2.0
 *
 * A folder of its own for a test, with the files that the test puts there. What the operating
 * system refuses aborts: this is for tests.
 */
#ifndef QN_TESTS_TEMP_FOLDER_H
#define QN_TESTS_TEMP_FOLDER_H

#include <stddef.h>

struct temp_folder {
    char path[64];
};

struct temp_folder temp_folder_make(void);
void temp_folder_remove(const struct temp_folder *folder); /* with all that is in it */
/* Writes a file, in place of one of that name. */
void temp_folder_put(const struct temp_folder *folder, const char *name, const void *data,
                     size_t size);
void temp_folder_put_text(const struct temp_folder *folder, const char *name, const char *text);
/* The path of a file in the folder; lives until the next call. */
const char *temp_folder_path(const struct temp_folder *folder, const char *name);

#endif
