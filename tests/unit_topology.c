/* SPDX-License-Identifier: Apache-2.0
 *
 * Topologies that this machine does not have, and control group limits from texts and folders
 * made for the test.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "host/groups.h"
#include "host/limits.h"
#include "host/topology.h"

/* Of the largest machine here. */
enum { MAX_THREADS = 128 };

/* ---- synthetic machines ---- */

Test(topology, two_threads_a_core) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read("pack:2 l3:2 core:4 pu:2", &t, NULL), QN_OK);
    cr_assert_eq(t.n_cores, 16);
    cr_assert_eq(t.n_allowed, 32);
    cr_assert_eq(t.n_default, 16);
    cr_assert_eq(t.quota, 0);
    for (int i = 0; i < 16; i++) {
        cr_assert_eq(t.cores[i].cpu, 2 * i, "the first of two siblings");
        cr_assert_eq(t.cores[i].n_threads, 2);
        cr_assert_eq(t.cores[i].l3, i / 4);
        cr_assert_eq(t.cores[i].kind, 0);
    }
    qn_topology_free(&t);
    cr_assert_null(t.cores);
    qn_topology_free(&t);
}

Test(topology, numa_nodes) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read("numa:2 l3:1 core:3 pu:1", &t, NULL), QN_OK);
    cr_assert_eq(t.n_cores, 6);
    for (int i = 0; i < 6; i++) cr_assert_eq(t.cores[i].numa, i / 3);
    qn_topology_free(&t);
}

/* A node that is neither a package nor an L3 domain: half a package with two domains. */
Test(topology, numa_nodes_within_packages) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read("pack:2 numa:2 l3:2 core:4 pu:2", &t, NULL), QN_OK);
    cr_assert_eq(t.n_cores, 32);
    for (int i = 0; i < 32; i++) {
        cr_assert_eq(t.cores[i].cpu, 2 * i);
        cr_assert_eq(t.cores[i].l3, i / 4);
        cr_assert_eq(t.cores[i].numa, i / 8);
    }
    qn_topology_free(&t);
    struct qn_machine_map map;
    cr_assert_eq(qn_machine_map_read("pack:2 numa:2 l3:2 core:4 pu:2", &map, NULL), QN_OK);
    cr_assert_eq(map.n_numa, 4);
    for (int i = 0; i < map.n; i++) cr_assert_eq(map.processors[i].numa, i / 16);
    qn_machine_map_free(&map);
}

Test(topology, numa_nodes_without_l3) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read("numa:2 core:3 pu:1", &t, NULL), QN_OK);
    for (int i = 0; i < 6; i++) cr_assert(t.cores[i].l3 == 0 && t.cores[i].numa == i / 3);
    qn_topology_free(&t);
}

/* More cores than a pool takes. */
Test(topology, default_stops_at_what_a_pool_takes) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read("core:300 pu:1", &t, NULL), QN_OK);
    cr_assert_eq(t.n_cores, 300);
    cr_assert_eq(t.n_default, QN_MAX_THREADS);
    qn_topology_free(&t);
}

Test(topology, without_l3) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read("core:4 pu:1", &t, NULL), QN_OK);
    cr_assert_eq(t.n_cores, 4);
    for (int i = 0; i < 4; i++) cr_assert_eq(t.cores[i].l3, 0);
    qn_topology_free(&t);
}

Test(topology, processors_without_cores) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read("pu:3", &t, NULL), QN_OK);
    cr_assert_eq(t.n_cores, 3);
    cr_assert_eq(t.n_default, 3);
    qn_topology_free(&t);
}

/* ---- caches ---- */

static struct qn_caches caches_of(const char *synthetic, int n_threads) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read(synthetic, &t, NULL), QN_OK, "%s", synthetic);
    const struct qn_caches caches = qn_topology_caches(&t, n_threads);
    qn_topology_free(&t);
    return caches;
}

