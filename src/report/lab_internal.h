/* SPDX-License-Identifier: Apache-2.0
 *
 * Operations of the laboratory: what each needs, how a thread runs its share, and the reference.
 */
#ifndef QN_REPORT_LAB_INTERNAL_H
#define QN_REPORT_LAB_INTERNAL_H

#include "base/arena.h"
#include "report/lab.h"

enum { QN_LAB_PARTS = 6 };

/* Operands of a case: `fixed` is the same in every call, `copies` are taken in turn. */
struct qn_lab_job {
    const struct qn_lab_kernel *kernel;
    struct qn_lab_shape shape;
    enum qn_cache cache; /* kv_store, attention */
    int n_threads;
    size_t fixed_size, copy_size;                         /* bytes, multiples of 64 */
    size_t fixed_at[QN_LAB_PARTS], copy_at[QN_LAB_PARTS]; /* offsets of parts */
    char *fixed, *copies;
    size_t n_copies;
    double ops, bytes; /* of a call */
};

struct qn_lab_op {
    const char *name;
    /* Fills sizes, offsets, ops and bytes. */
    void (*plan)(struct qn_lab_job *job);
    /* Fills `fixed` and one copy. */
    void (*fill)(const struct qn_lab_job *job, char *copy);
    /* A thread's share of one call. */
    void (*run)(const struct qn_lab_job *job, char *copy, int thread);
    /* Runs once on a freshly filled copy and compares. */
    enum qn_status (*check)(const struct qn_lab_job *job, struct qn_lab_result *result,
                            struct qn_error *err);
};

const struct qn_lab_op *qn_lab_find(const char *op);
extern const struct qn_lab_op qn_lab_matmul, qn_lab_matvec; /* lab_matmul.c */

/* Opens the arena of a planned job, with so many copies that they fill `footprint` bytes; fills
 * them. */
enum qn_status qn_lab_open(const struct qn_lab_op *op, struct qn_lab_job *job, size_t footprint,
                           struct qn_arena *arena, struct qn_error *err);

/* Adds `size` bytes to a total of 64-byte lines; where they start. */
size_t qn_lab_take(size_t *total, size_t size);

/* Numbers that depend on `seed` alone: floats even over [-1, 1), and bytes. */
void qn_lab_floats(uint64_t seed, float *x, size_t n);
void qn_lab_bytes(uint64_t seed, void *bytes, size_t size);

/* Sorts [n] times of a call and fills the result's; n is at least 1. */
void qn_lab_summarize(double *cpu, double *wall, int n, struct qn_lab_result *result);
/* The level that holds `size` bytes which threads walk through together: `where`, for which copies
 * were made as many as there is room for, or a higher one. */
enum qn_level qn_lab_level(const struct qn_caches *caches, size_t size, int n_threads,
                           enum qn_level where);
/* More than a level holds, but less than nearly twice as much: of a walk round through twice a
 * cache's size nothing is left there for the next round. */
bool qn_lab_is_between(const struct qn_caches *caches, size_t size, int n_threads);

/* Compares floats one by one: adds to the sums from which error is made, and clears `right`
 * where the difference exceeds the bound. */
struct qn_lab_compare {
    double worst, squares;
    size_t n;
    bool right;
};
void qn_lab_compare_one(struct qn_lab_compare *c, double found, double expected, double bound);
void qn_lab_compare_end(const struct qn_lab_compare *c, struct qn_lab_result *result);

#endif
