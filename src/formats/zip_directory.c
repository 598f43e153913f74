/* SPDX-License-Identifier: Apache-2.0 */
#include "formats/zip_directory.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are read as they are stored");

/* Signatures, and sizes of the fixed parts. */
enum {
    LOCAL = 0x04034b50,
    CENTRAL = 0x02014b50,
    END = 0x06054b50,
    END_64 = 0x06064b50,
    LOCATOR_64 = 0x07064b50,
    LOCAL_SIZE = 30,
    CENTRAL_SIZE = 46,
    END_SIZE = 22,
    END_64_SIZE = 56,
    LOCATOR_64_SIZE = 20,
    MAX_COMMENT_SIZE = 65535,
};
enum { ENCRYPTED = 1, STORED = 0, EXTRA_64 = 1 };

static uint64_t number_at(const uint8_t *data, size_t size) {
    uint64_t value = 0;
    memcpy(&value, data, size);
    return value;
}

static uint16_t u16_at(const uint8_t *data) {
    return (uint16_t)number_at(data, 2);
}
static uint32_t u32_at(const uint8_t *data) {
    return (uint32_t)number_at(data, 4);
}
static uint64_t u64_at(const uint8_t *data) {
    return number_at(data, 8);
}

/* ---- the end of the archive ---- */

/* The central directory: n records in bytes [offset, offset + size), nothing but the archive's end
 * behind it. */
struct directory {
    size_t n, offset, size;
};

/* Byte at which the end record starts; file->size when there is none. */
static size_t find_end(const struct qn_tensor_file *file) {
    for (size_t comment = 0; comment <= MAX_COMMENT_SIZE; comment++) {
        if (file->size < END_SIZE + comment) break;
        const uint8_t *const end = file->data + file->size - END_SIZE - comment;
        if (u32_at(end) == END && u16_at(end + 20) == comment) return (size_t)(end - file->data);
    }
    return file->size;
}

/* Reads the ZIP64 end record if a locator stands before `end`, which then moves to that record. */
static enum qn_status read_end_64(const struct qn_tensor_file *file, size_t *end,
                                  struct directory *directory, struct qn_error *err) {
    if (*end < LOCATOR_64_SIZE) return QN_OK;
    const uint8_t *const locator = file->data + *end - LOCATOR_64_SIZE;
    if (u32_at(locator) != LOCATOR_64) return QN_OK;
    const uint64_t offset = u64_at(locator + 8);
    const size_t room = *end - LOCATOR_64_SIZE;
    if (room < END_64_SIZE || offset > room - END_64_SIZE || u32_at(file->data + offset) != END_64)
        return qn_tensor_file_fail(file, err, QN_BAD_FILE,
                                   "the zip archive's ZIP64 end record is not where it should be");
    const uint8_t *const record = file->data + offset;
    if (u32_at(record + 16) != 0 || u64_at(record + 24) != u64_at(record + 32))
        return qn_tensor_file_fail(file, err, QN_UNSUPPORTED, "is a zip archive on several disks");
    *directory = (struct directory){u64_at(record + 32), u64_at(record + 48), u64_at(record + 40)};
    *end = offset;
    return QN_OK;
}

static enum qn_status read_end(const struct qn_tensor_file *file, struct directory *directory,
                               struct qn_error *err) {
    size_t end = find_end(file);
    if (end == file->size)
        return qn_tensor_file_fail(file, err, QN_BAD_FILE,
                                   "is not a zip archive, or is cut off: it has no end record");
    const uint8_t *const record = file->data + end;
    if (u16_at(record + 4) != 0 || u16_at(record + 8) != u16_at(record + 10))
        return qn_tensor_file_fail(file, err, QN_UNSUPPORTED, "is a zip archive on several disks");
    *directory = (struct directory){u16_at(record + 10), u32_at(record + 16), u32_at(record + 12)};
    QN_TRY(read_end_64(file, &end, directory, err));
    if (directory->size > end || directory->offset > end - directory->size ||
        directory->n > directory->size / CENTRAL_SIZE)
        return qn_tensor_file_fail(file, err, QN_BAD_FILE,
                                   "the zip archive's directory of %zu entries in %zu bytes at "
                                   "byte %zu does not fit before its end at byte %zu",
                                   directory->n, directory->size, directory->offset, end);
    return QN_OK;
}