/* L3 of as many domains as the threads are in: 32 MiB for each eight cores. */
Test(topology, caches_of_so_many_threads) {
    static const char *const two_domains =
        "pack:1 l3:2(size=33554432) l2:8(size=1048576) l1d:1(size=49152) core:1 pu:2";
    const int counts[] = {1, 8, 9, 16, 99}, domains[] = {1, 1, 2, 2, 2};
    for (int i = 0; i < 5; i++) {
        const struct qn_caches c = caches_of(two_domains, counts[i]);
        cr_assert_eq(c.l1, 48 << 10);
        cr_assert_eq(c.l2, 1 << 20);
        cr_assert_eq(c.l3, (size_t)domains[i] << 25, "%d threads: %zu", counts[i], c.l3);
    }
}

/* Four cores that share an L2 have a quarter of it each. */
Test(topology, a_shared_cache_is_divided) {
    const struct qn_caches c = caches_of("l3:1(size=8388608) l2:2(size=2097152) core:4 pu:1", 8);
    cr_assert_eq(c.l2, 1 << 19);
    cr_assert_eq(c.l3, 8 << 20);
}

Test(topology, caches_that_are_not_known_are_guessed) {
    const struct qn_caches c = caches_of("core:4 pu:1", 4);
    cr_assert(c.l1 > 0 && c.l2 > c.l1 && c.l3 > 0);
}

/* Whatever the C library makes of CPUID. */
Test(topology, the_l3_of_this_machine_is_that_of_the_kernel) {
    unsigned long kib;
    FILE *const file = fopen("/sys/devices/system/cpu/cpu0/cache/index3/size", "re");
    if (!file) cr_skip_test("no L3 in /sys");
    cr_assert_eq(fscanf(file, "%luK", &kib), 1);
    fclose(file);
    cr_assert_eq(caches_of(NULL, 1).l3, kib << 10);
}

Test(topology, nonsense_is_refused) {
    struct qn_topology t;
    struct qn_error err;
    cr_assert_eq(qn_topology_read("core:pu:core", &t, &err), QN_BAD_ARGUMENT);
    cr_assert_not_null(strstr(err.message, "core:pu:core"));
    cr_assert_null(t.cores);
}

/* ---- this machine ---- */

Test(topology, of_this_machine_is_within_the_mask) {
    struct qn_topology t;
    cpu_set_t mask;
    cr_assert_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    cr_assert_eq(qn_topology_read(NULL, &t, NULL), QN_OK);
    cr_assert_eq(t.n_allowed, CPU_COUNT(&mask));
    cr_assert(t.n_cores >= 1 && t.n_cores <= t.n_allowed);
    cr_assert(t.n_default >= 1 && t.n_default <= t.n_cores);
    for (int i = 0; i < t.n_cores; i++) {
        cr_assert(CPU_ISSET(t.cores[i].cpu, &mask));
        for (int k = 0; k < i; k++) cr_assert_neq(t.cores[i].cpu, t.cores[k].cpu);
    }
    qn_topology_free(&t);
}

/* The mask is that of all threads of the process, of which a fresh child has one. Returns 0 when
 * the topology obeys a mask of one processor. */
static int read_under_narrow_mask(int cpu) {
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(cpu, &mask);
    struct qn_topology t;
    if (sched_setaffinity(0, sizeof mask, &mask) != 0) return 1;
    if (qn_topology_read(NULL, &t, NULL) != QN_OK) return 2;
    if (t.n_cores != 1 || t.n_allowed != 1 || t.n_default != 1) return 3;
    return t.cores[0].cpu == cpu ? 0 : 4;
}

Test(topology, obeys_a_narrow_mask) {
    cpu_set_t mask;
    cr_assert_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    int cpu = CPU_SETSIZE - 1;
    while (!CPU_ISSET(cpu, &mask)) cpu--;
    const pid_t child = fork();
    if (child == 0) _exit(read_under_narrow_mask(cpu));
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 0);
}

