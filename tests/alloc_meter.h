/* SPDX-License-Identifier: Apache-2.0
 *
 * Counts what the program under test allocates, and makes allocations fail at will. Works by
 * wrapping malloc and its relatives at link time, so it sees this project's calls, not those
 * inside shared libraries. Counters are process-wide and atomic.
 */
#ifndef QN_TESTS_ALLOC_METER_H
#define QN_TESTS_ALLOC_METER_H

#include <stddef.h>

/* Starts counting anew: current and peak bytes and calls are 0, nothing is set to fail. */
void alloc_meter_reset(void);
/* Allocating calls since the reset. */
size_t alloc_meter_calls(void);
/* Largest number of bytes held at once since the reset, beyond what was held then. */
size_t alloc_meter_peak(void);
/* Bytes held beyond what was held at the reset; negative after freeing older memory. */
ptrdiff_t alloc_meter_held(void);
/* Lets call number k (from 1) since the reset fail, and all later ones too if `forever`. k 0:
 * none. */
void alloc_meter_fail_at(size_t k, int forever);

#endif
