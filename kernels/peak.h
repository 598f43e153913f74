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

/* The kind of arithmetic that bounds products of a packed form: those of 16-bit integers are
 * bounded by the instructions of int8, bf16 weights by bf16 dots where the bundles have them. */
enum qn_peak qn_peak_of_form(enum qn_pack form, uint32_t bundles);

/* Operations of that kind for one of a product with such rows: the two parts of an activation are
 * taken one after the other, and by bf16 tiles with each the two parts of a half. VPDPWSSD does
 * half of what VPDPBUSD does; without them 16-bit integers take as many multiplications as int8. */
int qn_peak_steps(enum qn_pack form, enum qn_act act, uint32_t bundles);

/* The same of attention: floats, but on x86 where K and V are 16-bit integers. */
enum qn_peak qn_peak_of_cache(enum qn_cache cache, uint32_t bundles);
int qn_peak_steps_of_cache(enum qn_cache cache, uint32_t bundles);

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
