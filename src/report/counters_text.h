/* SPDX-License-Identifier: Apache-2.0
 *
 * Why there are no hardware counters, in words.
 */
#ifndef QN_REPORT_COUNTERS_TEXT_H
#define QN_REPORT_COUNTERS_TEXT_H

/* Half a sentence for the reason of struct qn_counters, the errno of perf_event_open(2). */
const char *qn_counters_missing(int reason);

#endif
