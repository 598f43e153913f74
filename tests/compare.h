/* SPDX-License-Identifier: Apache-2.0
 *
 * What every numeric test needs: reproducible numbers, buffers that fault when a kernel leaves
 * them, and comparison of each element with its own bound. Free of any test framework.
 */
#ifndef QN_TESTS_COMPARE_H
#define QN_TESTS_COMPARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/types.h"

/* Unit roundoff of float: half the distance from 1 to the next float. */
#define QN_U 0x1p-24

/* ---- numbers ---------------------------------------------------------------------------- */

/* A counter-based generator: the same seed gives the same numbers everywhere. */
struct qn_random {
    uint64_t state;
};

struct qn_random qn_random_open(uint64_t seed);
uint64_t qn_random_bits(struct qn_random *r);
/* 0 <= result < n */
int qn_random_below(struct qn_random *r, int n);
/* Even over [-1, 1]. */
float qn_random_float(struct qn_random *r);

/* Kinds of operands. */
enum qn_input {
    QN_INPUT_RANDOM,
    QN_INPUT_TINY,    /* magnitudes near 1e-30 */
    QN_INPUT_HUGE,    /* magnitudes near 1e15, squares of which still sum to a float */
    QN_INPUT_EQUAL,   /* all elements the same */
    QN_INPUT_EXTREME, /* alternating signs of one magnitude: largest integer sums */
    QN_INPUT_SPARSE,  /* mostly zeros: whole blocks of nothing */
    QN_INPUT_ZERO,
    QN_INPUT_COUNT
};
const char *qn_input_name(enum qn_input input);
void qn_input_fill(enum qn_input input, struct qn_random *r, float *x, size_t n);

/* Random stored blocks of a type, k elements, with finite scales; for EQUAL and EXTREME the
 * integers are the largest that the type has. */
void qn_stored_fill(enum qn_type type, enum qn_input input, struct qn_random *r, void *dst,
                    size_t k);
/* Clears the scale, or the scale of mins, of k stored elements, which leaves of a dequantized
 * weight only its min, or only the product without it. Float types have neither. */
enum qn_part { QN_PART_SCALE, QN_PART_MIN };
void qn_stored_clear(enum qn_type type, enum qn_part part, void *stored, size_t k);

/* ---- guarded buffers -------------------------------------------------------------------- */

/* Memory between two pages that fault. A placement lies against one of them; the bytes on the
 * other side hold a pattern that must stay. */
enum qn_side { QN_SIDE_END, QN_SIDE_START };
struct qn_guarded {
    char *map;       /* NULL at first: guard page, capacity, guard page */
    size_t capacity; /* a multiple of the page */
    char *data;
    size_t size;
};

/* Makes `data` of `size` bytes against the guard page of the side, contents unspecified.
 * Aligned to 64 at the start, and at the end where size is a multiple of 64. Aborts the program
 * when there is no memory. */
void *qn_guarded_place(struct qn_guarded *g, size_t size, enum qn_side side);
/* Whether the pattern around the placement is whole. */
bool qn_guarded_intact(const struct qn_guarded *g);
void qn_guarded_close(struct qn_guarded *g);

/* ---- comparison ------------------------------------------------------------------------- */

/* The element that is furthest from its expectation, as a part of its bound. */
struct qn_worst {
    size_t index;
    double found, expected, bound, ratio; /* ratio > 1 is a failure */
};

/* Adds one element to the worst so far. A NaN, or any difference where the bound is zero, has an
 * infinite ratio. */
void qn_compare_one(struct qn_worst *worst, size_t index, double found, double expected,
                    double bound);

#endif
