/* SPDX-License-Identifier: Apache-2.0
 *
 * A plan as files: JSON for programs, a page with pictures for people. Equal plans give equal
 * bytes.
 */
#ifndef QN_REPORT_PLAN_FILES_H
#define QN_REPORT_PLAN_FILES_H

#include <jansson.h>
#include <stdio.h>

#include "report/capacity.h"
#include "report/predict.h"

/* What the plan does not say of itself. */
struct qn_plan_about {
    const char *file;                  /* of the model, UTF-8 */
    const char *isa;                   /* that it is planned for */
    const struct qn_roof *roof;        /* measured, or NULL; */
    const struct qn_plan_times *times; /* then NULL too */
    double memory;                     /* qn_limits_memory */
    bool limited;
    int contexts[QN_CACHE_COUNT]; /* qn_capacity_context, of those that are shown */
};

/* The plan's cache is compared with those whose K and V are of one type. */
static inline bool qn_plan_compares(const struct qn_plan *plan, enum qn_cache cache) {
    return qn_cache_k(cache) == qn_cache_v(cache) || cache == plan->limits.cache;
}

/* The steps of one layer stand for all layers in pictures: the first of those with most steps. */
int qn_plan_typical_layer(const struct qn_plan *plan);

/* A new reference; NULL without memory. */
json_t *qn_plan_json(const struct qn_plan *plan, const struct qn_plan_about *about);

/* One page that needs no network: memory as bars, the arena over the steps, time by step. Errors:
 * QN_NO_MEMORY; whether the file could be written, the caller asks of it. */
enum qn_status qn_plan_write_html(const struct qn_plan *plan, const struct qn_plan_about *about,
                                  FILE *out, struct qn_error *err);

#endif
