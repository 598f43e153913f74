/* SPDX-License-Identifier: Apache-2.0
 *
 * Sources: proc(5) for schedstat (time on a run queue, ns) and stat (steal, in clock ticks);
 * Documentation/admin-guide/cgroup-v2.rst for cpu.stat; getrusage(2).
 */
#include "report/slow.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host/limits.h"
#include "host/ticks.h"
#include "report/statistics.h"

/* ---- files ------------------------------------------------------------------------------ */

/* The whole of a small file, from its start. */
static bool read_text(int file, char *text, size_t size) {
    const ssize_t n = file < 0 ? -1 : pread(file, text, size - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

static int open_file(const char *path) {
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The number behind a word at the start of a line; false when there is none. */
static bool find_number(const char *text, const char *word, uint64_t *number) {
    const size_t length = strlen(word);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, length) != 0 || line[length] != ' ') continue;
        *number = strtoull(line + length, NULL, 10);
        return true;
    }
    return false;
}

/* cpu.stat of the group that this process is in, by version 2 of control groups. */
static int open_throttle(void) {
    char file[3 * PATH_MAX];
    if (!qn_limits_folder(file, sizeof file - sizeof "/cpu.stat")) return -1;
    strcat(file, "/cpu.stat");
    return open_file(file);
}

static void open_threads(struct qn_slow_watch *watch) {
    DIR *const folder = opendir("/proc/self/task");
    if (!folder) return;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[PATH_MAX];
        if (entry->d_name[0] == '.' || watch->n_threads == QN_POOL_MAX_THREADS) continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", entry->d_name);
        const int file = open_file(path);
        if (file >= 0) watch->threads[watch->n_threads++] = file;
    }
    closedir(folder);
}

/* ---- looking ---------------------------------------------------------------------------- */

/* The longest that a thread waited since the last look; "time on processor, time waiting, runs". */
static uint64_t longest_delay(struct qn_slow_watch *watch) {
    uint64_t longest = 0;
    for (int i = 0; i < watch->n_threads; i++) {
        char text[96], *end;
        if (!read_text(watch->threads[i], text, sizeof text)) continue;
        strtoull(text, &end, 10);
        const uint64_t delay = strtoull(end, NULL, 10);
        if (delay - watch->delays[i] > longest) longest = delay - watch->delays[i];
        watch->delays[i] = delay;
    }
    return longest;
}