/* ---- order and default ---- */

Test(topology, fast_cores_come_first) {
    /* Two efficient cores numbered before two fast ones on two L3 domains each. */
    struct qn_core cores[] = {{.cpu = 0, .kind = 0, .l3 = 0}, {.cpu = 1, .kind = 0, .l3 = 1},
                              {.cpu = 2, .kind = 1, .l3 = 1}, {.cpu = 3, .kind = 1, .l3 = 0},
                              {.cpu = 4, .kind = 1, .l3 = 1}, {.cpu = 5, .kind = 1, .numa = 1}};
    qn_topology_order(cores, 6);
    const int expected[] = {3, 2, 4, 5, 0, 1};
    for (int i = 0; i < 6; i++) cr_assert_eq(cores[i].cpu, expected[i]);
}

/* kinds: one digit a core, in order. */
static int default_of(const char *kinds, int n_allowed, double quota) {
    struct qn_core cores[64] = {0};
    const int n = (int)strlen(kinds);
    for (int i = 0; i < n; i++) cores[i].kind = kinds[i] - '0';
    return qn_topology_default(cores, n, n_allowed, quota);
}

Test(topology, default_count) {
    cr_assert_eq(default_of("0000", 8, 0), 4, "physical cores, not threads");
    cr_assert_eq(default_of("0000", 3, 0), 3, "the mask");
    cr_assert_eq(default_of("0000", 8, 2.9), 2, "the quota's floor");
    cr_assert_eq(default_of("0000", 8, 0.5), 1, "at least one");
    cr_assert_eq(default_of("0000", 8, 4), 4);
    cr_assert_eq(default_of("0000", 8, 100), 4);
    cr_assert_eq(default_of("11110000", 12, 0), 4, "fast cores only");
    cr_assert_eq(default_of("11110000", 12, 3), 3);
    cr_assert_eq(default_of("21110000", 8, 0), 4, "a single prime core and the next kind");
    cr_assert_eq(default_of("0", 1, 0), 1);
    cr_assert_eq(default_of("10", 2, 0), 2);
}

/* ---- memory nodes ---- */

Test(numa, names) {
    enum qn_numa numa;
    cr_assert(qn_numa_parse("interleave", &numa) && numa == QN_NUMA_INTERLEAVE);
    cr_assert(qn_numa_parse("isolate", &numa) && numa == QN_NUMA_ISOLATE);
    static const char *const local[] = {"local", "distribute", "numactl"};
    for (int i = 0; i < 3; i++) cr_assert(qn_numa_parse(local[i], &numa) && numa == QN_NUMA_LOCAL);
    cr_assert_not(qn_numa_parse("off", &numa));
    for (int i = 0; i < QN_NUMA_COUNT; i++)
        cr_assert(qn_numa_parse(qn_numa_name((enum qn_numa)i), &numa) && (int)numa == i);
}

Test(numa, one_node_alone) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read("pack:2 numa:2 l3:2 core:4 pu:2", &t, NULL), QN_OK);
    cr_assert_eq(qn_topology_n_nodes(&t, 32), 4);
    cr_assert_eq(qn_topology_n_nodes(&t, 9), 2);
    cr_assert_eq(qn_topology_n_nodes(&t, 8), 1);
    qn_topology_isolate(&t, 7);
    cr_assert_eq(t.n_cores, 32, "there is no such node");
    qn_topology_isolate(&t, 2);
    cr_assert(t.n_cores == 8 && t.n_default == 8 && t.n_allowed == 16);
    for (int i = 0; i < 8; i++)
        cr_assert(t.cores[i].cpu == 32 + 2 * i && t.cores[i].numa == 2 &&
                  t.cores[i].l3 == 4 + i / 4);
    qn_topology_free(&t);
}

/* This machine's: whatever its nodes, the call succeeds or says that it did not, and memory works.
 */
