/* SPDX-License-Identifier: Apache-2.0 */
#include "models/weights.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/pack.h"
#include "kernels/quantize.h"

/* A thread gives back the pages of what it has packed in pieces of this many bytes, so that loading
 * peaks at the packed weights and a little more. Tensors that several weights share, or that are
 * read across their rows, are given back whole when thread 0 is this many weights ahead; by then
 * the other threads have read them (a page that one still needs is only read again). */
enum { PIECE_SIZE = 4 << 20, RELEASE_LAG = 4 };

/* What is not in the page cache comes from the disk while so many weights before it are packed: 1
 * to 100 MB, so that the disk is never idle and what it brings is not pushed out again. */
enum { PREFETCH_LEAD = 2 };

struct load {
    struct qn_model *model;
    const int *cuts; /* as of qn_weights_load */
    bool (*progress)(void *context, double done);
    void *context;
    char *scratch; /* [threads][scratch_size], each a struct room, 64-byte aligned */
    size_t gathered_size, quantized_size, rounded_size, scratch_size;
    size_t total; /* packed bytes of all matrices */
    atomic_bool stop;
};

/* One thread's scratch memory: the rows of a tile gathered, then quantized, and one rounded as
 * activations are, and as floats. */
struct room {
    char *gathered, *quantized, *rounded;
    float *row;
};

static struct room room_of(const struct load *load, int thread) {
    char *const start = load->scratch + (size_t)thread * load->scratch_size;
    char *const quantized = start + load->gathered_size;
    char *const rounded = quantized + load->quantized_size;
    return (struct room){start, quantized, rounded,
                         (float *)(void *)(rounded + load->rounded_size)};
}

/* ---- matrices --------------------------------------------------------------------------- */

/* Whether the rows lie one behind the other. */
static bool is_contiguous(const struct qn_weight *weight, const struct qn_source *source) {
    return !source->transposed && (source->group >= weight->n || source->stride == source->group);
}

static int row_at(const struct qn_source *source, int row) {
    return source->first + row / source->group * source->stride + row % source->group;
}

/* room->row [k] -> blocks of I16. The kernels that round activations write the bytes of
 * qn_quantize_row, twice as fast. */
static void round_row(const struct qn_model *model, const struct room *room, int k, char *blocks) {
    enum { SIZE = QN_I16_BLOCK * sizeof(int16_t) };
    const char *q = room->rounded;
    const float *const scales = qn_i16_scales(room->rounded, k);
    model->kernels.prepare[QN_ACT_I16](room->row, k, room->rounded);
    for (int b = 0; b < k / QN_I16_BLOCK; b++, q += SIZE) {
        memcpy(blocks, &scales[b], sizeof *scales);
        memcpy(blocks + sizeof *scales, q, SIZE);
        blocks += sizeof *scales + SIZE;
    }
}

/* Whether blocks of the type become others before they are packed. */
static bool is_converted(const struct qn_weight *weight, enum qn_type from) {
    return qn_type_stored(weight->packed) != from;
}

/* A row of the source's type -> one as it is packed. */
static void convert_row(const struct qn_model *model, const struct qn_weight *weight,
                        enum qn_type stored, const char *src, const struct room *room, char *to) {
    const size_t k = (size_t)weight->k;
    qn_type_to_float(stored, src, room->row, k);
    if (weight->type != stored) {
        qn_quantize_row(weight->type, room->row, k, to);
        if (!is_converted(weight, weight->type)) return;
        qn_type_to_float(weight->type, to, room->row, k);
    }
    round_row(model, room, weight->k, to);
}

/* The n rows of a tile that lie row_size apart at src, of the source's type. */
static void pack_tile(const struct qn_model *model, const struct qn_weight *weight,
                      const struct qn_source *source, const char *src, size_t row_size, int n,
                      const struct room *room, char *packed) {
    const enum qn_type stored = source->tensor->type;
    if (is_converted(weight, stored)) {
        const size_t size = qn_type_row_size(weight->packed, (size_t)weight->k);
        for (int row = 0; row < n; row++)
            convert_row(model, weight, stored, src + (size_t)row * row_size, room,
                        room->quantized + (size_t)row * size);
        src = room->quantized;
        row_size = size;
    }
    qn_pack_rows(weight->packed, model->spec.tile_rows, weight->k, src, row_size, n, 0, n, packed);
}

