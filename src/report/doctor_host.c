/* SPDX-License-Identifier: Apache-2.0
 *
 * Clock, memory and counters: settings of the operating system that cost speed.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/arena.h"
#include "host/counters.h"
#include "host/limits.h"
#include "report/counters_text.h"
#include "report/doctor_internal.h"

/* ---- clock ---- */

static const char clock_section[] = "Clock";

/* A file of cpufreq of the processor that worker 0 runs on. */
static bool read_cpufreq(const char *root, const struct qn_doctor *doctor, const char *name,
                         char *text, size_t size) {
    char path[128];
    const int cpu = doctor->topology.n_cores > 0 ? doctor->topology.cores[0].cpu : 0;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/%s", cpu, name);
    return qn_doctor_read(root, path, text, size);
}

static void add_governor(const char *root, struct qn_doctor *doctor) {
    char text[64];
    if (!read_cpufreq(root, doctor, "scaling_governor", text, sizeof text)) {
        qn_doctor_add(doctor, clock_section, "governor", "governor", QN_VERDICT_NONE,
                      "not shown: the host or the firmware sets the clock");
        return;
    }
    const bool fast = strcmp(text, "performance") == 0;
    struct qn_finding *const f = qn_doctor_add(doctor, clock_section, "governor", "governor",
                                               fast ? QN_VERDICT_OK : QN_VERDICT_WARN, "%s", text);
    if (!fast) qn_doctor_mend(f, "sudo cpupower frequency-set -g performance");
}

static void add_turbo(const char *root, struct qn_doctor *doctor) {
    static const struct {
        const char *path;
        int on;
    } switches[] = {{"/sys/devices/system/cpu/intel_pstate/no_turbo", 0},
                    {"/sys/devices/system/cpu/cpufreq/boost", 1}};
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        long long value;
        if (!qn_doctor_read_number(root, switches[i].path, &value)) continue;
        const bool on = value == switches[i].on;
        struct qn_finding *const f =
            qn_doctor_add(doctor, clock_section, "turbo", "turbo",
                          on ? QN_VERDICT_OK : QN_VERDICT_WARN, on ? "on" : "off");
        if (!on) qn_doctor_mend(f, "echo %d | sudo tee %s", switches[i].on, switches[i].path);
        return;
    }
    qn_doctor_add(doctor, clock_section, "turbo", "turbo", QN_VERDICT_NONE, "not shown");
}

static void add_frequency(const char *root, struct qn_doctor *doctor) {
    char now[32], most[32];
    if (read_cpufreq(root, doctor, "scaling_cur_freq", now, sizeof now) &&
        read_cpufreq(root, doctor, "cpuinfo_max_freq", most, sizeof most))
        qn_doctor_add(doctor, clock_section, "frequency", "frequency", QN_VERDICT_OK,
                      "%.2f GHz now, %.2f at the most", atof(now) * 1e-6, atof(most) * 1e-6);
    else
        qn_doctor_add(doctor, clock_section, "frequency", "frequency", QN_VERDICT_NONE,
                      "not shown");
}

static void add_steal(const char *root, struct qn_doctor *doctor) {
    char line[256];
    double t[8];
    if (!qn_doctor_read(root, "/proc/stat", line, sizeof line) ||
        sscanf(line, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", t, t + 1, t + 2, t + 3, t + 4, t + 5,
               t + 6, t + 7) != 8) {
        qn_doctor_add(doctor, clock_section, "steal", "steal time", QN_VERDICT_NONE, "not shown");
        return;
    }
    /* Of the time that processors had work: an idle machine has nothing stolen. */
    const double busy = t[0] + t[1] + t[2] + t[5] + t[6] + t[7];
    const double share = busy > 0 ? 100 * t[7] / busy : 0;
    struct qn_finding *const f = qn_doctor_add(
        doctor, clock_section, "steal", "steal time", share > 1 ? QN_VERDICT_WARN : QN_VERDICT_OK,
        "%.1f %% of the busy time since the start went to other guests", share);
    if (share > 1) qn_doctor_mend(f, "vmstat 1    (column st; mended by the host alone)");
}

static void add_load(const char *root, struct qn_doctor *doctor) {
    char line[128];
    double load;
    if (!qn_doctor_read(root, "/proc/loadavg", line, sizeof line) ||
        sscanf(line, "%lf", &load) != 1) {
        qn_doctor_add(doctor, clock_section, "load", "other work", QN_VERDICT_NONE, "not shown");
        return;
    }
    /* Cores that would be left idle without us may be busy; half a core of what we use may not. */
    const int spare = doctor->map.n_cores - doctor->topology.n_default;
    const bool busy = load > spare + 0.5;
    struct qn_finding *const f =
        qn_doctor_add(doctor, clock_section, "load", "other work",
                      busy ? QN_VERDICT_WARN : QN_VERDICT_OK, "load %.2f in the last minute", load);
    if (busy) qn_doctor_mend(f, "top -b -n 1 | head -n 12    (shows what runs besides)");
}

