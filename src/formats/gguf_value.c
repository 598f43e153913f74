/* SPDX-License-Identifier: Apache-2.0
 *
 * Typed access to the values of a GGUF file. Values were validated when the file was opened:
 * their data lie within the mapping, whole, with element types that exist.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "formats/gguf_internal.h"

/* A key as a message quotes it. */
#define KEY_ARGS(key) (int)((key).size < 80 ? (key).size : 80), (key).data

enum kind { KIND_UNSIGNED, KIND_SIGNED, KIND_FLOAT, KIND_OTHER };

static const struct {
    const char *name;
    size_t size;
    enum kind kind;
} types[] = {
    [QN_GGUF_U8] = {"u8", 1, KIND_UNSIGNED},      [QN_GGUF_I8] = {"i8", 1, KIND_SIGNED},
    [QN_GGUF_U16] = {"u16", 2, KIND_UNSIGNED},    [QN_GGUF_I16] = {"i16", 2, KIND_SIGNED},
    [QN_GGUF_U32] = {"u32", 4, KIND_UNSIGNED},    [QN_GGUF_I32] = {"i32", 4, KIND_SIGNED},
    [QN_GGUF_F32] = {"f32", 4, KIND_FLOAT},       [QN_GGUF_BOOL] = {"bool", 1, KIND_OTHER},
    [QN_GGUF_STRING] = {"string", 0, KIND_OTHER}, [QN_GGUF_ARRAY] = {"array", 0, KIND_OTHER},
    [QN_GGUF_U64] = {"u64", 8, KIND_UNSIGNED},    [QN_GGUF_I64] = {"i64", 8, KIND_SIGNED},
    [QN_GGUF_F64] = {"f64", 8, KIND_FLOAT},
};

const char *qn_gguf_type_name(enum qn_gguf_type type) {
    return types[type].name;
}

size_t qn_gguf_type_size(enum qn_gguf_type type) {
    return types[type].size;
}

const struct qn_gguf_value *qn_gguf_find_in(const struct qn_gguf_value *values, size_t n,
                                            const char *key) {
    const size_t size = strlen(key);
    for (size_t i = 0; i < n; i++) {
        if (values[i].key.size == size && memcmp(values[i].key.data, key, size) == 0)
            return &values[i];
    }
    return NULL;
}

static enum qn_status wrong_type(const struct qn_gguf_value *value, const char *expected,
                                 struct qn_error *err) {
    const bool is_array = value->type == QN_GGUF_ARRAY;
    return qn_fail(err, QN_BAD_FILE, "key '%.*s' is of type %s%s, expected %s",
                   KEY_ARGS(value->key), is_array ? "array of " : "",
                   qn_gguf_type_name(is_array ? value->element : value->type), expected);
}

static enum qn_status find(const struct qn_gguf *gguf, const char *key,
                           const struct qn_gguf_value **value, struct qn_error *err) {
    *value = qn_gguf_find(gguf, key);
    return *value ? QN_OK : qn_fail(err, QN_NOT_FOUND, "the file has no key '%s'", key);
}

enum qn_status qn_gguf_value_u64(const struct qn_gguf_value *value, uint64_t *out,
                                 struct qn_error *err) {
    const enum kind kind = types[value->type].kind;
    if (kind != KIND_UNSIGNED && kind != KIND_SIGNED) return wrong_type(value, "an integer", err);
    uint64_t bits = 0; /* little-endian, as the host is */
    memcpy(&bits, value->data, value->size);
    const int unused = 64 - 8 * (int)value->size;
    const int64_t extended = (int64_t)(bits << unused) >> unused;
    if (kind == KIND_SIGNED && extended < 0)
        return qn_fail(err, QN_BAD_FILE, "key '%.*s' is %" PRId64 ", expected no negative number",
                       KEY_ARGS(value->key), extended);
    *out = bits;
    return QN_OK;
}

enum qn_status qn_gguf_get_u64(const struct qn_gguf *gguf, const char *key, uint64_t *out,
                               struct qn_error *err) {
    const struct qn_gguf_value *value;
    QN_TRY(find(gguf, key, &value, err));
    return qn_gguf_value_u64(value, out, err);
}

enum qn_status qn_gguf_get_float(const struct qn_gguf *gguf, const char *key, float *out,
                                 struct qn_error *err) {
    const struct qn_gguf_value *value;
    QN_TRY(find(gguf, key, &value, err));
    if (types[value->type].kind != KIND_FLOAT) return wrong_type(value, "a float", err);
    float narrow;
    double wide;
    if (value->type == QN_GGUF_F32) {
        memcpy(&narrow, value->data, sizeof narrow);
    } else {
        memcpy(&wide, value->data, sizeof wide);
        narrow = (float)wide;
    }
    if (!isfinite(narrow))
        return qn_fail(err, QN_BAD_FILE, "key '%s' is %f, expected a finite number", key,
                       (double)narrow);
    *out = narrow;
    return QN_OK;
}

enum qn_status qn_gguf_get_bool(const struct qn_gguf *gguf, const char *key, bool *out,
                                struct qn_error *err) {
    const struct qn_gguf_value *value;
    QN_TRY(find(gguf, key, &value, err));
    if (value->type != QN_GGUF_BOOL) return wrong_type(value, "bool", err);
    *out = value->data[0] != 0;
    return QN_OK;
}

enum qn_status qn_gguf_get_string(const struct qn_gguf *gguf, const char *key,
                                  struct qn_string *out, struct qn_error *err) {
    const struct qn_gguf_value *value;
    QN_TRY(find(gguf, key, &value, err));
    if (value->type != QN_GGUF_STRING) return wrong_type(value, "string", err);
    const uint8_t *cursor = value->data;
    *out = qn_gguf_next_string(&cursor);
    return QN_OK;
}

enum qn_status qn_gguf_get_array(const struct qn_gguf *gguf, const char *key,
                                 enum qn_gguf_type element, const struct qn_gguf_value **out,
                                 struct qn_error *err) {
    const struct qn_gguf_value *value;
    QN_TRY(find(gguf, key, &value, err));
    const bool both_integers =
        types[element].kind <= KIND_SIGNED && types[value->element].kind <= KIND_SIGNED;
    const bool fits = value->element == element ||
                      (both_integers && types[value->element].size == types[element].size);
    if (value->type != QN_GGUF_ARRAY || !fits) {
        char expected[32];
        snprintf(expected, sizeof expected, "array of %s", qn_gguf_type_name(element));
        return wrong_type(value, expected, err);
    }
    *out = value;
    return QN_OK;
}

struct qn_string qn_gguf_next_string(const uint8_t **cursor) {
    uint64_t size;
    memcpy(&size, *cursor, sizeof size);
    const struct qn_string string = {(const char *)*cursor + sizeof size, (size_t)size};
    *cursor += sizeof size + (size_t)size;
    return string;
}
