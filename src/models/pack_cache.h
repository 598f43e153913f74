/* SPDX-License-Identifier: Apache-2.0
 *
 * Packed weights kept between runs: where, and for which model. A file is named after the model's
 * path, the kernels' tiles and the type it is quantized to, so that a model that changes replaces
 * its own file and leaves none behind.
 *
 * Whether the model's files are still those that were packed is told without reading them, as
 * hashing 640 MB costs as much as packing it: by each file's inode, size and times. The time of
 * change is one of them; programs can set the time of modification back, but not that one, so a
 * file that was written, replaced or restored differs. Times have grains (2 s on some file
 * systems): what is packed from a file changed that recently is not kept. Against clocks that run
 * backwards, 64 blocks of 4 KiB from all over the weights are hashed too.
 */
#ifndef QN_MODELS_PACK_CACHE_H
#define QN_MODELS_PACK_CACHE_H

#include <limits.h>

#include "models/packed_file.h"
#include "models/spec.h"

struct qn_pack_cache {
    char path[PATH_MAX];
    struct qn_packed_key key;
    bool recent; /* the model's files were changed a moment ago */
};

/* folder: "" for packed/ among the user's caches (base/cache_folder.h). Error: QN_IO when the
 * folder has no name or one too long. Makes nothing on disk. */
enum qn_status qn_pack_cache_find(const char *folder, const char *model_path,
                                  const struct qn_spec *spec, struct qn_pack_cache *cache,
                                  struct qn_error *err);
/* Makes the folder and writes the packed weights. Error: QN_IO, also where they must not be kept;
 * QN_NO_MEMORY. */
enum qn_status qn_pack_cache_keep(const struct qn_pack_cache *cache, struct qn_pool *pool,
                                  const char *data, struct qn_error *err);

#endif
