/* SPDX-License-Identifier: Apache-2.0
 *
 * Seeded damage to files in memory, which knows where their numbers are.
 */
#ifndef QN_TESTS_MUTATE_H
#define QN_TESTS_MUTATE_H

#include "gguf_writer.h"

/* A number below n, from a state that it advances; any state will do. */
size_t mutate_pick(uint64_t *state, size_t n);
/* Damages the file once: a number of those whose places it recorded (the commonest), a range of
 * bytes, or one byte. */
void mutate(struct bytes *file, uint64_t *state);

#endif