/* Tiles [first, end) straight from the file. */
static void pack_contiguous(const struct qn_model *model, const struct qn_weight *weight,
                            const struct qn_source *source, int first, int end,
                            const struct room *room, char *packed) {
    const int rows = model->spec.tile_rows;
    const size_t row_size = qn_type_row_size(source->tensor->type, (size_t)weight->k);
    const char *const data = (const char *)source->tensor->data + (size_t)source->first * row_size;
    int done = first; /* before this tile, pages are given back */
    for (int tile = first; tile < end; tile++) {
        const int n0 = tile * rows, n1 = n0 + rows < weight->n ? n0 + rows : weight->n;
        pack_tile(model, weight, source, data + (size_t)n0 * row_size, row_size, n1 - n0, room,
                  packed + (size_t)tile * weight->tile_size);
        const size_t size = (size_t)(n1 - done * rows) * row_size;
        if (size < PIECE_SIZE && tile + 1 < end) continue;
        qn_checkpoint_release(model->checkpoint, data + (size_t)(done * rows) * row_size, size);
        done = tile + 1;
    }
}

/* Columns [n0, n1) of a matrix stored [k][n] as rows. */
static void gather_columns(const struct qn_weight *weight, const struct qn_source *source, int n0,
                           int n1, char *rows) {
    const size_t element = qn_type_row_size(source->tensor->type, 1);
    const size_t stored = (size_t)source->tensor->shape[0], k = (size_t)weight->k;
    const char *const data = source->tensor->data;
    for (size_t i = 0; i < k; i++)
        for (int n = n0; n < n1; n++)
            memcpy(rows + ((size_t)(n - n0) * k + i) * element,
                   data + (i * stored + (size_t)row_at(source, n)) * element, element);
}

static void gather_rows(const struct qn_source *source, size_t row_size, int n0, int n1,
                        char *rows) {
    const char *const data = source->tensor->data;
    for (int n = n0; n < n1; n++)
        memcpy(rows + (size_t)(n - n0) * row_size, data + (size_t)row_at(source, n) * row_size,
               row_size);
}

/* Tiles [first, end), the rows of each gathered first. */
static void pack_gathered(const struct qn_model *model, const struct qn_weight *weight,
                          const struct qn_source *source, int first, int end,
                          const struct room *room, char *packed) {
    const int tile_rows = model->spec.tile_rows;
    const size_t row_size = qn_type_row_size(source->tensor->type, (size_t)weight->k);
    for (int tile = first; tile < end; tile++) {
        const int n0 = tile * tile_rows;
        const int n1 = n0 + tile_rows < weight->n ? n0 + tile_rows : weight->n;
        if (source->transposed)
            gather_columns(weight, source, n0, n1, room->gathered);
        else
            gather_rows(source, row_size, n0, n1, room->gathered);
        pack_tile(model, weight, source, room->gathered, row_size, n1 - n0, room,
                  packed + (size_t)tile * weight->tile_size);
    }
}

/* The thread's tiles of a weight, [first, end). */
static void find_tiles(const struct load *load, const struct qn_weight *weight, int thread,
                       int *first, int *end) {
    const struct qn_spec *const spec = &load->model->spec;
    const int n_tiles = qn_weight_n_tiles(weight, spec->tile_rows);
    const int n_cut = load->model->n_threads;
    if (load->cuts) {
        const int *const cuts = load->cuts + (size_t)(weight - spec->weights) * (size_t)(n_cut + 1);
        *first = thread < n_cut ? cuts[thread] : n_tiles;
        *end = thread < n_cut ? cuts[thread + 1] : n_tiles;
    } else {
        const int n_threads = qn_pool_n_threads(load->model->pool);
        *first = qn_share(n_tiles, thread, n_threads);
        *end = qn_share(n_tiles, thread + 1, n_threads);
    }
}

static void load_matrix(const struct load *load, const struct qn_weight *weight, int part,
                        int thread) {
    const struct qn_model *const model = load->model;
    const struct qn_source *const source = &weight->sources[part];
    int first, end;
    find_tiles(load, weight, thread, &first, &end);
    char *const packed = model->arena.data + weight->offset + (size_t)part * weight->part_size;
    if (first >= end) return;
    const struct room room = room_of(load, thread);
    if (is_contiguous(weight, source))
        pack_contiguous(model, weight, source, first, end, &room, packed);
    else
        pack_gathered(model, weight, source, first, end, &room, packed);
}

/* ---- vectors ---------------------------------------------------------------------------- */

static void load_vector(const struct qn_model *model, const struct qn_weight *weight) {
    const struct qn_source *const source = weight->sources;
    float *const dst = (float *)(void *)(model->arena.data + weight->offset);
    const enum qn_type type = source->tensor->type;
    for (int i = 0; i < weight->k; i += source->group) {
        const int rest = weight->k - i, n = rest < source->group ? rest : source->group;
        const size_t offset = qn_type_row_size(type, (size_t)row_at(source, i));
        qn_type_to_float(type, (const char *)source->tensor->data + offset, dst + i, (size_t)n);
    }
    for (int i = 0; weight->plus_one && i < weight->k; i++) dst[i] += 1.0f;
}

/* ---- all -------------------------------------------------------------------------------- */

