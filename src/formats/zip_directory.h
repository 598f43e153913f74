/* SPDX-License-Identifier: Apache-2.0
 *
 * The directory of a zip archive (PKWARE's APPNOTE 6.3, ZIP64 too) in which every entry is stored
 * as it is, so that its bytes can be used where the file is mapped. Libraries for zip copy what
 * they read, which would hold the weights in memory twice while they are packed.
 */
#ifndef QN_FORMATS_ZIP_DIRECTORY_H
#define QN_FORMATS_ZIP_DIRECTORY_H

#include "formats/tensor_file.h"

struct qn_zip_entry {
    const char *name; /* [name_size], in the file, not terminated */
    size_t name_size;
    size_t start;  /* of the local header before the data */
    size_t offset; /* of the data */
    size_t size;   /* of the data */
};

struct qn_zip {
    size_t n_entries;
    struct qn_zip_entry *entries; /* [n_entries], by name */
};

/* Reads the directory of a file whose data and path are set. Errors: QN_BAD_FILE (not a zip
 * archive, cut off, entries out of range, overlapping or twice), QN_UNSUPPORTED (entries that are
 * compressed or encrypted, archives on several disks), QN_NO_MEMORY. Checksums are not read: that
 * would read all of the data. */
enum qn_status qn_zip_read(const struct qn_tensor_file *file, struct qn_zip *zip,
                           struct qn_error *err);
/* NULL when there is none of that name. */
const struct qn_zip_entry *qn_zip_find(const struct qn_zip *zip, const char *name,
                                       size_t name_size);
void qn_zip_free(struct qn_zip *zip); /* a zeroed struct counts as free */

#endif
