/* SPDX-License-Identifier: Apache-2.0 */
#include "host/pages.h"

#include <sys/syscall.h>
#include <unistd.h>

bool qn_pages_nodes(void **addresses, size_t n, int *nodes) {
    /* Without nodes to go to, move_pages tells where pages are. */
    return syscall(SYS_move_pages, 0, n, addresses, NULL, nodes, 0) == 0;
}