Test(numa, interleaved_memory_works) {
    struct qn_topology t;
    cr_assert_eq(qn_topology_read(NULL, &t, NULL), QN_OK);
    struct qn_arena arena;
    cr_assert_eq(qn_arena_open((size_t)8 << 20, true, &arena, NULL), QN_OK);
    const bool done = qn_topology_interleave(&t, arena.data, arena.size);
    int policy = -1;
    enum { POLICY_INTERLEAVE = 3, OF_ADDRESS = 2 }; /* linux/mempolicy.h */
    if (done && syscall(SYS_get_mempolicy, &policy, NULL, 0, arena.data, OF_ADDRESS) == 0)
        cr_assert_eq(policy, POLICY_INTERLEAVE);
    memset(arena.data, 1, arena.size);
    cr_assert_not(qn_topology_interleave(&t, arena.data, 0));
    bool here = false;
    for (int i = 0; i < t.n_cores; i++) here |= t.cores[i].numa == qn_topology_here(&t);
    cr_assert(here);
    qn_arena_close(&arena);
    qn_topology_free(&t);
}

/* ---- groups of threads ---- */

/* "8 8 8 8": sizes of the groups of n_threads threads, 0 for the topology's default; domains are
 * not mixed unless they are small. */
static const char *groups_of(const char *synthetic, int n_threads) {
    static char text[256];
    struct qn_topology t;
    struct qn_error err;
    int starts[MAX_THREADS + 1];
    cr_assert_eq(qn_topology_read(synthetic, &t, &err), QN_OK, "%s", err.message);
    if (n_threads == 0) n_threads = t.n_default;
    cr_assert_leq(n_threads, MAX_THREADS);
    const int n = qn_groups_form(&t, n_threads, starts);
    cr_assert_eq(starts[0], 0);
    cr_assert_eq(starts[n], n_threads);
    int used = 0;
    for (int i = 0; i < n; i++) {
        cr_assert_eq(qn_groups_find(starts, starts[i]), i);
        cr_assert_eq(qn_groups_find(starts, starts[i + 1] - 1), i);
        used += snprintf(text + used, sizeof text - (size_t)used, i ? " %d" : "%d",
                         starts[i + 1] - starts[i]);
    }
    qn_topology_free(&t);
    return text;
}

Test(groups, are_l3_domains) {
    cr_assert_str_eq(groups_of("pack:2 numa:1 l3:4 core:8 pu:1", 0), "8 8 8 8 8 8 8 8");
    cr_assert_str_eq(groups_of("pack:2 numa:1 l3:4 core:8 pu:2", 0), "8 8 8 8 8 8 8 8");
    cr_assert_str_eq(groups_of("pack:2 numa:1 l3:8 core:8 pu:2", 0),
                     "8 8 8 8 8 8 8 8 8 8 8 8 8 8 8 8");
    cr_assert_str_eq(groups_of("l3:3 core:6 pu:1", 0), "6 6 6");
}

/* Thread by thread: its processor, L3 domain, node and group. */
Test(groups, of_two_packages_with_four_domains) {
    struct qn_topology t;
    int starts[MAX_THREADS + 1];
    cr_assert_eq(qn_topology_read("pack:2 numa:1 l3:4 core:8 pu:2", &t, NULL), QN_OK);
    cr_assert(t.n_default == 64 && t.n_cores == 64 && t.n_allowed == 128);
    cr_assert_eq(qn_groups_form(&t, t.n_default, starts), 8);
    for (int i = 0; i < 64; i++) {
        cr_assert_eq(t.cores[i].cpu, 2 * i);
        cr_assert_eq(t.cores[i].l3, i / 8);
        cr_assert_eq(t.cores[i].numa, i / 32);
        cr_assert_eq(qn_groups_find(starts, i), i / 8);
    }
    qn_topology_free(&t);
}

