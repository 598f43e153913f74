/* SPDX-License-Identifier: Apache-2.0
 *
 * Where this user's caches lie, as the XDG base directory specification has it.
 */
#ifndef QN_BASE_CACHE_FOLDER_H
#define QN_BASE_CACHE_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

/* $XDG_CACHE_HOME/quern, or $HOME/.cache/quern, and below it `name`, which begins with '/' or is
 * empty. False with errno: ENOENT where neither variable is set (absolute paths only), ENAMETOOLONG
 * where `size` is too small. */
bool qn_folder_of_caches(const char *name, char *folder, size_t size);

/* Makes the folder and those above it that are missing, for their owner alone. False: errno. */
bool qn_folder_make(const char *folder);

#endif
