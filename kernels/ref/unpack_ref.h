/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading packed weights one row at a time, for the reference matmul.
 */
#ifndef QN_KERNELS_REF_UNPACK_REF_H
#define QN_KERNELS_REF_UNPACK_REF_H

#include "kernels/types.h"

enum { QN_UNIT_MAX = 256 };

/* The weights of one row of a unit of r rows (pack.h), as exact doubles: dst [unit's k]. */
void qn_unpack_unit_row__ref(enum qn_pack form, int r, const uint8_t *unit, int row, double *dst);

#endif
