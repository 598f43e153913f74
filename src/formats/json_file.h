/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON files of a model's folder, and typed access to their members with messages that name file
 * and key.
 */
#ifndef QN_FORMATS_JSON_FILE_H
#define QN_FORMATS_JSON_FILE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* Reads folder/name, which must hold an object. *out is the caller's to json_decref; NULL after a
 * failure. Errors: QN_NOT_FOUND, QN_IO, QN_BAD_FILE (not JSON, with the line; not an object; more
 * than max_size bytes). Members written twice are refused. */
enum qn_status qn_json_read(const char *folder, const char *name, size_t max_size, json_t **out,
                            struct qn_error *err);

/* Members of an object; name is the file's, for messages. An absent or null member leaves *out as
 * it is. QN_BAD_FILE when it is of another type or out of [min, max]. Strings are borrowed. */
enum qn_status qn_json_get_int(const json_t *object, const char *name, const char *key,
                               long long min, long long max, int *out, struct qn_error *err);
enum qn_status qn_json_get_float(const json_t *object, const char *name, const char *key,
                                 double min, double max, float *out, struct qn_error *err);
enum qn_status qn_json_get_bool(const json_t *object, const char *name, const char *key, bool *out,
                                struct qn_error *err);
enum qn_status qn_json_get_string(const json_t *object, const char *name, const char *key,
                                  const char **out, struct qn_error *err);

#endif