/* The eighth number of the line of all processors. */
static uint64_t stolen_ns(int file) {
    char text[256], *at = text;
    uint64_t ticks = 0;
    if (!read_text(file, text, sizeof text) || strncmp(text, "cpu ", 4) != 0) return 0;
    at += 4;
    for (int i = 0; i < 8; i++) ticks = strtoull(at, &at, 10);
    return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static struct qn_slow_reading sums_now(struct qn_slow_watch *watch) {
    struct rusage usage;
    char text[1024];
    struct qn_slow_reading sums = {.ns = qn_clock_ns()};
    getrusage(RUSAGE_SELF, &usage);
    sums.major_faults = (uint64_t)usage.ru_majflt;
    sums.switches = (uint64_t)usage.ru_nivcsw;
    if (read_text(watch->throttle, text, sizeof text) &&
        find_number(text, "throttled_usec", &sums.throttled_ns))
        sums.throttled_ns *= 1000;
    sums.stolen_ns = stolen_ns(watch->stolen);
    if (read_text(watch->clock, text, sizeof text)) sums.khz = strtoull(text, NULL, 10);
    return sums;
}

void qn_slow_watch_open(struct qn_slow_watch *watch) {
    *watch = (struct qn_slow_watch){.throttle = open_throttle(), .stolen = open_file("/proc/stat")};
    /* Of the processor that this thread is on: where threads are pinned it stays there. */
    char clock[96];
    const int cpu = sched_getcpu();
    snprintf(clock, sizeof clock, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq",
             cpu < 0 ? 0 : cpu);
    watch->clock = open_file(clock);
    open_threads(watch);
    longest_delay(watch);
    watch->sums = sums_now(watch);
}

struct qn_slow_reading qn_slow_watch_look(struct qn_slow_watch *watch) {
    const struct qn_slow_reading now = sums_now(watch), before = watch->sums;
    watch->sums = now;
    return (struct qn_slow_reading){.ns = now.ns - before.ns,
                                    .major_faults = now.major_faults - before.major_faults,
                                    .switches = now.switches - before.switches,
                                    .delay_ns = longest_delay(watch),
                                    .throttled_ns = now.throttled_ns - before.throttled_ns,
                                    .stolen_ns = now.stolen_ns - before.stolen_ns,
                                    .khz = now.khz};
}

void qn_slow_watch_close(struct qn_slow_watch *watch) {
    for (int i = 0; i < watch->n_threads; i++) close(watch->threads[i]);
    const int files[] = {watch->throttle, watch->stolen, watch->clock};
    for (int i = 0; i < 3; i++)
        if (files[i] >= 0) close(files[i]);
    *watch = (struct qn_slow_watch){.throttle = -1, .stolen = -1, .clock = -1};
}

/* ---- explaining ------------------------------------------------------------------------- */

struct qn_slow_reading qn_slow_typical(const struct qn_slow_reading *readings, size_t n) {
    enum { MEMBERS = sizeof *readings / sizeof(uint64_t) };
    struct qn_slow_reading typical = {0};
    double *const column = calloc(n + 1, sizeof *column); /* counts stay far below 2^53 */
    for (size_t m = 0; column && n > 0 && m < MEMBERS; m++) {
        uint64_t value;
        for (size_t i = 0; i < n; i++) {
            memcpy(&value, (const char *)&readings[i] + m * sizeof value, sizeof value);
            column[i] = (double)value;
        }
        value = (uint64_t)qn_spread_of(column, n).p50;
        memcpy((char *)&typical + m * sizeof value, &value, sizeof value);
    }
    free(column);
    return typical;
}

struct cause {
    double ns; /* that it accounts for */
    char text[128];
};

static double ms(double ns) {
    return 1e-6 * ns;
}

/* Steal is counted for all processors together and in ticks of 10 ms; no more than one token's time
 * can have been lost to it. */
static int find_causes(const struct qn_slow_reading *t, const struct qn_slow_reading *typical,
                       struct cause causes[6]) {
    const double all = (double)t->ns, usual = (double)typical->ns;
    int n = 0;
#define CAUSE(time, ...)                                                                           \
    do {                                                                                           \
        causes[n].ns = (time) < all ? (time) : all;                                                \
        snprintf(causes[n++].text, sizeof causes->text, __VA_ARGS__);                              \
    } while (0)
    if (t->throttled_ns > 0)
        CAUSE((double)t->throttled_ns, "the CPU quota of its control group held it for %.1f ms",
              ms((double)t->throttled_ns));
    if (t->delay_ns > typical->delay_ns)
        CAUSE((double)(t->delay_ns - typical->delay_ns),
              "preempted: a thread waited %.1f ms for a processor (%llu switches)",
              ms((double)t->delay_ns), (unsigned long long)t->switches);
    if (t->stolen_ns > 0)
        CAUSE((double)t->stolen_ns, "the host took processors away for about %.0f ms (steal)",
              ms((double)t->stolen_ns));
    if (typical->bytes > 0 && t->bytes > typical->bytes)
        CAUSE(usual * ((double)t->bytes / (double)typical->bytes - 1),
              "a longer context: it read %.1f MB, the median %.1f", 1e-6 * (double)t->bytes,
              1e-6 * (double)typical->bytes);
    if (t->khz > 0 && t->khz < typical->khz)
        CAUSE(all * (1 - (double)t->khz / (double)typical->khz), "clock at %.2f GHz, usually %.2f",
              1e-6 * (double)t->khz, 1e-6 * (double)typical->khz);
    /* Nobody tells how long a page took; a tenth of a millisecond is what an SSD needs. */
    if (t->major_faults > typical->major_faults)
        CAUSE(1e5 * (double)(t->major_faults - typical->major_faults),
              "%llu page%s read from storage (major faults)", (unsigned long long)t->major_faults,
              t->major_faults > 1 ? "s" : "");
#undef CAUSE
    return n;
}

static int compare_causes(const void *a, const void *b) {
    const double x = ((const struct cause *)a)->ns, y = ((const struct cause *)b)->ns;
    return (x < y) - (x > y);
}

void qn_slow_explain(const struct qn_slow_reading *token, const struct qn_slow_reading *typical,
                     char *text, size_t size) {
    struct cause causes[6];
    const int n = find_causes(token, typical, causes);
    const double beyond = (double)token->ns - (double)typical->ns;
    size_t used = 0;
    qsort(causes, (size_t)n, sizeof *causes, compare_causes);
    text[0] = '\0';
    for (int i = 0; i < n && used < size; i++)
        if (causes[i].ns >= 0.1 * beyond)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "; " : "",
                                     causes[i].text);
    if (!used) snprintf(text, size, "unknown");
}
