/* SPDX-License-Identifier: Apache-2.0
 *
 * Small JSON files that are kept between runs in a folder of the user's.
 */
#ifndef QN_REPORT_CACHE_FILE_H
#define QN_REPORT_CACHE_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* FOLDER/KIND-HASH.json, of a hash of the key's text, so that any text makes a file's name. False
 * when that is too long. */
bool qn_cache_path(const char *folder, const char *kind, const char *key, char *path, size_t size);
/* Makes the folder if need be. False with errno. */
bool qn_cache_is_writable(const char *folder);
/* Makes the folder if need be; readable by its owner alone, and replaced in one step. False with
 * errno. */
bool qn_cache_write(const char *folder, const char *path, const json_t *object);

#endif
