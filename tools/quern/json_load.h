/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON files that the user hands in.
 */
#ifndef QUERN_TOOLS_JSON_LOAD_H
#define QUERN_TOOLS_JSON_LOAD_H

#include <jansson.h>

/* All values that a file holds one behind the other, at least one, as an array: a new reference;
 * NULL with the sentence printed. */
json_t *json_load_all(const char *path);

#endif