Test(groups, of_some_of_the_cores) {
    cr_assert_str_eq(groups_of("pack:2 numa:1 l3:4 core:8 pu:2", 1), "1");
    cr_assert_str_eq(groups_of("pack:2 numa:1 l3:4 core:8 pu:2", 7), "7");
    cr_assert_str_eq(groups_of("pack:2 numa:1 l3:4 core:8 pu:2", 20), "8 8 4");
    cr_assert_str_eq(groups_of("core:1 pu:1", 0), "1");
    cr_assert_str_eq(groups_of("core:1 pu:2", 0), "1");
}

Test(groups, large_domains_are_cut_evenly) {
    cr_assert_str_eq(groups_of("core:12 pu:1", 0), "6 6");
    cr_assert_str_eq(groups_of("pack:2 numa:1 l3:1 core:20 pu:2", 0), "6 7 7 6 7 7");
    cr_assert_str_eq(groups_of("l3:1 core:64 pu:1", 0), "8 8 8 8 8 8 8 8");
}

/* A virtual machine that gives every processor an L3 of its own. */
Test(groups, small_domains_share_one) {
    cr_assert_str_eq(groups_of("l3:10 core:1 pu:1", 0), "4 4 2");
    cr_assert_str_eq(groups_of("l3:6 core:2 pu:1", 0), "4 4 4");
    cr_assert_str_eq(groups_of("pack:2 numa:1 l3:3 core:2 pu:1", 0), "4 2 4 2", "not across nodes");
}

Test(groups, nodes_without_l3) {
    cr_assert_str_eq(groups_of("numa:2 core:6 pu:1", 0), "6 6");
    cr_assert_str_eq(groups_of("numa:4 core:16 pu:1", 0), "8 8 8 8 8 8 8 8");
}

Test(groups, threads_beyond_the_cores_are_apart) {
    cr_assert_str_eq(groups_of("l3:2 core:2 pu:1", 9), "4 5");
    cr_assert_str_eq(groups_of("l3:1 core:2 pu:1", 33), "2 7 8 8 8");
}

/* Fast cores first: they and the slow ones, which share an L3, meet in groups of one size. */
Test(groups, of_hybrid_chips) {
    struct qn_core cores[24] = {0};
    for (int i = 0; i < 24; i++) cores[i] = (struct qn_core){.cpu = i, .kind = i >= 16};
    qn_topology_order(cores, 24);
    const struct qn_topology t = {.n_cores = 24, .cores = cores, .n_allowed = 24};
    int starts[25];
    cr_assert_eq(qn_topology_default(cores, 24, 24, 0), 8, "the fast ones");
    cr_assert_eq(qn_groups_form(&t, 8, starts), 1);
    cr_assert_eq(qn_groups_form(&t, 24, starts), 3);
    cr_assert(starts[1] == 8 && starts[2] == 16 && starts[3] == 24);
    for (int i = 0; i < 24; i++) cr_assert_eq(cores[i].cpu, i < 8 ? 16 + i : i - 8);
}

/* ---- limits ---- */

