/* SPDX-License-Identifier: Apache-2.0
 *
 * Text of others (names of files, models, tokens, processors) within HTML, SVG and scripts.
 */
#ifndef QN_REPORT_MARKUP_H
#define QN_REPORT_MARKUP_H

#include <stdio.h>

/* As text between tags or within quotes. What is not UTF-8 or not a character of XML, such as most
 * control characters, becomes U+FFFD. */
void qn_put_text(const char *text, FILE *out);
/* As a value of a script: "</script>" in a string must not end it. json: valid JSON. */
void qn_put_json(const char *json, FILE *out);

#endif
