/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/torch_file.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "formats/pickle.h"
#include "formats/zip_directory.h"

/* A file while its tensors are read. */
struct reader {
    struct qn_tensor_file *file;
    struct qn_zip zip;
    const char *prefix; /* [prefix_size], of the entries' names: "NAME/" */
    size_t prefix_size;
    size_t pickle_size; /* bytes */
    struct qn_pickle pickle;
    const struct qn_pickle_value *name; /* of the tensor, for messages */
    struct qn_error *err;
};

/* "PATH: tensor 'NAME': MESSAGE". */
static enum qn_status fail(const struct reader *r, enum qn_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

static enum qn_status fail(const struct reader *r, enum qn_status status, const char *format, ...) {
    enum { SHOWN = 80 };
    char message[200];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    return qn_tensor_file_fail(r->file, r->err, status, "tensor '%.*s': %s",
                               (int)(r->name->size < SHOWN ? r->name->size : SHOWN),
                               r->name->string, message);
}

/* ---- one tensor ---- */

/* A tensor as the pickle describes it. */
struct description {
    const struct qn_element *element;
    const struct qn_pickle_value *key; /* a string: of the storage */
    size_t storage_size;               /* bytes */
    uint64_t offset;                   /* of the first element in the storage, in elements */
    size_t n_dims;
    uint64_t shape[QN_TENSOR_FILE_MAX_DIMS], strides[QN_TENSOR_FILE_MAX_DIMS]; /* elements */
};

static bool read_count(const struct qn_pickle_value *value, uint64_t *out) {
    if (value->tag != QN_PICKLE_INTEGER || value->integer < 0) return false;
    *out = (uint64_t)value->integer;
    return true;
}

/* A tuple of at most QN_TENSOR_FILE_MAX_DIMS whole numbers. */
static bool read_counts(const struct reader *r, const struct qn_pickle_value *tuple, uint64_t *out,
                        size_t *n) {
    if (tuple->tag != QN_PICKLE_TUPLE || tuple->size > QN_TENSOR_FILE_MAX_DIMS) return false;
    *n = tuple->size;
    for (size_t i = 0; i < *n; i++)
        if (!read_count(&qn_pickle_items(&r->pickle, tuple)[i], &out[i])) return false;
    return true;
}

/* The storage's tuple is ('storage', class, key, device, number of elements). The element type is
 * that of the class, or what the tensor brings when the storage is untyped. */
static enum qn_status read_storage(const struct reader *r, const struct qn_pickle_value *storage,
                                   const struct qn_pickle_value *element_type,
                                   struct description *description) {
    const struct qn_pickle_value *const id = qn_pickle_items(&r->pickle, storage);
    uint64_t n = 0;
    if (storage->tag != QN_PICKLE_STORAGE || storage->size != 5 || id[1].tag != QN_PICKLE_GLOBAL ||
        id[2].tag != QN_PICKLE_STRING || !read_count(&id[4], &n))
        return fail(r, QN_BAD_FILE, "names no storage");
    const struct qn_pickle_global *const class = id[1].global;
    description->key = &id[2];
    description->storage_size = (size_t)n;
    if (class->kind == QN_PICKLE_UNTYPED_STORAGE && element_type &&
        element_type->tag == QN_PICKLE_GLOBAL &&
        element_type->global->kind == QN_PICKLE_ELEMENT_TYPE) {
        description->element = &element_type->global->element;
        return QN_OK;
    }
    if (class->kind != QN_PICKLE_STORAGE_CLASS || element_type)
        return fail(r, QN_BAD_FILE, "has no element type");
    description->element = &class->element;
    if (!qn_checked_mul((size_t)n, class->element.bits / 8, &description->storage_size))
        return fail(r, QN_BAD_FILE, "has a storage of %" PRIu64 " elements", n);
    return QN_OK;
}

static enum qn_status read_description(const struct reader *r, const struct qn_pickle_value *tensor,
                                       struct description *description) {
    const struct qn_pickle_value *const args = qn_pickle_items(&r->pickle, tensor);
    enum { STORAGE, OFFSET, SHAPE, STRIDES, ELEMENT_TYPE = 6 };
    const bool typed = tensor->size > ELEMENT_TYPE && args[ELEMENT_TYPE].tag == QN_PICKLE_GLOBAL;
    size_t n_strides = 0;
    *description = (struct description){0};
    QN_TRY(read_storage(r, &args[STORAGE], typed ? &args[ELEMENT_TYPE] : NULL, description));
    if (!read_count(&args[OFFSET], &description->offset) ||
        !read_counts(r, &args[SHAPE], description->shape, &description->n_dims) ||
        !read_counts(r, &args[STRIDES], description->strides, &n_strides) ||
        n_strides != description->n_dims)
        return fail(r, QN_BAD_FILE, "has no offset, shape and strides of at most %u whole numbers",
                    QN_TENSOR_FILE_MAX_DIMS);
    return QN_OK;
}

static void format_counts(const uint64_t *counts, size_t n, char *text, size_t capacity) {
    size_t used = (size_t)snprintf(text, capacity, "[");
    for (size_t i = 0; i < n && used < capacity; i++)
        used +=
            (size_t)snprintf(text + used, capacity - used, "%s%" PRIu64, i ? ", " : "", counts[i]);
    if (used < capacity) snprintf(text + used, capacity - used, "]");
}

/* Rows must follow each other without gaps; the stride of a dimension of 1 is never used. The
 * caller has counted the elements. */
static enum qn_status check_contiguous(const struct reader *r,
                                       const struct description *description) {
    uint64_t expected = 1;
    for (size_t i = description->n_dims; i-- > 0; expected *= description->shape[i]) {
        if (description->shape[i] == 1 || description->strides[i] == expected) continue;
        char shape[64], strides[64];
        format_counts(description->shape, description->n_dims, shape, sizeof shape);
        format_counts(description->strides, description->n_dims, strides, sizeof strides);
        return fail(r, QN_UNSUPPORTED,
                    "is not contiguous: shape %s, strides %s; save it after .contiguous()", shape,
                    strides);
    }
    return QN_OK;
}

static const struct qn_zip_entry *find_entry(const struct reader *r, const char *folder,
                                             const char *name, size_t name_size) {
    enum { LONGEST = 512 };
    char path[LONGEST];
    const size_t folder_size = strlen(folder);
    if (r->prefix_size + folder_size + name_size > LONGEST) return NULL;
    memcpy(path, r->prefix, r->prefix_size);
    memcpy(path + r->prefix_size, folder, folder_size);
    memcpy(path + r->prefix_size + folder_size, name, name_size);
    return qn_zip_find(&r->zip, path, r->prefix_size + folder_size + name_size);
}

static enum qn_status read_tensor(const struct reader *r, const struct qn_pickle_value *tensor,
                                  struct qn_stored_tensor *stored) {
    struct description description;
    QN_TRY(read_description(r, tensor, &description));
    size_t start = 0, end;
    if (!qn_stored_tensor_describe(stored, description.element, description.shape,
                                   description.n_dims) ||
        !qn_checked_mul((size_t)description.offset, description.element->bits / 8, &start) ||
        !qn_checked_add(start, stored->tensor.size, &end))
        return fail(r, QN_BAD_FILE, "has a shape whose bytes cannot be counted");
    const struct qn_pickle_value *const key = description.key;
    const struct qn_zip_entry *const entry = find_entry(r, "data/", key->string, key->size);
    if (!entry)
        return fail(r, QN_BAD_FILE, "is in a storage that the file does not hold: data/%.*s",
                    (int)(key->size < 40 ? key->size : 40), key->string);
    if (entry->size != description.storage_size)
        return fail(r, QN_BAD_FILE, "is in a storage of %zu bytes, of which the file holds %zu",
                    description.storage_size, entry->size);
    if (end > entry->size)
        return fail(r, QN_BAD_FILE, "ends at byte %zu of a storage of %zu bytes", end, entry->size);
    stored->tensor.data = r->file->data + entry->offset + start;
    return stored->left_out ? QN_OK : check_contiguous(r, &description);
}

/* ---- the dict ---- */

/* The dict of tensors: the file's, or one in it under a name that training programs use. */
static struct qn_pickle_value find_tensors(const struct reader *r) {
    static const char *const wrappers[] = {"state_dict", "model"};
    const struct qn_pickle_value *key, *value;
    for (size_t i = 0; i < sizeof wrappers / sizeof *wrappers; i++)
        for (size_t cursor = 0; qn_pickle_next(&r->pickle, &r->pickle.root, &cursor, &key, &value);)
            if (key->tag == QN_PICKLE_STRING && value->tag == QN_PICKLE_DICT &&
                key->size == strlen(wrappers[i]) &&
                memcmp(key->string, wrappers[i], key->size) == 0)
                return *value;
    return r->pickle.root;
}

/* Moves to the dict's next tensor; false at its end. */
static bool next_tensor(struct reader *r, const struct qn_pickle_value *dict, size_t *cursor,
                        const struct qn_pickle_value **tensor) {
    while (qn_pickle_next(&r->pickle, dict, cursor, &r->name, tensor))
        if (r->name->tag == QN_PICKLE_STRING && (*tensor)->tag == QN_PICKLE_TENSOR) return true;
    return false;
}

static enum qn_status read_tensors(struct reader *r) {
    if (r->pickle.root.tag != QN_PICKLE_DICT)
        return qn_tensor_file_fail(r->file, r->err, QN_BAD_FILE, "does not hold a dict of tensors");
    const struct qn_pickle_value dict = find_tensors(r), *tensor;
    size_t n = 0, names_size = 0;
    for (size_t cursor = 0; next_tensor(r, &dict, &cursor, &tensor); n++) {
        if (memchr(r->name->string, 0, r->name->size))
            return fail(r, QN_BAD_FILE, "has a zero byte in its name");
        names_size += r->name->size + 1;
    }
    /* Names that differ are different strings of the pickle: only one that is there again and again
     * can make them longer than that. */
    if (names_size > n + r->pickle_size)
        return qn_tensor_file_fail(r->file, r->err, QN_BAD_FILE, "holds tensors of the same name");
    QN_TRY(qn_tensor_file_reserve(r->file, n, names_size, r->err));
    for (size_t cursor = 0; next_tensor(r, &dict, &cursor, &tensor);)
        QN_TRY(read_tensor(r, tensor, qn_tensor_file_add(r->file, r->name->string, r->name->size)));
    return QN_OK;
}

/* ---- the archive ---- */

/* Formats that came before zip archives: a pickle that starts with a magic number, and tar. */
static enum qn_status check_age(const struct qn_tensor_file *file, struct qn_error *err) {
    static const uint8_t magic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c,
                                    0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    if (file->size < sizeof magic || memcmp(file->data, magic, sizeof magic) != 0) return QN_OK;
    return qn_tensor_file_fail(file, err, QN_UNSUPPORTED,
                               "is in the format of PyTorch before 1.6; in Python, "
                               "torch.save(torch.load(FILE, weights_only=True), FILE) brings it "
                               "up to date");
}

/* Finds the only NAME/data.pkl, and with it the prefix of all names. */
static enum qn_status find_pickle(struct reader *r, const struct qn_zip_entry **pickle) {
    static const char suffix[] = "/data.pkl";
    enum { SIZE = sizeof suffix - 1 };
    *pickle = NULL;
    for (size_t i = 0; i < r->zip.n_entries; i++) {
        const struct qn_zip_entry *const entry = &r->zip.entries[i];
        if (entry->name_size <= SIZE) continue;
        const size_t prefix_size = entry->name_size - SIZE + 1;
        if (memcmp(entry->name + prefix_size - 1, suffix, SIZE) != 0 ||
            memchr(entry->name, '/', prefix_size - 1))
            continue;
        if (*pickle) return qn_tensor_file_fail(r->file, r->err, QN_BAD_FILE, "holds two data.pkl");
        *pickle = entry;
        r->prefix = entry->name;
        r->prefix_size = prefix_size;
    }
    if (*pickle) return QN_OK;
    return qn_tensor_file_fail(r->file, r->err, QN_BAD_FILE,
                               "is a zip archive without NAME/data.pkl, so not from torch.save");
}

static enum qn_status check_byte_order(const struct reader *r) {
    static const char name[] = "byteorder", little[] = "little";
    const struct qn_zip_entry *const entry = find_entry(r, "", name, sizeof name - 1);
    if (!entry || (entry->size == sizeof little - 1 &&
                   memcmp(r->file->data + entry->offset, little, entry->size) == 0))
        return QN_OK;
    return qn_tensor_file_fail(r->file, r->err, QN_UNSUPPORTED,
                               "does not hold little-endian numbers, the only ones that are read");
}

static enum qn_status read_archive(struct reader *r) {
    const struct qn_zip_entry *pickle = NULL;
    QN_TRY(qn_zip_read(r->file, &r->zip, r->err));
    QN_TRY(find_pickle(r, &pickle));
    QN_TRY(check_byte_order(r));
    r->pickle_size = pickle->size;
    QN_TRY(qn_pickle_read(r->file, pickle->offset, pickle->size, &r->pickle, r->err));
    return read_tensors(r);
}

enum qn_status qn_torch_read(struct qn_tensor_file *file, struct qn_error *err) {
    struct reader r = {.file = file, .err = err};
    QN_TRY(check_age(file, err));
    const enum qn_status status = read_archive(&r);
    qn_pickle_free(&r.pickle);
    qn_zip_free(&r.zip);
    return status;
}
