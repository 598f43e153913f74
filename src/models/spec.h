/* SPDX-License-Identifier: Apache-2.0
 *
 * What a file's model is made of, known from its header alone: family, hyperparameters, and every
 * weight with its shape, stored type and place in the packed arena. The plan is built from this
 * before any weight is read.
 */
#ifndef QN_MODELS_SPEC_H
#define QN_MODELS_SPEC_H

#include "formats/gguf.h"
#include "models/hparams.h"

struct qn_weight {
    const struct qn_tensor *tensor; /* NULL: the model has none */
    int n, k;                       /* [n][k]; a vector is [1][k] */
    size_t offset;                  /* in the arena: packed tiles of a matrix, floats of a vector */
    size_t tile_size;               /* bytes of a packed tile; 0 for a vector */
};

struct qn_spec {
    const struct qn_gguf *gguf; /* not owned */
    const struct qn_family *family;
    struct qn_hparams hparams;
    int tile_rows;
    bool tied;                 /* the head is packed from the embedding */
    struct qn_weight *weights; /* see qn_spec_weight */
    size_t n_weights;
    size_t arena_size;  /* bytes of packed weights */
    uint64_t n_params;  /* elements of all tensors used */
    size_t decode_size; /* packed bytes that a decoded token reads */
    size_t n_unused;    /* tensors of the file that nothing reads */
    const char *unused; /* one of them, or NULL */
};

/* Errors: QN_UNSUPPORTED (another architecture), QN_BAD_FILE (a tensor missing or of another
 * shape, a key out of range), QN_NO_MEMORY. */
enum qn_status qn_spec_read(const struct qn_gguf *gguf, int tile_rows, struct qn_spec *spec,
                            struct qn_error *err);
void qn_spec_free(struct qn_spec *spec); /* idempotent */

/* The weight of a role; layer is ignored for model-wide roles. For a tied model the OUTPUT weight
 * is the embedding, packed. */
const struct qn_weight *qn_spec_weight(const struct qn_spec *spec, enum qn_role role, int layer);

/* Tiles of a packed matrix. */
int qn_weight_n_tiles(const struct qn_weight *weight, int tile_rows);

#endif
