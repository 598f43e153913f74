/* SPDX-License-Identifier: Apache-2.0
 *
 * Parsing and validating the header of one GGUF file. Nothing in it is believed: a count or a
 * length is compared with the bytes that are left before anything is allocated or skipped, so
 * memory and time are bounded by the size of the file.
 *
 *   "GGUF" version:u32 n_tensors:u64 n_values:u64
 *   n_values x  { key:string type:u32 value }          string: size:u64 bytes
 *   n_tensors x { name:string n_dims:u32 shape:u64[n_dims] type:u32 offset:u64 }
 *   padding to the alignment, then tensor data; offsets count from here
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "formats/gguf_internal.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read as they are stored");
_Static_assert(sizeof(size_t) == sizeof(uint64_t), "file sizes are counted in size_t");

/* The fewest bytes that a record takes in a file: what bounds the counts. */
enum {
    VALUE_MIN_SIZE = 8 + 1 + 4 + 1,          /* key, type, value */
    TENSOR_MIN_SIZE = 8 + 1 + 4 + 8 + 4 + 8, /* name, n_dims, one dimension, type, offset */
};

struct reader {
    const uint8_t *data; /* [size] */
    size_t size;
    size_t at;
    /* What is being read, for messages. */
    const char *path;
    const char *record; /* "header", "key" or "tensor" */
    uint64_t index;     /* of the record */
    struct qn_string name;
    struct qn_error *err;
};

