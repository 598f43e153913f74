/* SPDX-License-Identifier: Apache-2.0 */
#include "report/tensor_stats.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

/* Pieces are handed out to threads; each is read in runs that stay in the first-level cache. Both
 * are multiples of every type's block. */
enum { PIECE = 1 << 18, RUN = 2048, LANES = 16 };

struct piece {
    size_t tensor;
    uint64_t first; /* element */
    struct qn_tensor_stats stats;
};

struct reading {
    const struct qn_model *model;
    struct piece *pieces;
    size_t n_pieces;
    atomic_size_t next;
    void (*progress)(void *context, double done);
    void *context;
};

size_t qn_model_n_tensors(const struct qn_model *model) {
    return qn_checkpoint_n_tensors(model->checkpoint);
}

const struct qn_tensor *qn_model_tensor_at(const struct qn_model *model, size_t i) {
    return qn_checkpoint_tensor_at(model->checkpoint, i);
}

static uint64_t n_elements(const struct qn_tensor *tensor) {
    return tensor->shape[0] * tensor->shape[1] * tensor->shape[2] * tensor->shape[3];
}

double qn_tensor_mean(const struct qn_tensor_stats *stats) {
    const uint64_t n = stats->n - stats->n_bad;
    return n ? stats->sum / (double)n : 0;
}

double qn_tensor_deviation(const struct qn_tensor_stats *stats) {
    const uint64_t n = stats->n - stats->n_bad;
    const double mean = qn_tensor_mean(stats);
    return n ? sqrt(fmax(stats->sum_squares / (double)n - mean * mean, 0)) : 0;
}

/* ---- one run ---------------------------------------------------------------------------- */

/* Numbers of a run, by lanes, so that compilers make vectors of them. */
struct lanes {
    float min[LANES], max[LANES];
    double sum[LANES], squares[LANES];
    uint32_t zeros[LANES], bad[LANES];
};

/* NaN and infinity count as bad and as nothing else. */
static void add_lanes(struct lanes *lanes, const float *x) {
    for (int i = 0; i < LANES; i++) {
        uint32_t bits;
        memcpy(&bits, x + i, sizeof bits);
        const bool bad = (bits & 0x7f800000) == 0x7f800000;
        const float value = bad ? 0 : x[i];
        lanes->bad[i] += bad;
        lanes->zeros[i] += !bad && value == 0;
        lanes->min[i] = !bad && value < lanes->min[i] ? value : lanes->min[i];
        lanes->max[i] = !bad && value > lanes->max[i] ? value : lanes->max[i];
        lanes->sum[i] += (double)value;
        lanes->squares[i] += (double)value * (double)value;
    }
}

static void find_bad(struct qn_tensor_stats *stats, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]) && stats->n_bad++ == 0) stats->first_bad = stats->n + i;
}

/* x [n], n at most RUN. */
static void add_run(struct qn_tensor_stats *stats, float *x, size_t n) {
    struct lanes lanes = {.zeros = {0}};
    const size_t whole = (n + LANES - 1) / LANES * LANES, padding = whole - n;
    uint32_t bad = 0;
    for (int i = 0; i < LANES; i++) {
        lanes.min[i] = INFINITY;
        lanes.max[i] = -INFINITY;
    }
    /* What fills the last lanes is none of the numbers: bad, and not counted. */
    for (size_t i = n; i < whole; i++) x[i] = NAN;
    for (size_t i = 0; i < whole; i += LANES) add_lanes(&lanes, x + i);
    for (int i = 0; i < LANES; i++) {
        stats->min = fmin(stats->min, (double)lanes.min[i]);
        stats->max = fmax(stats->max, (double)lanes.max[i]);
        stats->sum += lanes.sum[i];
        stats->sum_squares += lanes.squares[i];
        stats->n_zero += lanes.zeros[i];
        bad += lanes.bad[i];
    }
    if (bad > padding) find_bad(stats, x, n);
    stats->n += n;
}

static void read_piece(const struct qn_model *model, struct piece *piece) {
    const struct qn_tensor *const tensor = qn_model_tensor_at(model, piece->tensor);
    const uint64_t left = n_elements(tensor) - piece->first, n = left < PIECE ? left : PIECE;
    const char *const data =
        (const char *)tensor->data + qn_type_row_size(tensor->type, (size_t)piece->first);
    float run[RUN];
    piece->stats = (struct qn_tensor_stats){.min = INFINITY, .max = -INFINITY};
    for (size_t i = 0; i < n; i += RUN) {
        const size_t count = n - i < RUN ? (size_t)(n - i) : RUN;
        qn_type_to_float(tensor->type, data + qn_type_row_size(tensor->type, i), run, count);
        add_run(&piece->stats, run, count);
    }
    piece->stats.hash = qn_hash(data, qn_type_row_size(tensor->type, (size_t)n), 0);
}

static void read_share(void *context, int thread) {
    struct reading *const reading = context;
    for (size_t i; (i = atomic_fetch_add(&reading->next, 1)) < reading->n_pieces;) {
        read_piece(reading->model, &reading->pieces[i]);
        if (thread == 0 && reading->progress)
            reading->progress(reading->context, (double)i / (double)reading->n_pieces);
    }
}

/* ---- all -------------------------------------------------------------------------------- */

/* A tensor's hash is that of its pieces' hashes, one after the other. */
static void add_piece(struct qn_tensor_stats *to, const struct piece *piece) {
    const struct qn_tensor_stats *const from = &piece->stats;
    if (to->n_bad == 0) to->first_bad = piece->first + from->first_bad;
    to->n += from->n;
    to->n_zero += from->n_zero;
    to->n_bad += from->n_bad;
    to->min = fmin(to->min, from->min);
    to->max = fmax(to->max, from->max);
    to->sum += from->sum;
    to->sum_squares += from->sum_squares;
    to->hash = qn_hash(&from->hash, sizeof from->hash, to->hash);
}

enum qn_status qn_tensor_stats_read(struct qn_model *model, struct qn_tensor_stats *stats,
                                    void (*progress)(void *context, double done), void *context,
                                    struct qn_error *err) {
    struct reading reading = {.model = model, .progress = progress, .context = context};
    for (size_t t = 0; t < qn_model_n_tensors(model); t++) {
        stats[t] = (struct qn_tensor_stats){.min = INFINITY, .max = -INFINITY};
        reading.n_pieces +=
            (size_t)((n_elements(qn_model_tensor_at(model, t)) + PIECE - 1) / PIECE);
    }
    reading.pieces = calloc(reading.n_pieces, sizeof *reading.pieces);
    if (!reading.pieces && reading.n_pieces)
        return qn_fail(err, QN_NO_MEMORY, "no memory for the statistics of the tensors");
    size_t p = 0;
    for (size_t t = 0; t < qn_model_n_tensors(model); t++)
        for (uint64_t first = 0; first < n_elements(qn_model_tensor_at(model, t)); first += PIECE)
            reading.pieces[p++] = (struct piece){.tensor = t, .first = first};
    qn_pool_run(model->pool, read_share, &reading);
    for (size_t i = 0; i < reading.n_pieces; i++)
        add_piece(&stats[reading.pieces[i].tensor], &reading.pieces[i]);
    free(reading.pieces);
    return QN_OK;
}