Test(limits, cpu_max) {
    cr_assert_eq(qn_limits_parse_cpu_max("max 100000\n"), 0);
    cr_assert_eq(qn_limits_parse_cpu_max("150000 100000\n"), 1.5);
    cr_assert_eq(qn_limits_parse_cpu_max("200000 100000"), 2);
    cr_assert_eq(qn_limits_parse_cpu_max("1000 1000000"), 0.001);
    const char *const nonsense[] = {"",      "max",       "100000", "0 100000", "5 0",
                                    "-1 -1", "-100000 5", "x y",    "nan 5",    "5 nan"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
        cr_assert_eq(qn_limits_parse_cpu_max(nonsense[i]), 0, "'%s'", nonsense[i]);
}

Test(limits, cfs) {
    cr_assert_eq(qn_limits_parse_cfs("-1\n", "100000\n"), 0);
    cr_assert_eq(qn_limits_parse_cfs("250000\n", "100000\n"), 2.5);
    cr_assert_eq(qn_limits_parse_cfs("", ""), 0);
    cr_assert_eq(qn_limits_parse_cfs("100", "0"), 0);
}

static const char cgroup_v1[] = "12:cpuset:/wrong\n"
                                "4:cpu,cpuacct:/docker/abc\n"
                                "3:cpuacct,x:/wrong\n"
                                "1:name=systemd:/wrong\n";
static const char cgroup_v2[] = "0::/user.slice/a b\n";

Test(limits, finds_the_path) {
    char path[64];
    cr_assert(qn_limits_find_path(cgroup_v1, false, path, sizeof path));
    cr_assert_str_eq(path, "/docker/abc");
    cr_assert_not(qn_limits_find_path(cgroup_v1, true, path, sizeof path));
    cr_assert(qn_limits_find_path(cgroup_v2, true, path, sizeof path));
    cr_assert_str_eq(path, "/user.slice/a b");
    cr_assert_not(qn_limits_find_path(cgroup_v2, false, path, sizeof path));
    cr_assert_not(qn_limits_find_path(cgroup_v2, true, path, 5), "does not fit");
    const char *const nonsense[] = {"", "\n\n", "0", "0:", ":", "cpu", "4:cpu", "\n4:cpuset:/a\n"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
        cr_assert_not(qn_limits_find_path(nonsense[i], false, path, sizeof path));
}

Test(limits, finds_the_mount) {
    static const char mounts[] =
        "23 1 0:1 / / rw - ext4 /dev/sda1 rw\n"
        "30 23 0:28 /docker/abc /sys/fs/cgroup/cpu\\040x rw,relatime shared:7 master:2 - cgroup "
        "cgroup rw,cpuacct,cpu\n"
        "31 23 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "41 23 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    char mount[64], root[64];
    cr_assert(qn_limits_find_mount(mounts, false, mount, root, sizeof mount));
    cr_assert_str_eq(mount, "/sys/fs/cgroup/cpu x");
    cr_assert_str_eq(root, "/docker/abc");
    cr_assert(qn_limits_find_mount(mounts, true, mount, root, sizeof mount));
    cr_assert_str_eq(mount, "/sys/fs/cgroup/unified");
    cr_assert_str_eq(root, "/");
    const char *const nonsense[] = {"", "\n", "1 2 3 4 5 6", "1 2 3 4 5 6 7 - cgroup2",
                                    "1 2 3 4 5 - cgroup2 x y"};
    for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++)
        cr_assert_not(qn_limits_find_mount(nonsense[i], true, mount, root, sizeof mount), "'%s'",
                      nonsense[i]);
}

/* A hierarchy in a temporary folder: limits of the group, its parent and the top. */
struct tree {
    char top[64];
};

static void put_file(const char *folder, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", folder, name);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file, "%s", path);
    fputs(text, file);
    fclose(file);
}

/* A file system whose folders / and /a/b are groups, as the mount shows `root` of the hierarchy. */
static void make_tree(struct tree *tree, const char *root, const char *type) {
    static const char *const folders[] = {"/a", "/a/b", "/proc", "/proc/self"};
    char path[128], mountinfo[256];
    snprintf(tree->top, sizeof tree->top, "/tmp/quern-cgroup-XXXXXX");
    cr_assert_not_null(mkdtemp(tree->top));
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(path, sizeof path, "%s%s", tree->top, folders[i]);
        mkdir(path, 0700);
    }
    snprintf(mountinfo, sizeof mountinfo, "41 23 0:38 %s / rw - %s\n", root, type);
    put_file(tree->top, "/proc/self/mountinfo", mountinfo);
}

/* The limit of a process that the text says is in such groups. */
static double quota_of(const struct tree *tree, const char *cgroup) {
    put_file(tree->top, "/proc/self/cgroup", cgroup);
    return qn_limits_quota_under(tree->top);
}

static void remove_tree(const struct tree *tree) {
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", tree->top);
    cr_assert_eq(system(command), 0);
}

