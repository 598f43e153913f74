/* SPDX-License-Identifier: Apache-2.0
 *
 * Readings of /proc and /sys.
 */
#include "system.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

size_t system_resident(void) {
    FILE *const file = fopen("/proc/self/statm", "re");
    if (file == NULL) return 0;
    unsigned long size = 0, resident = 0;
    const bool read = fscanf(file, "%lu %lu", &size, &resident) == 2;
    fclose(file);
    return read ? resident * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

double system_stolen(void) {
    FILE *const file = fopen("/proc/stat", "re");
    if (file == NULL) return NAN;
    /* "cpu user nice system idle iowait irq softirq steal ..." */
    long long ticks;
    const bool read = fscanf(file, "cpu %*d %*d %*d %*d %*d %*d %*d %lld", &ticks) == 1;
    fclose(file);
    return read ? (double)ticks / (double)sysconf(_SC_CLK_TCK) : NAN;
}

int system_processors(void) {
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* The value of the nth line (from 0) of /proc/cpuinfo that begins with name; false: none. */
static bool read_cpuinfo(const char *name, int nth, char *text, size_t size) {
    FILE *const file = fopen("/proc/cpuinfo", "re");
    if (file == NULL) return false;
    char line[512];
    bool found = false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        const char *colon = strchr(line, ':');
        if (strncmp(line, name, strlen(name)) != 0 || colon == NULL || nth-- > 0) continue;
        colon += 1 + strspn(colon + 1, " \t");
        snprintf(text, size, "%.*s", (int)strcspn(colon, "\n"), colon);
        found = true;
    }
    fclose(file);
    return found;
}

void system_time_text(time_t time, char *text, size_t size) {
    struct tm utc;
    strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&time, &utc));
}

void system_cpu_name(char *text, size_t size) {
    if (!read_cpuinfo("model name", 0, text, size)) snprintf(text, size, "unknown");
}

static bool read_cpufreq(int cpu, const char *name, char *text, int size) {
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/%s", cpu, name);
    FILE *const file = fopen(path, "re");
    if (file == NULL) return false;
    const bool read = fgets(text, size, file) != NULL;
    fclose(file);
    if (read) text[strcspn(text, "\n")] = '\0';
    return read;
}

void system_governor(int cpu, char *text, size_t size) {
    if (!read_cpufreq(cpu, "scaling_governor", text, (int)size)) text[0] = '\0';
}

double system_mhz(int cpu) {
    char text[64];
    if (read_cpufreq(cpu, "scaling_cur_freq", text, sizeof text))
        return atof(text) / 1000; /* kHz */
    return read_cpuinfo("cpu MHz", cpu, text, sizeof text) ? atof(text) : NAN;
}