void qn_doctor_examine_clock(const struct qn_doctor_options *options, struct qn_doctor *doctor) {
    add_governor(options->root, doctor);
    add_turbo(options->root, doctor);
    add_frequency(options->root, doctor);
    add_steal(options->root, doctor);
    add_load(options->root, doctor);
}

/* ---- memory ---- */

static const char memory_section[] = "Memory";

static double read_gib(const char *root, const char *name) {
    char text[64];
    if (!qn_doctor_read_field(root, "/proc/meminfo", name, text, sizeof text)) return -1;
    return atof(text) / 1048576; /* "24683712 kB" */
}

static void add_memory(const char *root, struct qn_doctor *doctor) {
    const double total = read_gib(root, "MemTotal"), available = read_gib(root, "MemAvailable");
    const double swap = read_gib(root, "SwapTotal"), free_swap = read_gib(root, "SwapFree");
    if (total < 0)
        qn_doctor_add(doctor, memory_section, "memory", "memory", QN_VERDICT_NONE, "not shown");
    else
        qn_doctor_add(doctor, memory_section, "memory", "memory", QN_VERDICT_OK,
                      "%.1f GiB, %.1f available", total, available);
    const double limit = qn_limits_memory_under(root) / (1 << 30);
    qn_doctor_add(doctor, memory_section, "memory_limit", "memory limit", QN_VERDICT_OK,
                  limit > 0 && (limit < total || total < 0) ? "%.1f GiB of the control group"
                                                            : "none",
                  limit);
    if (swap <= 0) {
        qn_doctor_add(doctor, memory_section, "swap", "swap", QN_VERDICT_OK, "none");
        return;
    }
    const bool used = swap - free_swap > 0.25;
    struct qn_finding *const f = qn_doctor_add(
        doctor, memory_section, "swap", "swap", used ? QN_VERDICT_WARN : QN_VERDICT_OK,
        "%.1f GiB, %.1f in use%s", swap, swap - free_swap, used ? ": weights may be among it" : "");
    if (used) qn_doctor_mend(f, "sudo swapoff -a && sudo swapon -a");
}

/* What huge pages really back after touching, as a mode alone promises nothing. */
static void add_huge_readback(struct qn_doctor *doctor) {
    const size_t size = (size_t)64 << 20;
    struct qn_arena arena;
    if (qn_arena_open(size, true, &arena, NULL) != QN_OK) return;
    memset(arena.data, 1, size);
    const size_t huge = qn_arena_huge_size(&arena);
    qn_arena_close(&arena);
    struct qn_finding *const f =
        qn_doctor_add(doctor, memory_section, "huge_pages_read_back", "  as read back",
                      huge >= size / 10 * 9 ? QN_VERDICT_OK : QN_VERDICT_WARN,
                      "%zu of 64 MiB asked for lie in huge pages", huge >> 20);
    if (f->verdict == QN_VERDICT_WARN)
        qn_doctor_mend(f, "echo 1 | sudo tee /proc/sys/vm/compact_memory");
}

static void add_huge_pages(const struct qn_doctor_options *options, struct qn_doctor *doctor) {
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    char text[96];
    if (!qn_doctor_read(options->root, path, text, sizeof text)) {
        qn_doctor_add(doctor, memory_section, "huge_pages", "huge pages", QN_VERDICT_NONE,
                      "not in this kernel");
        return;
    }
    /* "always [madvise] never" */
    const bool never = strstr(text, "[never]") != NULL;
    const char *const open = strchr(text, '[');
    struct qn_finding *const f = qn_doctor_add(
        doctor, memory_section, "huge_pages", "huge pages", never ? QN_VERDICT_WARN : QN_VERDICT_OK,
        "%.*s", open ? (int)strcspn(open + 1, "]") : (int)strlen(text), open ? open + 1 : text);
    if (never) qn_doctor_mend(f, "echo madvise | sudo tee %s", path);
    if (!never && options->root[0] == '\0') add_huge_readback(doctor);
}

