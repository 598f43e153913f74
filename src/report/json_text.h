/* SPDX-License-Identifier: Apache-2.0
 *
 * What JSON has no number or string for: bytes from files and command lines, and what is not known.
 */
#ifndef QN_REPORT_JSON_TEXT_H
#define QN_REPORT_JSON_TEXT_H

#include <jansson.h>
#include <stdbool.h>

/* JSON is UTF-8, these bytes need not be: in a text that is not, every byte above 127 becomes
 * U+FFFD. A new reference, or NULL without memory. */
json_t *qn_json_text(const char *data, size_t size);

/* The number, or null for a NaN or an infinity, which JSON does not have. */
json_t *qn_json_number(double value);
/* [low, high], or null where they are not known. */
json_t *qn_json_interval(bool known, double low, double high);

#endif