static void release(const struct qn_model *model, const struct qn_weight *weight) {
    for (int part = 0; part < weight->n_parts; part++) {
        const struct qn_tensor *const tensor = weight->sources[part].tensor;
        qn_checkpoint_release(model->checkpoint, tensor->data, tensor->size);
    }
}

static void prefetch(const struct qn_model *model, const struct qn_weight *weight) {
    for (int part = 0; part < weight->n_parts; part++) {
        const struct qn_tensor *const tensor = weight->sources[part].tensor;
        if (weight->part_size)
            qn_checkpoint_prefetch(model->checkpoint, tensor->data, tensor->size);
    }
}

static void load_share(void *context, int thread) {
    struct load *const load = context;
    struct qn_model *const model = load->model;
    const struct qn_spec *const spec = &model->spec;
    size_t done = 0;
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const weight = &spec->weights[i];
        if (thread == 0 && i + PREFETCH_LEAD < spec->n_weights)
            prefetch(model, &spec->weights[i + PREFETCH_LEAD]);
        if (thread == 0 && i >= RELEASE_LAG) release(model, &spec->weights[i - RELEASE_LAG]);
        for (int part = 0; weight->tile_size && part < weight->n_parts; part++) {
            load_matrix(load, weight, part, thread);
            done += weight->part_size;
            if (thread == 0 && load->progress &&
                !load->progress(load->context, (double)done / (double)load->total))
                atomic_store_explicit(&load->stop, true, memory_order_relaxed);
            if (atomic_load_explicit(&load->stop, memory_order_relaxed)) return;
        }
        if (thread == 0 && weight->part_size && !weight->tile_size) load_vector(model, weight);
    }
}

static void grow(size_t *size, size_t to) {
    to = (to + 63) / 64 * 64;
    if (to > *size) *size = to;
}

/* Room for a tile of the largest matrix. */
static enum qn_status allocate(struct load *load, struct qn_error *err) {
    const struct qn_spec *const spec = &load->model->spec;
    size_t row_size = 0;
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const weight = &spec->weights[i];
        if (!weight->tile_size) continue;
        const enum qn_type stored = weight->sources->tensor->type;
        const size_t k = (size_t)weight->k, rows = (size_t)spec->tile_rows;
        grow(&load->gathered_size, qn_type_row_size(stored, k) * rows);
        if (is_converted(weight, stored)) {
            grow(&load->quantized_size, qn_type_row_size(weight->packed, k) * rows);
            grow(&row_size, k * sizeof(float));
        }
        if (weight->packed == QN_TYPE_I16)
            grow(&load->rounded_size, qn_act_row_size(QN_ACT_I16, weight->k));
        load->total += weight->part_size * (size_t)weight->n_parts;
    }
    load->scratch_size = load->gathered_size + load->quantized_size + load->rounded_size + row_size;
    load->scratch =
        aligned_alloc(64, (size_t)qn_pool_n_threads(load->model->pool) * load->scratch_size);
    return load->scratch ? QN_OK : qn_fail(err, QN_NO_MEMORY, "no memory to load weights");
}

/* The node of a thread; those that float count as on the last one. */
static int node_of(const struct qn_topology *topology, int thread) {
    if (topology->n_cores == 0) return 0;
    const int core = thread < topology->n_cores ? thread : topology->n_cores - 1;
    return topology->cores[core].numa;
}

size_t qn_weights_seams(const struct qn_spec *spec, const struct qn_topology *topology,
                        int n_threads, const int *cuts, size_t *offsets, size_t capacity) {
    size_t n = 0;
    int node = -1; /* of what lies before */
    for (size_t i = 0; i < spec->n_weights; i++) {
        const struct qn_weight *const w = &spec->weights[i];
        const int *const first = cuts + i * (size_t)(n_threads + 1);
        for (int part = 0; w->tile_size && part < w->n_parts; part++)
            for (int t = 0; t < n_threads; t++) {
                if (first[t] == first[t + 1] || node_of(topology, t) == node) continue;
                if (node >= 0 && n++ < capacity)
                    offsets[n - 1] =
                        w->offset + (size_t)part * w->part_size + (size_t)first[t] * w->tile_size;
                node = node_of(topology, t);
            }
    }
    return n;
}

enum qn_status qn_weights_load(struct qn_model *model, const int *cuts,
                               bool (*progress)(void *, double), void *context,
                               struct qn_error *err) {
    struct load load = {.model = model, .cuts = cuts, .progress = progress, .context = context};
    QN_TRY(allocate(&load, err));
    qn_pool_run(model->pool, load_share, &load);
    free(load.scratch);
    if (atomic_load(&load.stop)) return qn_fail(err, QN_CANCELLED, "loading was stopped");
    /* The files are not read again but for single embedding rows. */
    for (size_t i = 0; i < model->spec.n_weights; i++) release(model, &model->spec.weights[i]);
    return QN_OK;
}
