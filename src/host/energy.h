/* SPDX-License-Identifier: Apache-2.0
 *
 * Energy that processor packages have taken, from the kernel's powercap counters (RAPL; AMD's are
 * there under the same name). Cores, caches and memory controller, not the whole computer.
 */
#ifndef QN_HOST_ENERGY_H
#define QN_HOST_ENERGY_H

#include <stdint.h>

enum { QN_ENERGY_MAX_PACKAGES = 16 };

struct qn_energy {
    int n;                                  /* packages; 0: no counters */
    const char *reason;                     /* why there are none: "there is no ..." */
    uint64_t range[QN_ENERGY_MAX_PACKAGES]; /* microjoules at which a counter starts again */
    char path[QN_ENERGY_MAX_PACKAGES][128];
};

/* Values of the counters, microjoules [n]. */
struct qn_energy_mark {
    uint64_t value[QN_ENERGY_MAX_PACKAGES];
};

/* root: stands before /sys/class/powercap. Finds the packages whose counters can be read. */
void qn_energy_open(const char *root, struct qn_energy *energy);
struct qn_energy_mark qn_energy_read(const struct qn_energy *energy);
/* Joules between two marks, each counter having started again at most once. */
double qn_energy_between(const struct qn_energy *energy, const struct qn_energy_mark *from,
                         const struct qn_energy_mark *to);

#endif
