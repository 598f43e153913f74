/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model on disk is made of, known from its headers alone: family, hyperparameters, and every
 * weight with its shape, stored type and place in the packed arena. The plan is built from this
 * before any weight is read.
 */
#ifndef QN_MODELS_SPEC_H
#define QN_MODELS_SPEC_H

#include "formats/checkpoint.h"
#include "models/family.h"

/* Where the rows of a matrix, or the elements of a vector, lie within a tensor: number r is number
 * first + r / group * stride + r % group. Transposed: these are columns, [k][n] being stored. */
struct qn_source {
    const struct qn_tensor *tensor;
    int first, group, stride;
    bool transposed;
};

struct qn_weight {
    int n, k;                        /* [n][k]; a vector is [1][k] */
    int n_parts;                     /* 0: the model has none; 1; or the number of experts */
    const struct qn_source *sources; /* [n_parts] */
    enum qn_type type;   /* of its values: as all sources are stored, or as they are quantized */
    enum qn_type packed; /* the same, or what kernels want in its place (qn_type_at_load) */
    bool plus_one;       /* a norm that is stored less 1 (family.h) */
    size_t offset;       /* in the arena: packed tiles of a matrix, floats of a vector */
    size_t tile_size;    /* bytes of a packed tile; 0 for a vector and for rows read in place */
    size_t part_size;    /* bytes of a part, all its tiles; parts lie one behind the other */
};

struct qn_spec {
    const struct qn_checkpoint *checkpoint; /* not owned */
    const struct qn_family *family;
    struct qn_hparams hparams;
    int tile_rows;
    uint32_t bundles;          /* of the kernels that weights are packed for */
    enum qn_type quantize;     /* of float matrices; QN_TYPE_COUNT: none (models/quantize.h) */
    bool tied;                 /* the head is packed from the embedding */
    struct qn_weight *weights; /* see qn_spec_weight */
    size_t n_weights;
    struct qn_source *sources; /* of all weights */
    size_t n_sources;
    size_t arena_size;  /* bytes of packed weights */
    uint64_t n_params;  /* elements of all weights */
    size_t decode_size; /* packed bytes that a decoded token reads */
    size_t n_unused;    /* tensors of the files that nothing reads, known buffers aside */
    size_t n_other;     /* of these, for images or sound */
    const char *unused; /* one that is not, or NULL */
};

/* kernels: that the weights are packed for. quantize: the type of float matrices' values, NULL:
 * as stored (models/quantize.h).
 * Errors: QN_BAD_ARGUMENT (quantize), QN_UNSUPPORTED (another architecture), QN_BAD_FILE (a tensor
 * missing or of another shape, a key out of range), QN_NO_MEMORY. */
enum qn_status qn_spec_read(const struct qn_checkpoint *checkpoint,
                            const struct qn_kernels *kernels, const char *quantize,
                            struct qn_spec *spec, struct qn_error *err);
void qn_spec_free(struct qn_spec *spec); /* idempotent */

/* The weight of a role; layer is ignored for model-wide roles. For a tied model the OUTPUT weight
 * is the embedding, packed. */
const struct qn_weight *qn_spec_weight(const struct qn_spec *spec, enum qn_role role, int layer);

/* Tiles of a packed matrix, of one part. */
int qn_weight_n_tiles(const struct qn_weight *weight, int tile_rows);

#endif
