/* SPDX-License-Identifier: Apache-2.0
 *
 * A file that holds a model's arena of packed weights, to be mapped in place of packing:
 *
 *   header        magic, key, hash of the chunks' hashes, hash of all that
 *   hashes        u64 [n], of chunks of 4 MiB of the weights, the last one shorter
 *   zeros         up to a multiple of 2 MiB, so that huge pages can hold what follows
 *   weights       the arena's bytes
 *
 * Numbers are little-endian. Before the weights are used every chunk is read and compared with its
 * hash, by all threads: about as much work as decoding one token. Pages lie where the page cache
 * has them, not on the node of the thread that multiplies them, and not all in huge ones. Accidents
 * are found, forgeries are not: a file that somebody else owns or may write to is refused. A file
 * comes into being under a temporary name and takes its own when it is whole, so that readers never
 * see half of one, and whoever has mapped the old one keeps it.
 */
#ifndef QN_MODELS_PACKED_FILE_H
#define QN_MODELS_PACKED_FILE_H

#include <stdint.h>

#include "base/arena.h"
#include "host/pool.h"

/* What the weights were packed from and for. All fields must agree for a file to be used. */
struct qn_packed_key {
    uint64_t version;   /* QN_PACK_VERSION */
    uint64_t tile_rows; /* of the kernels */
    uint64_t files;     /* hash of the model's files, see pack_cache.h */
    uint64_t layout;    /* hash of where each weight lies, and as what type */
    uint64_t size;      /* bytes of weights, at least 1 */
};

struct qn_packed_reader {
    struct qn_pool *pool;
    bool huge_pages;                              /* ask for them */
    bool (*progress)(void *context, double done); /* false stops; may be NULL */
    void *progress_context;
};

/* Maps the weights, checked. Errors, each naming the path: QN_NOT_FOUND (no such file), QN_BAD_FILE
 * (damaged, or of another key), QN_IO (cannot be read, or is somebody else's), QN_NO_MEMORY,
 * QN_CANCELLED. */
enum qn_status qn_packed_file_open(const char *path, const struct qn_packed_key *key,
                                   const struct qn_packed_reader *reader, struct qn_arena *arena,
                                   struct qn_error *err);
/* Writes data [key->size], in place of a file of that name, readable by its owner alone. Error:
 * QN_IO (no permission, no space), QN_NO_MEMORY; then nothing is left behind. */
enum qn_status qn_packed_file_write(const char *path, const struct qn_packed_key *key,
                                    struct qn_pool *pool, const char *data, struct qn_error *err);

#endif