static void add_numa_balancing(const char *root, struct qn_doctor *doctor) {
    long long value;
    if (doctor->map.n_numa < 2 ||
        !qn_doctor_read_number(root, "/proc/sys/kernel/numa_balancing", &value)) {
        qn_doctor_add(doctor, memory_section, "numa_balancing", "NUMA balancing", QN_VERDICT_NONE,
                      doctor->map.n_numa < 2 ? "one node: nothing to balance" : "not shown");
        return;
    }
    struct qn_finding *const f =
        qn_doctor_add(doctor, memory_section, "numa_balancing", "NUMA balancing",
                      value ? QN_VERDICT_WARN : QN_VERDICT_OK,
                      value ? "on: it unmaps weights to see who reads them" : "off");
    if (value) qn_doctor_mend(f, "sudo sysctl kernel.numa_balancing=0");
}

static void add_overcommit(const char *root, struct qn_doctor *doctor) {
    long long value;
    if (!qn_doctor_read_number(root, "/proc/sys/vm/overcommit_memory", &value)) {
        qn_doctor_add(doctor, memory_section, "overcommit", "overcommit", QN_VERDICT_NONE,
                      "not shown");
        return;
    }
    static const char *const modes[] = {"by the kernel's guess", "always", "never"};
    struct qn_finding *const f =
        qn_doctor_add(doctor, memory_section, "overcommit", "overcommit",
                      value == 2 ? QN_VERDICT_WARN : QN_VERDICT_OK, "%s",
                      value >= 0 && value <= 2 ? modes[value] : "unknown mode");
    if (value == 2) qn_doctor_mend(f, "sudo sysctl vm.overcommit_memory=0");
}

static void add_memlock(const struct qn_doctor_options *options, struct qn_doctor *doctor) {
    struct rlimit limit;
    if (options->root[0] != '\0' || getrlimit(RLIMIT_MEMLOCK, &limit) != 0) {
        qn_doctor_add(doctor, memory_section, "memlock", "memlock limit", QN_VERDICT_NONE,
                      "not shown");
        return;
    }
    if (limit.rlim_cur == RLIM_INFINITY)
        qn_doctor_add(doctor, memory_section, "memlock", "memlock limit", QN_VERDICT_OK, "none");
    else
        qn_doctor_add(doctor, memory_section, "memlock", "memlock limit", QN_VERDICT_NONE,
                      "%.1f MiB; nothing is locked", (double)limit.rlim_cur / 1048576);
}

void qn_doctor_examine_memory(const struct qn_doctor_options *options, struct qn_doctor *doctor) {
    add_memory(options->root, doctor);
    add_huge_pages(options, doctor);
    add_numa_balancing(options->root, doctor);
    add_overcommit(options->root, doctor);
    add_memlock(options, doctor);
}

/* ---- counters ---- */

void qn_doctor_examine_counters(const struct qn_doctor_options *options, struct qn_doctor *doctor) {
    static const char section[] = "Counters";
    long long paranoid;
    const bool shown =
        qn_doctor_read_number(options->root, "/proc/sys/kernel/perf_event_paranoid", &paranoid);
    const bool strict = shown && paranoid > 2;
    struct qn_finding *f = NULL;
    if (!shown)
        qn_doctor_add(doctor, section, "perf_event_paranoid", "perf_event_paranoid",
                      QN_VERDICT_NONE, "not shown");
    else
        f = qn_doctor_add(doctor, section, "perf_event_paranoid", "perf_event_paranoid",
                          strict ? QN_VERDICT_WARN : QN_VERDICT_OK, "%lld%s", paranoid,
                          strict ? ": users may not count" : "");
    if (strict) qn_doctor_mend(f, "sudo sysctl kernel.perf_event_paranoid=2");
    if (options->root[0] != '\0') return;
    struct qn_counters counters;
    const int n = qn_counters_open(&counters);
    size_t used = 0;
    char names[96] = "";
    for (int i = 0; i < QN_COUNTER_COUNT; i++)
        if (counters.fd[i] >= 0)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "",
                                     qn_counter_name((enum qn_counter)i));
    qn_counters_close(&counters);
    if (n > 0)
        qn_doctor_add(doctor, section, "counters", "hardware counters", QN_VERDICT_OK, "%s", names);
    else if (counters.reason == EACCES || counters.reason == EPERM)
        qn_doctor_mend(qn_doctor_add(doctor, section, "counters", "hardware counters",
                                     QN_VERDICT_WARN, "refused: %s", strerror(counters.reason)),
                       "sudo sysctl kernel.perf_event_paranoid=2    (in a container: --cap-add "
                       "PERFMON)");
    else
        qn_doctor_add(doctor, section, "counters", "hardware counters", QN_VERDICT_NONE, "none: %s",
                      qn_counters_missing(counters.reason));
}
