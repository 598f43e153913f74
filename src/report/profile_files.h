/* SPDX-License-Identifier: Apache-2.0
 *
 * A profile for other programs: timelines, flame graphs, tables, and a page of its own.
 */
#ifndef QN_REPORT_PROFILE_FILES_H
#define QN_REPORT_PROFILE_FILES_H

#include "report/profile.h"
#include "report/roofline.h"

/* Trace events as Chrome and Perfetto read them: a track a thread; passes, layers and steps as
 * complete events that nest, waiting as an event of its own. The last repetition alone. Source:
 * "Trace Event Format" of the Chromium project. */
enum qn_status qn_profile_write_trace(const struct qn_profile *profile,
                                      const struct qn_profile_about *about, FILE *out,
                                      struct qn_error *err);

/* Stacks as flame graph programs read them: "decode;layer 3;mlp;down;work 1234", nanoseconds of all
 * threads together. */
enum qn_status qn_profile_write_folded(const struct qn_profile *profile, FILE *out,
                                       struct qn_error *err);

/* A row a step and phase, with names of columns. */
enum qn_status qn_profile_write_csv(const struct qn_profile *profile, FILE *out,
                                    struct qn_error *err);

/* One HTML page that needs nothing else: timeline of the last repetition, layers, roofline, table.
 * roof may be NULL: no roofline then. */
enum qn_status qn_profile_write_html(const struct qn_profile *profile,
                                     const struct qn_profile_about *about,
                                     const struct qn_roof *roof, FILE *out, struct qn_error *err);

/* The first pass of the last repetition: 0 .. n_passes. */
size_t qn_profile_last_run(const struct qn_profile *profile);

#endif
