/* SPDX-License-Identifier: Apache-2.0 */
#include "host/energy.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool read_number(const char *folder, const char *name, uint64_t *value) {
    char path[192];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const file = fopen(path, "re");
    if (!file) return false;
    const bool read = fscanf(file, "%" SCNu64, value) == 1;
    fclose(file);
    return read;
}

/* Zones of other names are parts of a package, or the whole computer ("psys"). */
static bool is_package(const char *folder) {
    char path[192], name[32] = "";
    snprintf(path, sizeof path, "%s/name", folder);
    FILE *const file = fopen(path, "re");
    if (!file) return false;
    const bool read = fgets(name, sizeof name, file) != NULL;
    fclose(file);
    return read && strncmp(name, "package", strlen("package")) == 0;
}

void qn_energy_open(const char *root, struct qn_energy *energy) {
    *energy = (struct qn_energy){.reason = "there is no /sys/class/powercap/intel-rapl here"};
    for (int i = 0; i < QN_ENERGY_MAX_PACKAGES; i++) {
        char *const folder = energy->path[energy->n];
        uint64_t value;
        snprintf(folder, sizeof energy->path[0], "%.80s/sys/class/powercap/intel-rapl:%d", root, i);
        if (!is_package(folder)) continue;
        errno = 0;
        if (read_number(folder, "energy_uj", &value) &&
            read_number(folder, "max_energy_range_uj", &energy->range[energy->n]))
            energy->n++;
        else
            energy->reason = errno == EACCES
                                 ? "only root may read /sys/class/powercap/intel-rapl:*/energy_uj"
                                 : "/sys/class/powercap/intel-rapl:*/energy_uj cannot be read";
    }
}

struct qn_energy_mark qn_energy_read(const struct qn_energy *energy) {
    struct qn_energy_mark mark = {{0}};
    for (int i = 0; i < energy->n; i++) read_number(energy->path[i], "energy_uj", &mark.value[i]);
    return mark;
}

double qn_energy_between(const struct qn_energy *energy, const struct qn_energy_mark *from,
                         const struct qn_energy_mark *to) {
    double sum = 0;
    for (int i = 0; i < energy->n; i++) {
        const uint64_t again = to->value[i] < from->value[i] ? energy->range[i] : 0;
        sum += 1e-6 * (double)(to->value[i] + again - from->value[i]);
    }
    return sum;
}
