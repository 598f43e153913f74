/* SPDX-License-Identifier: Apache-2.0
 *
 * Cores: what there are, which may be used, which are, and whether threads stay on them.
 */
#include <string.h>

#include "report/doctor_internal.h"

static const char section[] = "Cores";

static const char *plural(int n) {
    return n == 1 ? "" : "s";
}

int qn_doctor_worker_of(const struct qn_doctor *doctor, int cpu) {
    for (int i = 0; i < doctor->topology.n_default && i < doctor->topology.n_cores; i++)
        if (doctor->topology.cores[i].cpu == cpu) return i;
    return -1;
}

/* Cores that workers get, of the fastest kind found among them. */
static int count_used_of_kind(const struct qn_topology *t, int kind) {
    int n = 0;
    for (int i = 0; i < t->n_default && i < t->n_cores; i++) n += t->cores[i].kind == kind;
    return n;
}

static int count_of_kind(const struct qn_topology *t, int kind) {
    int n = 0;
    for (int i = 0; i < t->n_cores; i++) n += t->cores[i].kind == kind;
    return n;
}

static void add_kinds(struct qn_doctor *doctor) {
    const struct qn_topology *const t = &doctor->topology;
    if (t->n_cores == 0 || t->cores[0].kind == t->cores[t->n_cores - 1].kind) {
        qn_doctor_add(doctor, section, "hybrid", "kinds of cores", QN_VERDICT_OK, "all equal");
        return;
    }
    const int fast = t->cores[0].kind;
    qn_doctor_add(doctor, section, "hybrid", "kinds of cores", QN_VERDICT_OK,
                  "hybrid: %d fast, %d slower; %d fast and %d slower are used",
                  count_of_kind(t, fast), t->n_cores - count_of_kind(t, fast),
                  count_used_of_kind(t, fast), t->n_default - count_used_of_kind(t, fast));
}

static void add_layout(struct qn_doctor *doctor) {
    const struct qn_machine_map *const m = &doctor->map;
    const struct qn_topology *const t = &doctor->topology;
    qn_doctor_add(doctor, section, "processor", "processor", QN_VERDICT_OK, "%s", doctor->key.cpu);
    qn_doctor_add(doctor, section, "layout", "machine", QN_VERDICT_OK,
                  "%d package%s, %d core%s, %d hardware thread%s", m->n_packages,
                  plural(m->n_packages), m->n_cores, plural(m->n_cores), m->n, plural(m->n));
    add_kinds(doctor);
    const int per_core = t->n_cores > 0 ? t->cores[0].n_threads : 1;
    qn_doctor_add(doctor, section, "smt", "SMT", QN_VERDICT_OK,
                  per_core > 1 ? "%d threads a core, of which one is used" : "%d thread a core",
                  per_core);
    const size_t l3 = m->n > 0 ? m->processors[0].l3_size >> 20 : 0;
    if (l3 > 0)
        qn_doctor_add(doctor, section, "l3", "L3 domains", QN_VERDICT_OK, "%d of %zu MiB", m->n_l3,
                      l3);
    else
        qn_doctor_add(doctor, section, "l3", "L3 domains", QN_VERDICT_NONE, "not known");
    qn_doctor_add(
        doctor, section, "numa", "NUMA nodes", QN_VERDICT_OK,
        m->n_numa > 1 ? "%d; threads sit on %d; each one's weights lie on its node (--numa)" : "%d",
        m->n_numa, qn_topology_n_nodes(t, t->n_default));
}

/* "4 of 8 threads", "6, of 1 to 4 threads" */
static void add_groups(struct qn_doctor *doctor) {
    int least = QN_MAX_THREADS, most = 0;
    for (int i = 0; i < doctor->n_groups; i++) {
        const int n = doctor->group_starts[i + 1] - doctor->group_starts[i];
        if (n < least) least = n;
        if (n > most) most = n;
    }
    char sizes[48];
    if (least == most)
        snprintf(sizes, sizeof sizes, " of %d thread%s", most, plural(most));
    else
        snprintf(sizes, sizeof sizes, ", of %d to %d threads", least, most);
    qn_doctor_add(doctor, section, "groups", "groups", QN_VERDICT_OK, "%d%s%s", doctor->n_groups,
                  sizes, doctor->n_groups > 1 ? "; a barrier joins each, then their leaders" : "");
}

