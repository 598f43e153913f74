/* SPDX-License-Identifier: Apache-2.0
 *
 * Places buffers in one region so that no two that are live together overlap.
 */
#ifndef QN_PLAN_PLACE_H
#define QN_PLAN_PLACE_H

#include <stddef.h>
#include <stdint.h>

enum { QN_PLACE_MAX = 32, QN_PLACE_ALIGNMENT = 128 /* two cache lines: no false sharing */ };

/* sizes [n] in bytes, n <= QN_PLACE_MAX; bit j of conflicts[i] says that buffers i and j are live
 * together (symmetric). Fills offsets [n], multiples of QN_PLACE_ALIGNMENT, and returns the bytes
 * needed. Largest first, each at the lowest place that is free of its conflicts. */
size_t qn_place(int n, const size_t *sizes, const uint32_t *conflicts, size_t *offsets);

#endif
