/* SPDX-License-Identifier: Apache-2.0
 *
 * What steps reach of what this machine was measured to do: Williams, Waterman and Patterson,
 * "Roofline", CACM 52 (2009). A step cannot take less than its bytes at the bandwidth, nor less
 * than its operations at the peak.
 */
#ifndef QN_REPORT_ROOFLINE_H
#define QN_REPORT_ROOFLINE_H

#include "report/profile.h"

struct qn_roof {
    struct qn_machine_limits limits; /* measured with as many threads as run */
    enum qn_level weights;           /* where the weights of a token come from */
    bool noisy;                      /* a figure that is used cannot be trusted */
};

/* The model's weights come from the nearest caches that hold all that a token reads. */
struct qn_roof qn_roof_of(const struct qn_machine_limits *limits, size_t decode_size);

enum qn_bound { QN_BOUND_MEMORY, QN_BOUND_COMPUTE, QN_BOUND_SYNC };
const char *qn_bound_name(enum qn_bound bound); /* "memory", "compute", "sync" */

/* The least time of a step with such a cost, by bytes or operations, whichever takes longer, and
 * where its bytes come from: weights and the cache from where weights do, rows of the stream from
 * L2, as this core or its neighbours wrote them a moment ago. */
struct qn_least {
    double ns;
    enum qn_bound bound; /* memory or compute */
    enum qn_level level;
};
struct qn_least qn_roof_least(const struct qn_roof *roof, enum qn_op op, struct qn_peak_use use,
                              const struct qn_cost *cost);

struct qn_roofline {
    double ns;        /* of a pass: the median, or the mean where the table is uneven */
    double intensity; /* operations a byte */
    double gb_s, gop_s;
    double least_ns;
    enum qn_bound bound; /* sync: threads wait for longer than that */
    double part;         /* least_ns / ns: how much of the roof is reached */
    enum qn_level level; /* that its bytes are held against */
};
struct qn_roofline qn_roofline_of(const struct qn_profile *profile, const struct qn_roof *roof,
                                  const struct qn_table *table, int row);

/* A whole pass of the phase at the roof, ns: the least that its steps take. */
enum qn_status qn_roofline_pass(const struct qn_profile *profile, const struct qn_roof *roof,
                                enum qn_phase phase, double *least_ns, struct qn_error *err);

/* Limits, ceilings of the phases and operations against them. A new reference; NULL without memory.
 */
json_t *qn_roofline_json(const struct qn_profile *profile, const struct qn_roof *roof);

#endif
