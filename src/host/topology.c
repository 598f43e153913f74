/* SPDX-License-Identifier: Apache-2.0
 *
 * hwloc's objects, reduced to the list of cores that a pool may use.
 */
#include "host/topology.h"

#include <ctype.h>
#include <hwloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/affinity.h"
#include "host/limits.h"

static int compare_cores(const void *a, const void *b) {
    const struct qn_core *core_a = a, *core_b = b;
    if (core_a->kind != core_b->kind) return core_a->kind > core_b->kind ? -1 : 1;
    if (core_a->numa != core_b->numa) return core_a->numa < core_b->numa ? -1 : 1;
    if (core_a->l3 != core_b->l3) return core_a->l3 < core_b->l3 ? -1 : 1;
    return (core_a->cpu > core_b->cpu) - (core_a->cpu < core_b->cpu);
}

void qn_topology_order(struct qn_core *cores, int n_cores) {
    qsort(cores, (size_t)n_cores, sizeof *cores, compare_cores);
}

/* Cores of the same kind as the one at `first`. */
static int count_kind(const struct qn_core *cores, int n_cores, int first) {
    int n = first;
    while (n < n_cores && cores[n].kind == cores[first].kind) n++;
    return n - first;
}

int qn_topology_default(const struct qn_core *cores, int n_cores, int n_allowed, double quota) {
    int n = count_kind(cores, n_cores, 0);
    if (n == 1 && n_cores > 1) n += count_kind(cores, n_cores, 1);
    if (n > n_allowed) n = n_allowed;
    if (quota > 0 && (double)n > quota) n = (int)quota;
    if (n > QN_MAX_THREADS) n = QN_MAX_THREADS;
    return n < 1 ? 1 : n;
}

/* ---- hwloc ---- */

/* Only what is asked of it: devices and caches of instructions cost time to discover. Nodes that
 * are neither a package nor an L3 domain hang on a group: without it all cores seem to be near all
 * of them.
 * `whole`: processors too that a control group keeps from us. */