static void add_quota(struct qn_doctor *doctor) {
    const struct qn_topology *const t = &doctor->topology;
    if (t->quota == 0) {
        qn_doctor_add(doctor, section, "quota", "cgroup quota", QN_VERDICT_OK, "none");
        return;
    }
    const int without = qn_topology_default(t->cores, t->n_cores, t->n_allowed, 0);
    const bool tight = t->n_default < without;
    struct qn_finding *const f = qn_doctor_add(
        doctor, section, "quota", "cgroup quota", tight ? QN_VERDICT_WARN : QN_VERDICT_OK,
        "%.4g CPUs: %d thread%s of %d", t->quota, t->n_default, plural(t->n_default), without);
    if (tight)
        qn_doctor_mend(f,
                       "docker update --cpus %d CONTAINER    (or systemctl set-property UNIT "
                       "CPUQuota=%d%%)",
                       without, 100 * without);
}

/* Numbers of "0-3,8" */
static int count_list(const char *text) {
    int n = 0;
    while (*text) {
        int first, last, used;
        if (sscanf(text, "%d-%d%n", &first, &last, &used) == 2 && last >= first)
            n += last - first + 1;
        else if (sscanf(text, "%d%n", &first, &used) == 1)
            n++;
        else
            return n;
        text += used;
        if (*text == ',') text++;
    }
    return n;
}

static void add_mask(const struct qn_doctor_options *options, struct qn_doctor *doctor) {
    char allowed[128], online[128];
    if (!qn_doctor_read_field(options->root, "/proc/self/status", "Cpus_allowed_list", allowed,
                              sizeof allowed) ||
        !qn_doctor_read(options->root, "/sys/devices/system/cpu/online", online, sizeof online)) {
        qn_doctor_add(doctor, section, "affinity", "affinity, cpuset", QN_VERDICT_NONE,
                      "not shown here");
        return;
    }
    const bool narrow = count_list(allowed) < count_list(online);
    struct qn_finding *const f = qn_doctor_add(doctor, section, "affinity", "affinity, cpuset",
                                               narrow ? QN_VERDICT_WARN : QN_VERDICT_OK,
                                               "%.80s of %.80s online", allowed, online);
    if (narrow)
        qn_doctor_mend(f,
                       "taskset -c %.80s quern ...    (in a container: docker update "
                       "--cpuset-cpus %.80s)",
                       online, online);
}

static void add_pinned(struct qn_doctor *doctor) {
    const struct qn_topology *const t = &doctor->topology;
    const struct qn_pool_options options = {.n_threads = t->n_default, .pin = true};
    struct qn_pool *pool;
    if (qn_pool_new(t, &options, &pool, NULL) != QN_OK) {
        qn_doctor_add(doctor, section, "pinned", "threads", QN_VERDICT_WARN, "%d cannot be started",
                      t->n_default);
        return;
    }
    int n = 0;
    size_t used = 0;
    char cpus[96] = "";
    for (int i = 0; i < t->n_default; i++) {
        const int cpu = qn_pool_cpu(pool, i);
        n += cpu >= 0 && i < t->n_cores && cpu == t->cores[i].cpu;
        if (used + 8 < sizeof cpus)
            used += (size_t)snprintf(cpus + used, sizeof cpus - used, used ? ",%d" : "%d", cpu);
        else
            snprintf(cpus + used - 3, 4, "...");
    }
    qn_pool_free(pool);
    struct qn_finding *const f = qn_doctor_add(doctor, section, "pinned", "threads",
                                               n == t->n_default ? QN_VERDICT_OK : QN_VERDICT_WARN,
                                               "%d, %d pinned, on processor%s %s as read back",
                                               t->n_default, n, plural(t->n_default), cpus);
    if (n < t->n_default)
        qn_doctor_mend(f, "taskset -pc $$    (shows what this shell's programs may use)");
}

void qn_doctor_examine_cores(const struct qn_doctor_options *options, struct qn_doctor *doctor) {
    add_layout(doctor);
    add_quota(doctor);
    add_groups(doctor);
    add_mask(options, doctor);
    if (options->root[0] == '\0' && !options->synthetic)
        add_pinned(doctor);
    else
        qn_doctor_add(doctor, section, "pinned", "threads", QN_VERDICT_NONE, "%d would be used",
                      doctor->topology.n_default);
}