/* "PATH: tensor 3 'blk.0.x', byte 1234: MESSAGE". */
static enum qn_status fail(const struct reader *r, enum qn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

static enum qn_status fail(const struct reader *r, enum qn_status status, const char *format, ...) {
    char message[256];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    char place[128] = "header";
    const int shown = (int)(r->name.size < 80 ? r->name.size : 80);
    if (r->name.data)
        snprintf(place, sizeof place, "%s '%.*s'", r->record, shown, r->name.data);
    else if (r->record)
        snprintf(place, sizeof place, "%s %" PRIu64, r->record, r->index);
    /* Of a long path the end tells more. */
    const size_t length = strlen(r->path);
    const char *path = length > 120 ? r->path + length - 120 : r->path;
    return qn_fail(r->err, status, "%s: %s, byte %zu: %s", path, place, r->at, message);
}

static size_t left(const struct reader *r) {
    return r->size - r->at;
}

static enum qn_status read_bytes(struct reader *r, void *out, size_t size, const char *what) {
    if (size > left(r))
        return fail(r, QN_BAD_FILE, "the file ends within %s (%zu bytes left, %zu needed)", what,
                    left(r), size);
    memcpy(out, r->data + r->at, size);
    r->at += size;
    return QN_OK;
}

static enum qn_status read_string(struct reader *r, struct qn_string *out, const char *what) {
    uint64_t size = 0;
    QN_TRY(read_bytes(r, &size, sizeof size, what));
    if (size > left(r)) {
        r->at -= sizeof size;
        return fail(r, QN_BAD_FILE, "%s of %" PRIu64 " bytes, but the file has %zu more", what,
                    size, left(r) - sizeof size);
    }
    *out = (struct qn_string){(const char *)r->data + r->at, (size_t)size};
    r->at += (size_t)size;
    return QN_OK;
}

/* A key or a tensor's name: not empty, at most max bytes, no zero byte. */
static enum qn_status read_name(struct reader *r, size_t max, const char *what) {
    const size_t start = r->at;
    struct qn_string name;
    QN_TRY(read_string(r, &name, what));
    const size_t end = r->at;
    r->at = start;
    if (name.size == 0) return fail(r, QN_BAD_FILE, "%s is empty", what);
    if (name.size > max)
        return fail(r, QN_BAD_FILE, "%s has %zu bytes, at most %zu are allowed", what, name.size,
                    max);
    if (memchr(name.data, 0, name.size)) return fail(r, QN_BAD_FILE, "%s holds a zero byte", what);
    r->at = end;
    r->name = name;
    return QN_OK;
}

/* ---- values ---- */

/* Bools are one byte, 0 or 1; every other pattern of bits is a valid number. */
static enum qn_status check_bools(struct reader *r, uint64_t count) {
    for (uint64_t i = 0; i < count; i++, r->at++) {
        if (r->data[r->at] > 1)
            return fail(r, QN_BAD_FILE, "bool of value %u, expected 0 or 1", r->data[r->at]);
    }
    return QN_OK;
}

/* Moves over `count` values of a type that is no array. */
static enum qn_status skip_values(struct reader *r, enum qn_gguf_type type, uint64_t count) {
    if (type == QN_GGUF_STRING) {
        struct qn_string ignored;
        for (uint64_t i = 0; i < count; i++) QN_TRY(read_string(r, &ignored, "a string"));
        return QN_OK;
    }
    const size_t size = qn_gguf_type_size(type);
    if (count > left(r) / size)
        return fail(r, QN_BAD_FILE,
                    "%" PRIu64 " values of type %s, but the file has %zu more bytes", count,
                    qn_gguf_type_name(type), left(r));
    if (type == QN_GGUF_BOOL) return check_bools(r, count);
    r->at += (size_t)count * size;
    return QN_OK;
}

static enum qn_status read_type(struct reader *r, enum qn_gguf_type *type, const char *what) {
    uint32_t stored = 0;
    QN_TRY(read_bytes(r, &stored, sizeof stored, what));
    if (stored > QN_GGUF_F64) {
        r->at -= sizeof stored;
        return fail(r, QN_BAD_FILE, "%s is %" PRIu32 ", expected 0 to %d", what, stored,
                    QN_GGUF_F64);
    }
    *type = (enum qn_gguf_type)stored;
    return QN_OK;
}

static enum qn_status read_value(struct reader *r, struct qn_gguf_value *value) {
    QN_TRY(read_name(r, QN_GGUF_MAX_KEY_SIZE, "a key"));
    value->key = r->name;
    QN_TRY(read_type(r, &value->type, "the value's type"));
    value->element = value->type;
    value->count = 1;
    if (value->type == QN_GGUF_ARRAY) {
        QN_TRY(read_type(r, &value->element, "the array's element type"));
        if (value->element == QN_GGUF_ARRAY)
            return fail(r, QN_UNSUPPORTED, "an array of arrays, which no model needs");
        QN_TRY(read_bytes(r, &value->count, sizeof value->count, "the array's count"));
    }
    value->data = r->data + r->at;
    QN_TRY(skip_values(r, value->element, value->count));
    value->size = (size_t)(r->data + r->at - value->data);
    return QN_OK;
}

static enum qn_status read_values(struct reader *r, struct qn_gguf_part *part) {
    if (part->n_values == 0) return QN_OK;
    part->values = calloc(part->n_values, sizeof *part->values);
    if (!part->values) return fail(r, QN_NO_MEMORY, "no memory for %zu keys", part->n_values);
    r->record = "key";
    for (size_t i = 0; i < part->n_values; i++) {
        r->index = i;
        r->name = (struct qn_string){0};
        QN_TRY(read_value(r, &part->values[i]));
    }
    return QN_OK;
}

static enum qn_status read_alignment(struct reader *r, const struct qn_gguf_part *part,
                                     size_t *alignment) {
    static const char key[] = "general.alignment";
    *alignment = QN_GGUF_FIXED_ALIGNMENT;
    const struct qn_gguf_value *value = qn_gguf_find_in(part->values, part->n_values, key);
    if (!value) return QN_OK;
    struct reader place = *r;
    place.record = "key";
    place.name = value->key;
    place.at = (size_t)(value->data - r->data);
    if (value->type != QN_GGUF_U32)
        return fail(&place, QN_BAD_FILE, "is of type %s, expected u32",
                    qn_gguf_type_name(value->type));
    uint32_t stored = 0;
    memcpy(&stored, value->data, sizeof stored);
    if (stored < QN_GGUF_MIN_ALIGNMENT || stored > QN_GGUF_MAX_ALIGNMENT ||
        (stored & (stored - 1)) != 0)
        return fail(&place, QN_BAD_FILE, "is %" PRIu32 ", expected a power of two from %u to %u",
                    stored, QN_GGUF_MIN_ALIGNMENT, QN_GGUF_MAX_ALIGNMENT);
    *alignment = stored;
    return QN_OK;
}

/* ---- tensors ---- */

#define NOT_RUN QN_TYPE_COUNT

/* Tensor types by the number that files store. */
static const struct stored_type {
    const char *name; /* NULL: a number that means nothing, or no longer does */
    enum qn_type type;
} stored_types[] = {
    [0] = {"F32", QN_TYPE_F32},        [1] = {"F16", QN_TYPE_F16},    [2] = {"Q4_0", QN_TYPE_Q4_0},
    [3] = {"Q4_1", QN_TYPE_Q4_1},      [6] = {"Q5_0", QN_TYPE_Q5_0},  [7] = {"Q5_1", QN_TYPE_Q5_1},
    [8] = {"Q8_0", QN_TYPE_Q8_0},      [9] = {"Q8_1", NOT_RUN},       [10] = {"Q2_K", QN_TYPE_Q2_K},
    [11] = {"Q3_K", QN_TYPE_Q3_K},     [12] = {"Q4_K", QN_TYPE_Q4_K}, [13] = {"Q5_K", QN_TYPE_Q5_K},
    [14] = {"Q6_K", QN_TYPE_Q6_K},     [15] = {"Q8_K", NOT_RUN},      [16] = {"IQ2_XXS", NOT_RUN},
    [17] = {"IQ2_XS", NOT_RUN},        [18] = {"IQ3_XXS", NOT_RUN},   [19] = {"IQ1_S", NOT_RUN},
    [20] = {"IQ4_NL", QN_TYPE_IQ4_NL}, [21] = {"IQ3_S", NOT_RUN},     [22] = {"IQ2_S", NOT_RUN},
    [23] = {"IQ4_XS", QN_TYPE_IQ4_XS}, [24] = {"I8", NOT_RUN},        [25] = {"I16", NOT_RUN},
    [26] = {"I32", NOT_RUN},           [27] = {"I64", NOT_RUN},       [28] = {"F64", NOT_RUN},
    [29] = {"IQ1_M", NOT_RUN},         [30] = {"BF16", QN_TYPE_BF16}, [34] = {"TQ1_0", NOT_RUN},
    [35] = {"TQ2_0", NOT_RUN},         [39] = {"MXFP4", NOT_RUN},     [40] = {"NVFP4", NOT_RUN},
    [41] = {"Q1_0", NOT_RUN},
};

static enum qn_status read_tensor_type(struct reader *r, enum qn_type *type) {
    uint32_t number = 0;
    QN_TRY(read_bytes(r, &number, sizeof number, "the tensor's type"));
    const struct stored_type *stored =
        number < sizeof stored_types / sizeof *stored_types ? &stored_types[number] : NULL;
    if (!stored || !stored->name) {
        r->at -= sizeof number;
        return fail(r, QN_UNSUPPORTED, "has type number %" PRIu32 ", which is not known", number);
    }
    *type = stored->type;
    if (stored->type != NOT_RUN) return QN_OK;
    char runs[160] = "";
    size_t n = 0;
    for (int i = 0; i < QN_TYPE_STORED && n < sizeof runs; i++)
        n += (size_t)snprintf(runs + n, sizeof runs - n, "%s%s", i ? ", " : "",
                              qn_type_infos[i].name);
    r->at -= sizeof number;
    return fail(r, QN_UNSUPPORTED, "has type %s (%" PRIu32 "); this build runs %s", stored->name,
                number, runs);
}

static enum qn_status read_shape(struct reader *r, struct qn_tensor *tensor) {
    uint32_t n_dims = 0;
    QN_TRY(read_bytes(r, &n_dims, sizeof n_dims, "the number of dimensions"));
    if (n_dims < 1 || n_dims > QN_GGUF_MAX_DIMS) {
        r->at -= sizeof n_dims;
        return fail(r, QN_BAD_FILE, "has %" PRIu32 " dimensions, expected 1 to %u", n_dims,
                    QN_GGUF_MAX_DIMS);
    }
    tensor->n_dims = (int)n_dims;
    for (uint32_t i = 0; i < QN_GGUF_MAX_DIMS; i++) tensor->shape[i] = 1;
    for (uint32_t i = 0; i < n_dims; i++) {
        QN_TRY(read_bytes(r, &tensor->shape[i], sizeof tensor->shape[i], "the shape"));
        if (tensor->shape[i] == 0) {
            r->at -= sizeof tensor->shape[i];
            return fail(r, QN_BAD_FILE, "has shape[%" PRIu32 "] = 0", i);
        }
    }
    return QN_OK;
}

/* Sets tensor->size from type and shape. */
static enum qn_status measure_tensor(const struct reader *r, struct qn_tensor *tensor) {
    const struct qn_type_info *info = &qn_type_infos[tensor->type];
    const uint64_t block = (uint64_t)info->block;
    if (tensor->shape[0] % block != 0)
        return fail(r, QN_BAD_FILE,
                    "has rows of %" PRIu64 " elements, expected a multiple of %s's block of %d",
                    tensor->shape[0], info->name, info->block);
    size_t n = (size_t)(tensor->shape[0] / block);
    bool fits = true;
    for (uint32_t i = 1; i < QN_GGUF_MAX_DIMS; i++)
        fits = fits && qn_checked_mul(n, (size_t)tensor->shape[i], &n);
    if (!fits || !qn_checked_mul(n, (size_t)info->block_size, &tensor->size))
        return fail(r, QN_BAD_FILE,
                    "of shape %" PRIu64 " x %" PRIu64 " x %" PRIu64 " x %" PRIu64
                    " has more bytes than can be counted",
                    tensor->shape[0], tensor->shape[1], tensor->shape[2], tensor->shape[3]);
    if (tensor->size > r->size)
        return fail(r, QN_BAD_FILE, "needs %zu bytes, but the whole file has %zu", tensor->size,
                    r->size);
    return QN_OK;
}

/* What a tensor's record says, kept until all records are read and the data's place is known. */
struct tensor_place {
    struct qn_string name;
    uint64_t offset; /* from the start of the data */
};

static enum qn_status read_tensor(struct reader *r, size_t alignment, struct qn_tensor *tensor,
                                  struct tensor_place *place) {
    QN_TRY(read_name(r, QN_GGUF_MAX_NAME_SIZE, "a tensor's name"));
    place->name = r->name;
    QN_TRY(read_shape(r, tensor));
    QN_TRY(read_tensor_type(r, &tensor->type));
    QN_TRY(measure_tensor(r, tensor));
    QN_TRY(read_bytes(r, &place->offset, sizeof place->offset, "the tensor's offset"));
    if (place->offset % alignment == 0) return QN_OK;
    r->at -= sizeof place->offset;
    return fail(r, QN_BAD_FILE, "has offset %" PRIu64 ", expected a multiple of %zu", place->offset,
                alignment);
}

/* Points the tensors to their names (copied, terminated) and their data. */
static enum qn_status place_tensors(struct reader *r, struct qn_gguf_part *part, size_t alignment,
                                    const struct tensor_place *places) {
    size_t names_size = 0;
    for (size_t i = 0; i < part->n_tensors; i++) names_size += places[i].name.size + 1;
    part->names = malloc(names_size);
    if (!part->names) return fail(r, QN_NO_MEMORY, "no memory for the names of the tensors");
    size_t start;
    if (!qn_checked_align(r->at, alignment, &start) || start > r->size) start = r->size;
    char *name = part->names;
    for (size_t i = 0; i < part->n_tensors; i++) {
        struct qn_tensor *tensor = &part->tensors[i];
        r->name = places[i].name;
        r->at = start;
        const size_t room = r->size - start;
        if (places[i].offset > room || tensor->size > room - (size_t)places[i].offset)
            return fail(r, QN_BAD_FILE,
                        "has %zu bytes at offset %" PRIu64
                        " of the data, which are cut off: the file has %zu bytes of data",
                        tensor->size, places[i].offset, room);
        tensor->data = r->data + start + (size_t)places[i].offset;
        tensor->name = name;
        memcpy(name, places[i].name.data, places[i].name.size);
        name[places[i].name.size] = '\0';
        name += places[i].name.size + 1;
    }
    return QN_OK;
}

static enum qn_status read_tensors(struct reader *r, struct qn_gguf_part *part, size_t alignment) {
    if (part->n_tensors == 0) return QN_OK;
    r->record = "tensor";
    r->name = (struct qn_string){0};
    part->tensors = calloc(part->n_tensors, sizeof *part->tensors);
    struct tensor_place *places = calloc(part->n_tensors, sizeof *places);
    enum qn_status status = QN_OK;
    if (!part->tensors || !places)
        status = fail(r, QN_NO_MEMORY, "no memory for %zu tensors", part->n_tensors);
    for (size_t i = 0; status == QN_OK && i < part->n_tensors; i++) {
        r->index = i;
        r->name = (struct qn_string){0};
        status = read_tensor(r, alignment, &part->tensors[i], &places[i]);
    }
    if (status == QN_OK) status = place_tensors(r, part, alignment, places);
    free(places);
    return status;
}

/* ---- the file ---- */

static enum qn_status read_version(struct reader *r, uint32_t *version) {
    char magic[4] = "";
    QN_TRY(read_bytes(r, magic, sizeof magic, "the magic number"));
    if (memcmp(magic, "GGUF", sizeof magic) != 0) {
        r->at = 0;
        return fail(r, QN_BAD_FILE, "is not a GGUF file: it begins with %02x %02x %02x %02x",
                    r->data[0], r->data[1], r->data[2], r->data[3]);
    }
    QN_TRY(read_bytes(r, version, sizeof *version, "the version"));
    if (*version == 2 || *version == 3) return QN_OK;
    r->at -= sizeof *version;
    const uint32_t swapped = __builtin_bswap32(*version);
    if (swapped >= 1 && swapped <= 3)
        return fail(r, QN_UNSUPPORTED, "is a big-endian GGUF file; this build reads little-endian");
    return fail(r, QN_UNSUPPORTED, "is of GGUF version %" PRIu32 "; this build reads 2 and 3",
                *version);
}

/* A count of records that take at least min_size bytes each. */
static enum qn_status read_count(struct reader *r, size_t *count, const char *what, size_t min_size,
                                 size_t max) {
    uint64_t stored = 0;
    QN_TRY(read_bytes(r, &stored, sizeof stored, what));
    *count = (size_t)stored;
    if (stored <= max && stored <= left(r) / min_size) return QN_OK;
    r->at -= sizeof stored;
    if (stored > max)
        return fail(r, QN_BAD_FILE, "%s is %" PRIu64 ", at most %zu are allowed", what, stored,
                    max);
    return fail(r, QN_BAD_FILE, "%s is %" PRIu64 ", more than the file's %zu bytes can hold", what,
                stored, r->size);
}

static enum qn_status read_file(struct reader *r, struct qn_gguf_part *part) {
    QN_TRY(read_version(r, &part->version));
    QN_TRY(read_count(r, &part->n_tensors, "the number of tensors", TENSOR_MIN_SIZE,
                      QN_GGUF_MAX_TENSORS));
    QN_TRY(read_count(r, &part->n_values, "the number of keys", VALUE_MIN_SIZE, QN_GGUF_MAX_KEYS));
    QN_TRY(read_values(r, part));
    size_t alignment;
    QN_TRY(read_alignment(r, part, &alignment));
    return read_tensors(r, part, alignment);
}

enum qn_status qn_gguf_read_header(struct qn_gguf_part *part, struct qn_error *err) {
    struct reader r = {.data = part->data, .size = part->size, .path = part->path, .err = err};
    const enum qn_status status = read_file(&r, part);
    if (status == QN_OK) return QN_OK;
    free(part->values);
    free(part->tensors);
    free(part->names);
    part->values = NULL;
    part->tensors = NULL;
    part->names = NULL;
    return status;
}