/* ---- entries ---- */

static enum qn_status fail(const struct qn_tensor_file *file, const struct qn_zip_entry *entry,
                           enum qn_status status, const char *message, struct qn_error *err) {
    const int shown = (int)(entry->name_size < 80 ? entry->name_size : 80);
    return qn_tensor_file_fail(file, err, status, "zip entry '%.*s' %s", shown, entry->name,
                               message);
}

/* In place of each number that 32 bits do not hold the extra field has one of 64, in this order. */
static bool read_extra_64(const uint8_t *extra, size_t size, uint64_t *numbers[3]) {
    while (size >= 4) {
        size_t field = u16_at(extra + 2);
        if (field > size - 4) return false;
        if (u16_at(extra) == EXTRA_64) {
            extra += 4;
            for (int i = 0; i < 3; i++) {
                if (*numbers[i] != UINT32_MAX) continue;
                if (field < 8) return false;
                *numbers[i] = u64_at(extra);
                extra += 8;
                field -= 8;
            }
            return true;
        }
        extra += 4 + field;
        size -= 4 + field;
    }
    return true;
}

/* Finds the data behind the local header, before byte `end`. */
static enum qn_status read_local(const struct qn_tensor_file *file, uint64_t start, size_t end,
                                 struct qn_zip_entry *entry, struct qn_error *err) {
    if (end < LOCAL_SIZE || start > end - LOCAL_SIZE)
        return fail(file, entry, QN_BAD_FILE, "is out of range", err);
    const uint8_t *const header = file->data + start;
    const size_t name_size = u16_at(header + 26), extra_size = u16_at(header + 28);
    if (u32_at(header) != LOCAL)
        return fail(file, entry, QN_BAD_FILE, "has no header where the directory says", err);
    const size_t room = end - (size_t)start - LOCAL_SIZE;
    if (room < name_size + extra_size || entry->size > room - name_size - extra_size)
        return fail(file, entry, QN_BAD_FILE, "is out of range", err);
    if (name_size != entry->name_size || memcmp(header + LOCAL_SIZE, entry->name, name_size) != 0 ||
        u16_at(header + 8) != STORED)
        return fail(file, entry, QN_BAD_FILE, "is another one in its own header", err);
    entry->start = (size_t)start;
    entry->offset = (size_t)start + LOCAL_SIZE + name_size + extra_size;
    return QN_OK;
}

/* Reads the record at *at, which moves behind it; the directory ends at `end`. */
static enum qn_status read_entry(const struct qn_tensor_file *file,
                                 const struct directory *directory, size_t *at,
                                 struct qn_zip_entry *entry, struct qn_error *err) {
    const size_t left = directory->offset + directory->size - *at;
    const uint8_t *const record = file->data + *at;
    if (left < CENTRAL_SIZE || u32_at(record) != CENTRAL)
        return qn_tensor_file_fail(file, err, QN_BAD_FILE,
                                   "the zip archive's directory is broken at byte %zu", *at);
    entry->name = (const char *)record + CENTRAL_SIZE;
    entry->name_size = u16_at(record + 28);
    const size_t extra_size = u16_at(record + 30);
    const size_t size = CENTRAL_SIZE + entry->name_size + extra_size + u16_at(record + 32);
    if (left < size)
        return qn_tensor_file_fail(file, err, QN_BAD_FILE,
                                   "the zip archive's directory ends within the entry at byte %zu",
                                   *at);
    *at += size;
    if (u16_at(record + 8) & ENCRYPTED)
        return fail(file, entry, QN_UNSUPPORTED, "is encrypted", err);
    if (u16_at(record + 10) != STORED)
        return fail(file, entry, QN_UNSUPPORTED,
                    "is compressed, so it cannot be used where it lies; torch.save stores entries "
                    "as they are",
                    err);
    uint64_t stored = u32_at(record + 20), whole = u32_at(record + 24);
    uint64_t start = u32_at(record + 42);
    uint64_t *numbers[3] = {&whole, &stored, &start};
    if (!read_extra_64((const uint8_t *)entry->name + entry->name_size, extra_size, numbers))
        return fail(file, entry, QN_BAD_FILE, "has a broken extra field", err);
    if (stored != whole)
        return fail(file, entry, QN_BAD_FILE, "has two sizes, though it is not compressed", err);
    entry->size = (size_t)whole;
    return read_local(file, start, directory->offset, entry, err);
}

