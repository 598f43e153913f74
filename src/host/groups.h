/* SPDX-License-Identifier: Apache-2.0
 *
 * Which threads of a pool meet each other first: those of an L3 domain, where a cache line travels
 * fastest. Known from the topology alone.
 */
#ifndef QN_HOST_GROUPS_H
#define QN_HOST_GROUPS_H

#include "host/topology.h"

/* Threads of a group at the most. Its leader looks at the line of each other one: the reads
 * overlap, but a core has only about ten under way. */
enum { QN_GROUP_MAX = 8 };

/* Thread i of a pool sits on core i of the topology; threads beyond the cores float, and count as a
 * domain of their own. starts [n_threads + 1] receives the first thread of each group, then
 * n_threads; returns the number of groups. A domain of more than QN_GROUP_MAX threads is cut
 * evenly; domains of a node that are so small that half a group holds several share one. */
int qn_groups_form(const struct qn_topology *topology, int n_threads, int *starts);

/* The group of a thread. */
int qn_groups_find(const int *starts, int thread);

#endif
