/* SPDX-License-Identifier: Apache-2.0
 *
 * Prototypes of every kernel of the inventory. Each kernel file includes it, so that a function
 * whose signature differs from its operation's does not compile.
 */
#ifndef QN_KERNELS_INVENTORY_H
#define QN_KERNELS_INVENTORY_H

#include "kernels/kernels.h"

#define QN_KERNEL(bundle, operation, variant, function) qn_##operation##_fn function;
#include "kernels/inventory.def"
#undef QN_KERNEL

#endif
