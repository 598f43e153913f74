/* SPDX-License-Identifier: Apache-2.0
 *
 * Writes zip archives of stored entries into memory, as torch.save arranges them: the sizes in the
 * directory alone, a ZIP64 end record always. Running out of memory aborts: this is for tests.
 */
#ifndef QN_TESTS_ZIP_WRITER_H
#define QN_TESTS_ZIP_WRITER_H

#include <stdbool.h>

#include "gguf_writer.h"

struct zip_writer { /* zero-initialise */
    bool large;     /* in ZIP64 extra fields: each entry's place, and the size of every other one */
    size_t n_entries;
    struct bytes entries;   /* local headers and data */
    struct bytes directory; /* central records */
};

void zip_add(struct zip_writer *writer, const char *name, const void *data, size_t size);
/* The whole file; the writer is empty afterwards. */
struct bytes zip_finish(struct zip_writer *writer);

/* An archive "m" of data.pkl, byteorder, data/0 of 24 bytes whose byte i is i, and version. */
struct bytes zip_of_pickle(const void *pickle, size_t size, bool large);

#endif
