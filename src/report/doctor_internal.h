/* SPDX-License-Identifier: Apache-2.0
 *
 * How the parts of the doctor add what they find.
 */
#ifndef QN_REPORT_DOCTOR_INTERNAL_H
#define QN_REPORT_DOCTOR_INTERNAL_H

#include "report/doctor.h"

struct qn_finding *qn_doctor_add(struct qn_doctor *doctor, const char *section, const char *key,
                                 const char *label, enum qn_verdict verdict, const char *format,
                                 ...) __attribute__((format(printf, 6, 7)));
void qn_doctor_mend(struct qn_finding *finding, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* First line of root/path without its end; false and "" where it cannot be read. */
bool qn_doctor_read(const char *root, const char *path, char *text, size_t size);
/* The same as a whole number. */
bool qn_doctor_read_number(const char *root, const char *path, long long *number);
/* A field of a file of "Name:  value" lines, as /proc/meminfo and /proc/self/status. */
bool qn_doctor_read_field(const char *root, const char *path, const char *name, char *text,
                          size_t size);

void qn_doctor_examine_cores(const struct qn_doctor_options *options, struct qn_doctor *doctor);
void qn_doctor_examine_clock(const struct qn_doctor_options *options, struct qn_doctor *doctor);
void qn_doctor_examine_memory(const struct qn_doctor_options *options, struct qn_doctor *doctor);
void qn_doctor_examine_counters(const struct qn_doctor_options *options, struct qn_doctor *doctor);

#endif
