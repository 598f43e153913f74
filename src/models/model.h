/* SPDX-License-Identifier: Apache-2.0
 *
 * An open model: the mapped files, its specification, the packed weights, the tokenizer, the
 * chosen kernels and the pinned pool. Immutable once open; sessions refer to it.
 */
#ifndef QN_MODELS_MODEL_H
#define QN_MODELS_MODEL_H

#include "base/arena.h"
#include "host/pool.h"
#include "host/topology.h"
#include "models/spec.h"
#include "text/tokenizer.h"

struct qn_model_options {
    int n_threads;       /* 0: the topology's default */
    int n_threads_batch; /* for ubatches of several tokens; 0: n_threads */
    int spin_us;         /* see qn_pool_set_spin */
    uint32_t bundles;    /* kernels to choose from, see qn_kernels_select */
    bool pin, huge_pages;
    enum qn_numa numa;
    /* Who packs, and so touches first, which tiles: cuts [n_weights][n_threads + 1] receive, of
     * each weight, the first tile of each thread that decodes, then the number of tiles. NULL:
     * evenly. */
    enum qn_status (*divide)(const struct qn_spec *spec, int n_threads, int *cuts,
                             struct qn_error *err);
    const char *quantize;   /* NULL: weights as stored (models/quantize.h) */
    const char *pack_cache; /* folder of packed weights, "" the user's; NULL: none is used */
    bool (*progress)(void *context, double done); /* false stops; may be NULL */
    void *progress_context;
};

struct qn_model {
    struct qn_checkpoint *checkpoint;
    struct qn_spec spec;
    struct qn_kernels kernels;
    struct qn_topology topology;
    struct qn_pool *pool;
    int n_threads, n_threads_batch; /* of the pool's: for one token, and for several */
    struct qn_arena arena;          /* packed weights; read-only */
    enum qn_numa numa;
    bool interleaved;         /* the kernel accepted to spread their pages over nodes */
    bool cached;              /* they were mapped from the cache of packed weights */
    struct qn_error uncached; /* why they were not, or could not be kept; QN_OK: no reason */
    struct qn_tokenizer *tokenizer;
};

/* Opens, validates and packs. */
enum qn_status qn_model_open(const char *path, const struct qn_model_options *options,
                             struct qn_model **out, struct qn_error *err);
/* The tokenizer alone: no weights, pool or specification. */
enum qn_status qn_model_open_vocab(const char *path, struct qn_model **out, struct qn_error *err);
void qn_model_close(struct qn_model *model); /* NULL is allowed */

/* What was done about memory nodes: "local", "interleave", "isolate"; "not interleaved" where that
 * was asked for and the kernel refused, or weights are mapped from the cache. */
const char *qn_model_numa(const struct qn_model *model);

/* Packed tiles of a matrix, or floats of a vector; NULL when the model has none. */
const void *qn_model_weight(const struct qn_model *model, enum qn_role role, int layer);
/* One row of a weight that is read in place, as floats: role TOKEN_EMBD or POSITION_EMBD, row in
 * range, dst [k]. */
void qn_model_row(const struct qn_model *model, enum qn_role role, int row, float *dst);

#endif