static int compare_starts(const void *a, const void *b) {
    const struct qn_zip_entry *const x = a, *const y = b;
    return (x->start > y->start) - (x->start < y->start);
}

static int compare_names(const void *a, const void *b) {
    const struct qn_zip_entry *const x = a, *const y = b;
    const size_t shared = x->name_size < y->name_size ? x->name_size : y->name_size;
    const int order = memcmp(x->name, y->name, shared);
    return order != 0 ? order : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

/* Entries may neither overlap nor share a name. Leaves them in the order of names. */
static enum qn_status sort_entries(const struct qn_tensor_file *file, struct qn_zip *zip,
                                   struct qn_error *err) {
    struct qn_zip_entry *const entries = zip->entries;
    qsort(entries, zip->n_entries, sizeof *entries, compare_starts);
    for (size_t i = 1; i < zip->n_entries; i++)
        if (entries[i].start < entries[i - 1].offset + entries[i - 1].size)
            return fail(file, &entries[i], QN_BAD_FILE, "overlaps the one before it", err);
    qsort(entries, zip->n_entries, sizeof *entries, compare_names);
    for (size_t i = 1; i < zip->n_entries; i++)
        if (compare_names(&entries[i - 1], &entries[i]) == 0)
            return fail(file, &entries[i], QN_BAD_FILE, "is there twice", err);
    return QN_OK;
}

static enum qn_status read_entries(const struct qn_tensor_file *file,
                                   const struct directory *directory, struct qn_zip *zip,
                                   struct qn_error *err) {
    if (directory->n == 0) return QN_OK;
    zip->entries = calloc(directory->n, sizeof *zip->entries);
    if (!zip->entries)
        return qn_tensor_file_fail(file, err, QN_NO_MEMORY, "no memory for %zu entries",
                                   directory->n);
    size_t at = directory->offset;
    for (; zip->n_entries < directory->n; zip->n_entries++)
        QN_TRY(read_entry(file, directory, &at, &zip->entries[zip->n_entries], err));
    return sort_entries(file, zip, err);
}

enum qn_status qn_zip_read(const struct qn_tensor_file *file, struct qn_zip *zip,
                           struct qn_error *err) {
    *zip = (struct qn_zip){0};
    struct directory directory = {0};
    QN_TRY(read_end(file, &directory, err));
    const enum qn_status status = read_entries(file, &directory, zip, err);
    if (status != QN_OK) qn_zip_free(zip);
    return status;
}

const struct qn_zip_entry *qn_zip_find(const struct qn_zip *zip, const char *name,
                                       size_t name_size) {
    const struct qn_zip_entry wanted = {.name = name, .name_size = name_size};
    if (zip->n_entries == 0) return NULL;
    return bsearch(&wanted, zip->entries, zip->n_entries, sizeof wanted, compare_names);
}

void qn_zip_free(struct qn_zip *zip) {
    free(zip->entries);
    *zip = (struct qn_zip){0};
}
