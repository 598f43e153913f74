/* SPDX-License-Identifier: Apache-2.0
 *
 * Bytes from files and command lines as JSON strings.
 */
#ifndef QN_REPORT_JSON_TEXT_H
#define QN_REPORT_JSON_TEXT_H

#include <jansson.h>

/* JSON is UTF-8, these bytes need not be: in a text that is not, every byte above 127 becomes
 * U+FFFD. A new reference, or NULL without memory. */
json_t *qn_json_text(const char *data, size_t size);

#endif
