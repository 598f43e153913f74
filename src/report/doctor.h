/* SPDX-License-Identifier: Apache-2.0
 *
 * What the machine is and whether anything about it costs speed. Gathers; printing is the
 * program's.
 */
#ifndef QN_REPORT_DOCTOR_H
#define QN_REPORT_DOCTOR_H

#include <stdio.h>

#include "host/groups.h"
#include "report/machine_cache.h"

enum qn_verdict {
    QN_VERDICT_NONE, /* does not apply, or cannot be known here */
    QN_VERDICT_OK,
    QN_VERDICT_WARN
};

struct qn_finding {
    const char *section; /* "Cores" */
    const char *key;     /* "numa_balancing": for programs, never changes */
    const char *label;   /* "NUMA balancing": for people */
    enum qn_verdict verdict;
    char value[192];
    char mend[224]; /* the command that mends it, or "" */
};

enum { QN_DOCTOR_FINDINGS = 64, QN_DOCTOR_SLOTS = 128 }; /* more than there are */

struct qn_doctor_options {
    const char *root;         /* stands before /proc and /sys; "" for this machine */
    const char *synthetic;    /* hwloc description in place of this machine, or NULL */
    uint32_t bundles;         /* instruction sets to choose kernels from */
    bool measure;             /* peaks and bandwidth */
    bool fresh;               /* do not take them from the cache */
    const char *cache_folder; /* or NULL */
};

struct qn_doctor {
    struct qn_finding findings[QN_DOCTOR_FINDINGS];
    int n;
    struct qn_topology topology;
    struct qn_machine_map map;
    int n_groups;
    int group_starts[QN_MAX_THREADS + 1]; /* of the default threads, see qn_groups_form */
    struct qn_kernels kernels;            /* chosen */
    struct qn_machine_key key;
    struct qn_machine_figures figures; /* of meaning when measured */
    bool measured;
};

/* QN_NO_MEMORY, QN_BAD_ARGUMENT (the description); files that are not there are no errors. */
enum qn_status qn_doctor_examine(const struct qn_doctor_options *options, struct qn_doctor *doctor,
                                 struct qn_error *err);
void qn_doctor_free(struct qn_doctor *doctor);

int qn_doctor_n_warnings(const struct qn_doctor *doctor);

/* The kernel that a slot of an operation got: the highest of its entries whose bundle is chosen. */
struct qn_slot {
    const char *op;
    int variant;
    const char *variant_name;
    enum qn_isa isa;  /* chosen */
    enum qn_isa best; /* of all compiled in: better than `isa` where this machine has it not */
};
/* Fills up to `capacity` slots in the inventory's order; their number. */
int qn_doctor_slots(const struct qn_kernels *kernels, struct qn_slot *slots, int capacity);

/* Whether the pool would put a worker on the processor, and which: -1 for none. */
int qn_doctor_worker_of(const struct qn_doctor *doctor, int cpu);

/* Packages, L3 domains, cores and hardware threads as an SVG drawing, chosen ones marked. */
void qn_doctor_draw(const struct qn_doctor *doctor, FILE *out);

#endif
