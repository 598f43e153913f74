/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine as hwloc sees it, reduced to plain data: which cores a pool may use, in the order
 * in which it should use them. The only module that includes hwloc.h is topology.c.
 */
#ifndef QN_HOST_TOPOLOGY_H
#define QN_HOST_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* That a pool may have; defaults stop there. */
enum { QN_MAX_THREADS = 256 };

/* Bytes of data caches. */
struct qn_caches {
    size_t l1, l2, l3;
};

struct qn_core {
    int cpu;       /* operating-system index of the core's first allowed processor */
    int kind;      /* rank of its efficiency class, higher is faster; 0 when all are equal */
    int l3;        /* which L3 domain */
    int numa;      /* which NUMA node */
    int n_threads; /* hardware threads of the core */
    struct qn_caches caches; /* its part of L1 and L2, and all of its L3 domain; 0: not known */
};

struct qn_topology {
    int n_cores;           /* physical cores in the affinity mask */
    struct qn_core *cores; /* [n_cores], fastest kind first, then by L3 domain */
    int n_allowed;         /* processors in the affinity mask */
    double quota;          /* CPUs that the cgroup allows, 0 when unlimited */
    int n_default;         /* threads to use: min(fast cores or cores, mask, floor(quota)), >= 1 */
};

/* Processors of a synthetic description at the most. */
enum { QN_TOPOLOGY_MOST = 8192 };

/* synthetic: NULL for this machine, or an hwloc synthetic description (tests), whose processors
 * are all allowed and without a quota. Falls back to the affinity mask, a core a processor, when
 * hwloc cannot tell. To be read before a pool pins the calling thread, which narrows the mask.
 * Errors: QN_NO_MEMORY, QN_BAD_ARGUMENT (the description; one of more processors than Linux knows).
 */
enum qn_status qn_topology_read(const char *synthetic, struct qn_topology *topology,
                                struct qn_error *err);
void qn_topology_free(struct qn_topology *topology); /* idempotent */

/* The order in which a pool takes cores: fastest kind, then by NUMA node, L3 domain, processor. */
void qn_topology_order(struct qn_core *cores, int n_cores);
/* n_default of ordered cores. Work is split evenly, so a slow core would hold up the fast ones:
 * only the fastest kind counts, and the next one too where the fastest is a single core (a
 * "prime" core of phones). */
int qn_topology_default(const struct qn_core *cores, int n_cores, int n_allowed, double quota);

/* Caches of the first n_threads cores, which a pool of so many threads has: L1 and L2 of a core,
 * the smallest of them; L3 of all domains together that the cores are in. Where hwloc does not
 * know, what the C library says, or else a guess; none is 0. */
struct qn_caches qn_topology_caches(const struct qn_topology *topology, int n_threads);

/* ---- memory nodes ---- */

/* What is done about memory nodes (NUMA). */
enum qn_numa {
    QN_NUMA_LOCAL,      /* each thread's weights on its node: it touches them first */
    QN_NUMA_INTERLEAVE, /* pages of weights on all nodes by turns */
    QN_NUMA_ISOLATE,    /* threads of one node only */
    QN_NUMA_COUNT
};
const char *qn_numa_name(enum qn_numa numa); /* "local", "interleave", "isolate" */
/* By these names, or llama.cpp's "distribute" and "numactl", which are local: affinity and memory
 * policy that were set from outside hold in any case. */
bool qn_numa_parse(const char *name, enum qn_numa *numa);

/* Nodes that the first n_threads cores are on. */
int qn_topology_n_nodes(const struct qn_topology *topology, int n_threads);
/* The node of the core that the caller runs on; that of the first core where this is not known. */
int qn_topology_here(const struct qn_topology *topology);
/* Keeps the cores of one node, and the default follows. A node without cores changes nothing. */
void qn_topology_isolate(struct qn_topology *topology, int node);
/* Asks that pages of [data, data + size), not touched yet, go to the nodes of the topology's cores
 * by turns. False: refused, as in containers that may not set memory policies. */
bool qn_topology_interleave(const struct qn_topology *topology, void *data, size_t size);

/* ---- the whole machine ---- */

/* A processor (hardware thread) and where it sits; every index counts from 0 over the machine. */
struct qn_processor {
    int cpu; /* operating-system index */
    int core, l3, numa, package;
    int kind;       /* as of struct qn_core */
    size_t l3_size; /* bytes of its L3 domain, 0 when not known */
    bool allowed;   /* in the affinity mask */
};

struct qn_machine_map {
    int n; /* processors, those of a package, an L3 domain and a core side by side */
    struct qn_processor *processors; /* [n] */
    int n_packages, n_numa, n_l3, n_cores, n_kinds, n_allowed;
};

/* What a report shows of the machine, processors that may not be used included. `synthetic` and
 * errors as of qn_topology_read; where hwloc cannot tell, the map is empty. */
enum qn_status qn_machine_map_read(const char *synthetic, struct qn_machine_map *map,
                                   struct qn_error *err);
void qn_machine_map_free(struct qn_machine_map *map); /* idempotent */

#endif