static bool load(hwloc_topology_t hwloc, const char *synthetic, bool whole) {
    if (synthetic && hwloc_topology_set_synthetic(hwloc, synthetic) != 0) return false;
    if (whole) hwloc_topology_set_flags(hwloc, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    hwloc_topology_set_all_types_filter(hwloc, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_L1CACHE, HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_L2CACHE, HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_L3CACHE, HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_PACKAGE, HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_type_filter(hwloc, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
    return hwloc_topology_load(hwloc) == 0;
}

/* What the process may use: of all its threads, so that a pinned one does not hide the rest, and
 * of this one as if it were not. */
static hwloc_bitmap_t read_allowed(hwloc_topology_t hwloc, bool synthetic) {
    hwloc_bitmap_t allowed = hwloc_bitmap_dup(hwloc_topology_get_allowed_cpuset(hwloc));
    hwloc_bitmap_t bound = hwloc_bitmap_alloc();
    struct qn_cpu_mask own;
    if (allowed && bound && !synthetic && qn_affinity_read(&own) &&
        hwloc_get_cpubind(hwloc, bound, HWLOC_CPUBIND_PROCESS) == 0) {
        for (int cpu = 0; cpu < QN_CPUS_MAX; cpu++)
            if (qn_cpu_mask_has(&own, cpu)) hwloc_bitmap_set(bound, (unsigned)cpu);
        if (hwloc_bitmap_intersects(allowed, bound)) hwloc_bitmap_and(allowed, allowed, bound);
    }
    hwloc_bitmap_free(bound);
    return allowed;
}

/* Rank of a core's kind among the machine's, 0 when hwloc cannot rank them. */
static int kind_of(hwloc_topology_t hwloc, hwloc_obj_t object) {
    const int kind = hwloc_cpukinds_get_by_cpuset(hwloc, object->cpuset, 0);
    int efficiency;
    if (kind < 0 ||
        hwloc_cpukinds_get_info(hwloc, (unsigned)kind, NULL, &efficiency, NULL, NULL, 0) != 0)
        return 0;
    return efficiency > 0 ? efficiency : 0;
}

static size_t size_of_cache(hwloc_obj_t cache) {
    return cache ? (size_t)cache->attr->cache.size : 0;
}

/* Cores of small kinds share an L2 by fours. */
static size_t part_of_cache(hwloc_topology_t hwloc, hwloc_obj_type_t type, hwloc_obj_t core) {
    const hwloc_obj_t cache = hwloc_get_ancestor_obj_by_type(hwloc, type, core);
    if (!cache) return 0;
    const int n = hwloc_get_nbobjs_inside_cpuset_by_type(hwloc, cache->cpuset, core->type);
    return size_of_cache(cache) / (size_t)(n > 0 ? n : 1);
}

/* Describes a core (or a processor, where there are no cores); false when none of it is allowed. */
static bool describe(hwloc_topology_t hwloc, hwloc_obj_t object, hwloc_const_bitmap_t allowed,
                     struct qn_core *core) {
    hwloc_bitmap_t usable = hwloc_bitmap_alloc();
    if (!usable) return false;
    hwloc_bitmap_and(usable, object->cpuset, allowed);
    const int cpu = hwloc_bitmap_first(usable);
    hwloc_bitmap_free(usable);
    if (cpu < 0) return false;
    const hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_L3CACHE, object);
    const int numa = object->nodeset ? hwloc_bitmap_first(object->nodeset) : 0;
    *core = (struct qn_core){
        .cpu = cpu,
        .kind = kind_of(hwloc, object),
        .l3 = l3 ? (int)l3->logical_index : 0,
        .numa = numa < 0 ? 0 : numa,
        .n_threads = hwloc_bitmap_weight(object->cpuset),
        .caches = {.l1 = part_of_cache(hwloc, HWLOC_OBJ_L1CACHE, object),
                   .l2 = part_of_cache(hwloc, HWLOC_OBJ_L2CACHE, object),
                   .l3 = size_of_cache(l3)},
    };
    return true;
}

static enum qn_status read_cores(hwloc_topology_t hwloc, bool synthetic, void *out,
                                 struct qn_error *err) {
    struct qn_topology *const topology = out;
    hwloc_obj_type_t type = HWLOC_OBJ_CORE;
    int n = hwloc_get_nbobjs_by_type(hwloc, type);
    if (n <= 0) {
        type = HWLOC_OBJ_PU;
        n = hwloc_get_nbobjs_by_type(hwloc, type);
    }
    if (n <= 0) return QN_OK;
    hwloc_bitmap_t allowed = read_allowed(hwloc, synthetic);
    topology->cores = calloc((size_t)n, sizeof *topology->cores);
    if (!allowed || !topology->cores) {
        hwloc_bitmap_free(allowed);
        return qn_fail(err, QN_NO_MEMORY, "no memory for the topology of %d cores", n);
    }
    for (int i = 0; i < n; i++) {
        const hwloc_obj_t object = hwloc_get_obj_by_type(hwloc, type, (unsigned)i);
        if (describe(hwloc, object, allowed, &topology->cores[topology->n_cores]))
            topology->n_cores++;
    }
    topology->n_allowed = hwloc_bitmap_weight(allowed);
    hwloc_bitmap_free(allowed);
    return QN_OK;
}

/* Fills `out` from a loaded topology. */
typedef enum qn_status hwloc_reader(hwloc_topology_t hwloc, bool synthetic, void *out,
                                    struct qn_error *err);

/* Whether a description has more processors than `most`: they are the product of its levels, each
 * "TYPE:N" or "N"; what stands in brackets is not one. hwloc would need minutes to find out. */
static bool has_more(const char *synthetic, unsigned long most) {
    unsigned long n = 1;
    int depth = 0;
    for (const char *at = synthetic; *at && n <= most; at++) {
        depth += (*at == '(' || *at == '[') - (*at == ')' || *at == ']');
        const bool begins = at == synthetic || strchr(" \n:", at[-1]);
        if (depth > 0 || !begins || !isdigit((unsigned char)*at)) continue;
        const unsigned long level = strtoul(at, NULL, 0);
        n = level <= most ? n * level : level;
    }
    return n > most;
}

static enum qn_status read_hwloc(const char *synthetic, bool whole, hwloc_reader *reader, void *out,
                                 struct qn_error *err) {
    hwloc_topology_t hwloc;
    if (synthetic && has_more(synthetic, QN_TOPOLOGY_MOST))
        return qn_fail(err, QN_BAD_ARGUMENT, "topology '%.80s' has more than %d processors",
                       synthetic, QN_TOPOLOGY_MOST);
    if (hwloc_topology_init(&hwloc) != 0)
        return qn_fail(err, QN_NO_MEMORY, "no memory for the topology of the machine");
    enum qn_status status = QN_OK;
    if (load(hwloc, synthetic, whole))
        status = reader(hwloc, synthetic != NULL, out, err);
    else if (synthetic)
        status =
            qn_fail(err, QN_BAD_ARGUMENT, "'%s' is not a description of a topology", synthetic);
    hwloc_topology_destroy(hwloc);
    return status;
}

/* ---- without hwloc's help ---- */

static enum qn_status read_mask(struct qn_topology *topology, struct qn_error *err) {
    struct qn_cpu_mask mask;
    if (!qn_affinity_read(&mask)) mask = (struct qn_cpu_mask){.words = {1}};
    int n = 0;
    for (int cpu = 0; cpu < QN_CPUS_MAX; cpu++) n += qn_cpu_mask_has(&mask, cpu);
    free(topology->cores);
    topology->n_allowed = n;
    topology->n_cores = 0;
    topology->cores = calloc((size_t)n, sizeof *topology->cores);
    if (!topology->cores)
        return qn_fail(err, QN_NO_MEMORY, "no memory for the topology of %d processors", n);
    for (int cpu = 0; topology->n_cores < n; cpu++) {
        if (qn_cpu_mask_has(&mask, cpu))
            topology->cores[topology->n_cores++] = (struct qn_core){.cpu = cpu, .n_threads = 1};
    }
    return QN_OK;
}

enum qn_status qn_topology_read(const char *synthetic, struct qn_topology *topology,
                                struct qn_error *err) {
    *topology = (struct qn_topology){0};
    enum qn_status status = read_hwloc(synthetic, false, read_cores, topology, err);
    if (status == QN_OK && topology->n_cores == 0) status = read_mask(topology, err);
    if (status != QN_OK) {
        qn_topology_free(topology);
        return status;
    }
    topology->quota = synthetic ? 0 : qn_limits_quota();
    qn_topology_order(topology->cores, topology->n_cores);
    topology->n_default = qn_topology_default(topology->cores, topology->n_cores,
                                              topology->n_allowed, topology->quota);
    return QN_OK;
}

void qn_topology_free(struct qn_topology *topology) {
    free(topology->cores);
    *topology = (struct qn_topology){0};
}

/* ---- caches ---- */

static size_t cache_size(size_t known, int name, size_t guess) {
    if (known > 0) return known;
    const long size = sysconf(name);
    return size > 0 ? (size_t)size : guess;
}

static bool is_first_of_domain(const struct qn_topology *topology, int core) {
    for (int i = 0; i < core; i++)
        if (topology->cores[i].l3 == topology->cores[core].l3) return false;
    return true;
}

struct qn_caches qn_topology_caches(const struct qn_topology *topology, int n_threads) {
    struct qn_caches c = {0};
    for (int i = 0; i < topology->n_cores && i < n_threads; i++) {
        const struct qn_caches *const core = &topology->cores[i].caches;
        if (i == 0 || core->l1 < c.l1) c.l1 = core->l1;
        if (i == 0 || core->l2 < c.l2) c.l2 = core->l2;
        if (is_first_of_domain(topology, i)) c.l3 += core->l3;
    }
    /* Of AMD guests the C library makes up an L3 of hundreds of megabytes: it is asked last. */
    return (struct qn_caches){
        .l1 = cache_size(c.l1, _SC_LEVEL1_DCACHE_SIZE, (size_t)32 << 10),
        .l2 = cache_size(c.l2, _SC_LEVEL2_CACHE_SIZE, (size_t)1 << 20),
        .l3 = cache_size(c.l3, _SC_LEVEL3_CACHE_SIZE, (size_t)32 << 20),
    };
}

/* ---- memory nodes ---- */

static const char *const numa_names[QN_NUMA_COUNT] = {
    [QN_NUMA_LOCAL] = "local",
    [QN_NUMA_INTERLEAVE] = "interleave",
    [QN_NUMA_ISOLATE] = "isolate",
};

const char *qn_numa_name(enum qn_numa numa) {
    return numa_names[numa];
}

bool qn_numa_parse(const char *name, enum qn_numa *numa) {
    *numa = QN_NUMA_LOCAL;
    if (strcmp(name, "distribute") == 0 || strcmp(name, "numactl") == 0) return true;
    for (int i = 0; i < QN_NUMA_COUNT; i++) {
        if (strcmp(name, numa_names[i]) != 0) continue;
        *numa = (enum qn_numa)i;
        return true;
    }
    return false;
}

static bool is_first_of_node(const struct qn_topology *topology, int core) {
    for (int i = 0; i < core; i++)
        if (topology->cores[i].numa == topology->cores[core].numa) return false;
    return true;
}

int qn_topology_n_nodes(const struct qn_topology *topology, int n_threads) {
    int n = 0;
    for (int i = 0; i < topology->n_cores && i < n_threads; i++) n += is_first_of_node(topology, i);
    return n;
}

int qn_topology_here(const struct qn_topology *topology) {
    unsigned cpu, node;
    if (topology->n_cores == 0) return 0;
    if (getcpu(&cpu, &node) == 0)
        for (int i = 0; i < topology->n_cores; i++)
            if (topology->cores[i].numa == (int)node) return (int)node;
    return topology->cores[0].numa;
}

void qn_topology_isolate(struct qn_topology *topology, int node) {
    int n = 0, n_allowed = 0;
    for (int i = 0; i < topology->n_cores; i++) {
        if (topology->cores[i].numa != node) continue;
        n_allowed += topology->cores[i].n_threads;
        topology->cores[n++] = topology->cores[i];
    }
    if (n == 0) return;
    topology->n_cores = n;
    if (n_allowed < topology->n_allowed) topology->n_allowed = n_allowed;
    topology->n_default =
        qn_topology_default(topology->cores, n, topology->n_allowed, topology->quota);
}

bool qn_topology_interleave(const struct qn_topology *topology, void *data, size_t size) {
    hwloc_topology_t hwloc;
    if (size == 0 || hwloc_topology_init(&hwloc) != 0) return false;
    hwloc_bitmap_t nodes = hwloc_bitmap_alloc();
    bool done = nodes && load(hwloc, NULL, false);
    for (int i = 0; done && i < topology->n_cores; i++)
        done = hwloc_bitmap_set(nodes, (unsigned)topology->cores[i].numa) == 0;
    done = done && hwloc_set_area_membind(hwloc, data, size, nodes, HWLOC_MEMBIND_INTERLEAVE,
                                          HWLOC_MEMBIND_BYNODESET) == 0;
    hwloc_bitmap_free(nodes);
    hwloc_topology_destroy(hwloc);
    return done;
}

/* ---- the whole machine ---- */

static int index_of_ancestor(hwloc_topology_t hwloc, hwloc_obj_type_t type, hwloc_obj_t object) {
    const hwloc_obj_t ancestor = hwloc_get_ancestor_obj_by_type(hwloc, type, object);
    return ancestor ? (int)ancestor->logical_index : 0;
}

static struct qn_processor describe_processor(hwloc_topology_t hwloc, hwloc_obj_t object,
                                              hwloc_const_bitmap_t allowed) {
    const hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_L3CACHE, object);
    const hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(hwloc, HWLOC_OBJ_CORE, object);
    const int numa = object->nodeset ? hwloc_bitmap_first(object->nodeset) : 0;
    return (struct qn_processor){
        .cpu = (int)object->os_index,
        .core = core ? (int)core->logical_index : (int)object->logical_index,
        .l3 = l3 ? (int)l3->logical_index : 0,
        .numa = numa < 0 ? 0 : numa,
        .package = index_of_ancestor(hwloc, HWLOC_OBJ_PACKAGE, object),
        .kind = kind_of(hwloc, object),
        .l3_size = size_of_cache(l3),
        .allowed = hwloc_bitmap_isset(allowed, object->os_index) != 0,
    };
}

static int at_least_one(int n) {
    return n > 1 ? n : 1;
}

static enum qn_status read_map(hwloc_topology_t hwloc, bool synthetic, void *out,
                               struct qn_error *err) {
    struct qn_machine_map *const map = out;
    const int n = hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PU);
    if (n <= 0) return QN_OK;
    hwloc_bitmap_t allowed = read_allowed(hwloc, synthetic);
    map->processors = calloc((size_t)n, sizeof *map->processors);
    if (!allowed || !map->processors) {
        hwloc_bitmap_free(allowed);
        return qn_fail(err, QN_NO_MEMORY, "no memory for the map of %d processors", n);
    }
    for (int i = 0; i < n; i++) {
        const hwloc_obj_t object = hwloc_get_obj_by_type(hwloc, HWLOC_OBJ_PU, (unsigned)i);
        struct qn_processor *const p = &map->processors[map->n++];
        *p = describe_processor(hwloc, object, allowed);
        map->n_allowed += p->allowed;
        if (p->core >= map->n_cores) map->n_cores = p->core + 1;
    }
    hwloc_bitmap_free(allowed);
    map->n_packages = at_least_one(hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_PACKAGE));
    map->n_l3 = at_least_one(hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_L3CACHE));
    map->n_numa = at_least_one(hwloc_get_nbobjs_by_type(hwloc, HWLOC_OBJ_NUMANODE));
    map->n_kinds = at_least_one(hwloc_cpukinds_get_nr(hwloc, 0));
    return QN_OK;
}

enum qn_status qn_machine_map_read(const char *synthetic, struct qn_machine_map *map,
                                   struct qn_error *err) {
    *map = (struct qn_machine_map){0};
    const enum qn_status status = read_hwloc(synthetic, true, read_map, map, err);
    if (status != QN_OK) qn_machine_map_free(map);
    return status;
}

void qn_machine_map_free(struct qn_machine_map *map) {
    free(map->processors);
    *map = (struct qn_machine_map){0};
}
