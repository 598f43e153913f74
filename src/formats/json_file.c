/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/json_file.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file_map.h"

/* A copy of a text in which whole numbers that 64 bits may not hold are reals, their last four
 * digits an exponent; NULL without memory. transformers writes model_max_length, where a model has
 * no limit, as 1 and 30 digits. */
static char *with_large_as_reals(const char *text, size_t size) {
    enum { MOST_DIGITS = 18 };
    char *const copy = malloc(size);
    if (!copy) return NULL;
    memcpy(copy, text, size);
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        if (in_string && text[i] == '\\') {
            i++;
            continue;
        }
        if (text[i] == '"') in_string = !in_string;
        if (in_string || !isdigit((unsigned char)text[i])) continue;
        size_t end = i;
        while (end < size && isdigit((unsigned char)text[end])) end++;
        const bool whole = end == size || !strchr(".eE", text[end]);
        const bool starts = i == 0 || !strchr(".eE+", text[i - 1]);
        if (whole && starts && end - i > MOST_DIGITS) memcpy(copy + end - 4, "e004", 4);
        i = end - 1;
    }
    return copy;
}

static json_t *load(const char *text, size_t size, json_error_t *problem) {
    json_t *value = json_loadb(text, size, JSON_REJECT_DUPLICATES, problem);
    if (value || json_error_code(problem) != json_error_numeric_overflow) return value;
    char *const copy = with_large_as_reals(text, size);
    if (!copy) return NULL;
    value = json_loadb(copy, size, JSON_REJECT_DUPLICATES, problem);
    free(copy);
    return value;
}

static enum qn_status parse(const char *path, size_t max_size, json_t **out, struct qn_error *err) {
    struct qn_file_map map;
    QN_TRY(qn_file_map_open(path, &map, err));
    enum qn_status status = QN_OK;
    json_error_t problem;
    if (map.size > max_size)
        status = qn_fail(err, QN_BAD_FILE, "%s: has %zu bytes; expected at most %zu", path,
                         map.size, max_size);
    else if (!(*out = load((const char *)map.data, map.size, &problem)))
        status = qn_fail(err, QN_BAD_FILE, "%s: line %d: %s", path, problem.line, problem.text);
    else if (!json_is_object(*out))
        status = qn_fail(err, QN_BAD_FILE, "%s: expected a JSON object at the top", path);
    if (status != QN_OK) {
        json_decref(*out);
        *out = NULL;
    }
    qn_file_map_close(&map);
    return status;
}

enum qn_status qn_json_read(const char *folder, const char *name, size_t max_size, json_t **out,
                            struct qn_error *err) {
    char *path;
    *out = NULL;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        return qn_fail(err, QN_NO_MEMORY, "no memory for a path");
    const enum qn_status status = parse(path, max_size, out, err);
    free(path);
    return status;
}

static const char *type_of(const json_t *value) {
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null"};
    return names[json_typeof(value)];
}

/* NULL when absent or null. */
static const json_t *member(const json_t *object, const char *key) {
    const json_t *const value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

static enum qn_status wrong_type(const char *name, const char *key, const json_t *value,
                                 const char *expected, struct qn_error *err) {
    return qn_fail(err, QN_BAD_FILE, "%s: %s is %s; expected %s", name, key, type_of(value),
                   expected);
}

enum qn_status qn_json_get_int(const json_t *object, const char *name, const char *key,
                               long long min, long long max, int *out, struct qn_error *err) {
    const json_t *const value = member(object, key);
    if (!value) return QN_OK;
    if (!json_is_integer(value)) return wrong_type(name, key, value, "an integer", err);
    const long long number = json_integer_value(value);
    if (number < min || number > max)
        return qn_fail(err, QN_BAD_FILE, "%s: %s is %lld; expected %lld to %lld", name, key, number,
                       min, max);
    *out = (int)number;
    return QN_OK;
}

enum qn_status qn_json_get_float(const json_t *object, const char *name, const char *key,
                                 double min, double max, float *out, struct qn_error *err) {
    const json_t *const value = member(object, key);
    if (!value) return QN_OK;
    if (!json_is_number(value)) return wrong_type(name, key, value, "a number", err);
    const double number = json_number_value(value);
    if (!(number >= min && number <= max))
        return qn_fail(err, QN_BAD_FILE, "%s: %s is %g; expected %g to %g", name, key, number, min,
                       max);
    *out = (float)number;
    return QN_OK;
}

enum qn_status qn_json_get_bool(const json_t *object, const char *name, const char *key, bool *out,
                                struct qn_error *err) {
    const json_t *const value = member(object, key);
    if (!value) return QN_OK;
    if (!json_is_boolean(value)) return wrong_type(name, key, value, "true or false", err);
    *out = json_is_true(value);
    return QN_OK;
}

enum qn_status qn_json_get_string(const json_t *object, const char *name, const char *key,
                                  const char **out, struct qn_error *err) {
    const json_t *const value = member(object, key);
    if (!value) return QN_OK;
    if (!json_is_string(value)) return wrong_type(name, key, value, "a string", err);
    *out = json_string_value(value);
    return QN_OK;
}
