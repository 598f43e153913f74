/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic on sizes that come from files: false when the result does not fit.
 */
#ifndef QN_BASE_CHECKED_H
#define QN_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>

static inline bool qn_checked_add(size_t a, size_t b, size_t *sum) {
    return !__builtin_add_overflow(a, b, sum);
}

static inline bool qn_checked_mul(size_t a, size_t b, size_t *product) {
    return !__builtin_mul_overflow(a, b, product);
}

/* Rounds up to a power of two. */
static inline bool qn_checked_align(size_t a, size_t alignment, size_t *aligned) {
    if (!qn_checked_add(a, alignment - 1, aligned)) return false;
    *aligned &= ~(alignment - 1);
    return true;
}

#endif
