/* SPDX-License-Identifier: Apache-2.0
 *
 * Loops that do nothing but arithmetic: the most that a core's best instruction can do, against
 * which kernels are held. Like kernels, each is compiled with the flags of its instruction set
 * alone and may run only where dispatch allows that set.
 */
#ifndef QN_KERNELS_PEAK_H
#define QN_KERNELS_PEAK_H

#include "kernels/kernels.h"

enum qn_peak {
    QN_PEAK_F32,  /* multiply-adds of floats */
    QN_PEAK_INT8, /* dots of unsigned and signed bytes into int32 */
    QN_PEAK_BF16, /* dots of bf16 pairs into float */
    QN_PEAK_COUNT
};

/* Runs so many rounds of QN_PEAK_CHAINS steps. */
enum { QN_PEAK_CHAINS = 12 };
typedef void qn_peak_fn(long rounds);

struct qn_peak_loop {
    qn_peak_fn *run; /* NULL: the instruction sets have nothing for it */
    int ops;         /* of a round; a multiply-add counts as two */
};

/* The loop of the best instruction that the bundles have, of those compiled in. */
struct qn_peak_loop qn_peak_find(uint32_t bundles, enum qn_peak peak);

/* "f32", "int8", "bf16" */
const char *qn_peak_name(enum qn_peak peak);

/* The kind of arithmetic that bounds an operation, and how many operations of that kind one of its
 * own takes. */
struct qn_peak_use {
    enum qn_peak peak;
    int steps;
};

/* Of products of a packed form with rows in one of its forms of activations: 16-bit integers are
 * bounded by the instructions of int8, VPDPWSSD does half of what VPDPBUSD does, and without them
 * as many multiplications are taken as of int8; bf16 by bf16 dots where the bundles have them. The
 * two parts of an activation are taken one after the other, and by bf16 tiles with each the two
 * parts of a half. */
struct qn_peak_use qn_peak_of_product(enum qn_pack form, enum qn_act act, uint32_t bundles);

/* Of attention: floats, but on x86 where K and V are 16-bit integers. */
struct qn_peak_use qn_peak_of_attention(enum qn_cache cache, uint32_t bundles);

/* So many additions, each of the result of the one before: a cycle each on every processor that the
 * kernels are for. */
void qn_peak_add_chain(long n);

/* Reads `size` bytes in order, a word of each line of 64: as fast as a core asks for lines. size is
 * a multiple of 64. */
void qn_peak_read(const char *data, size_t size);

/* The same where the data come from memory, in four streams: asked for twice, 3 KiB ahead into L2
 * and 1 KiB ahead into L1, or left to the processor. Which is faster depends on the processor. */
void qn_peak_read_asked(const char *data, size_t size);
void qn_peak_read_plain(const char *data, size_t size);

#endif