Test(limits, takes_the_tightest_on_the_way_up) {
    struct tree tree;
    make_tree(&tree, "/", "cgroup2 cgroup2 rw");
    cr_assert_eq(quota_of(&tree, "0::/a/b\n"), 0, "no file, no limit");
    put_file(tree.top, "/a/b/cpu.max", "max 100000\n");
    cr_assert_eq(quota_of(&tree, "0::/a/b\n"), 0);
    put_file(tree.top, "/a/cpu.max", "300000 100000\n");
    cr_assert_eq(quota_of(&tree, "0::/a/b\n"), 3, "the parent's");
    put_file(tree.top, "/a/b/cpu.max", "250000 100000\n");
    cr_assert_eq(quota_of(&tree, "0::/a/b\n"), 2.5, "its own is tighter");
    cr_assert_eq(quota_of(&tree, "0::/a\n"), 3);
    cr_assert_eq(quota_of(&tree, "0::/\n"), 0);
    put_file(tree.top, "/cpu.max", "100000 100000\n");
    cr_assert_eq(quota_of(&tree, "0::/a/b\n"), 1, "the top's");
    cr_assert_eq(quota_of(&tree, "0::/\n"), 1);
    remove_tree(&tree);
}

Test(limits, of_a_container_that_sees_a_part) {
    struct tree tree;
    make_tree(&tree, "/docker/x", "cgroup2 cgroup2 rw");
    put_file(tree.top, "/cpu.max", "400000 100000\n");
    put_file(tree.top, "/a/cpu.max", "200000 100000\n");
    cr_assert_eq(quota_of(&tree, "0::/docker/x/a\n"), 2);
    cr_assert_eq(quota_of(&tree, "0::/docker/x\n"), 4);
    cr_assert_eq(quota_of(&tree, "0::/docker/xy\n"), 4, "not below the root");
    remove_tree(&tree);
}

Test(limits, version_1) {
    struct tree tree;
    make_tree(&tree, "/", "cgroup cgroup rw,cpu,cpuacct");
    put_file(tree.top, "/a/b/cpu.cfs_quota_us", "-1\n");
    put_file(tree.top, "/a/b/cpu.cfs_period_us", "100000\n");
    put_file(tree.top, "/a/cpu.cfs_quota_us", "50000\n");
    put_file(tree.top, "/a/cpu.cfs_period_us", "20000\n");
    cr_assert_eq(quota_of(&tree, "4:cpu,cpuacct:/a/b\n"), 2.5);
    remove_tree(&tree);
}

/* More than a control group allows could be mapped, and would end the process when touched. */
Test(limits, more_memory_than_there_is_is_an_error) {
    struct tree tree;
    struct qn_error err;
    bool limited;
    const size_t mib = 1 << 20, machine = (size_t)qn_limits_memory("/nonexistent", &limited);
    cr_assert(machine > 500 * mib && !limited);
    cr_assert_eq(qn_limits_check_memory("/nonexistent", machine, &err), QN_OK);
    cr_assert_eq(qn_limits_check_memory("/nonexistent", 2 * machine, &err), QN_NO_MEMORY);
    cr_assert_not_null(strstr(err.message, "this machine has"));
    make_tree(&tree, "/", "cgroup2 cgroup2 rw");
    put_file(tree.top, "/proc/self/cgroup", "0::/a/b\n");
    put_file(tree.top, "/a/memory.max", "419430400\n");
    cr_assert_eq(qn_limits_check_memory(tree.top, 400 * mib, &err), QN_OK);
    cr_assert_eq(qn_limits_check_memory(tree.top, 401 * mib, &err), QN_NO_MEMORY);
    cr_assert_not_null(strstr(err.message, "this control group allows 0.4 GiB"), "%s", err.message);
    remove_tree(&tree);
}

Test(limits, of_this_process_is_a_number) {
    const double quota = qn_limits_quota();
    cr_assert(isfinite(quota) && quota >= 0);
}
