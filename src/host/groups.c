/* SPDX-License-Identifier: Apache-2.0 */
#include "host/groups.h"

/* What threads of one domain have in common; -1 for threads that float. */
static bool same_node(const struct qn_topology *t, int a, int b) {
    if (a >= t->n_cores || b >= t->n_cores) return a >= t->n_cores && b >= t->n_cores;
    return t->cores[a].numa == t->cores[b].numa;
}

static bool same_domain(const struct qn_topology *t, int a, int b) {
    return same_node(t, a, b) && (a >= t->n_cores || t->cores[a].l3 == t->cores[b].l3);
}

/* The thread behind the last of the domain that starts at `first`. */
static int end_of_domain(const struct qn_topology *t, int first, int n_threads) {
    int end = first + 1;
    while (end < n_threads && same_domain(t, first, end)) end++;
    return end;
}

int qn_groups_form(const struct qn_topology *topology, int n_threads, int *starts) {
    int n = 0;
    for (int first = 0, end; first < n_threads; first = end) {
        end = end_of_domain(topology, first, n_threads);
        const bool joins = n > 0 && end - starts[n - 1] <= QN_GROUP_MAX / 2 &&
                           same_node(topology, starts[n - 1], first);
        if (joins) continue;
        const int n_parts = (end - first + QN_GROUP_MAX - 1) / QN_GROUP_MAX;
        for (int part = 0; part < n_parts; part++)
            starts[n++] = first + (end - first) * part / n_parts;
    }
    starts[n] = n_threads;
    return n;
}

int qn_groups_find(const int *starts, int thread) {
    int group = 0;
    while (starts[group + 1] <= thread) group++;
    return group;
}
