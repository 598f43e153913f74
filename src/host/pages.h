/* SPDX-License-Identifier: Apache-2.0
 *
 * On which memory node pages lie, as the kernel says.
 */
#ifndef QN_HOST_PAGES_H
#define QN_HOST_PAGES_H

#include <stdbool.h>
#include <stddef.h>

/* nodes [n] receives the node of the page at each address, negative where it has none (it was not
 * touched yet). False: the kernel does not tell, as in some containers. */
bool qn_pages_nodes(void **addresses, size_t n, int *nodes);

#endif
