/* SPDX-License-Identifier: Apache-2.0 */
#include "report/markup.h"

void qn_put_text(const char *text, FILE *out) {
    for (; *text; text++) switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
        }
}

/* Outside of strings JSON has no '<'. */
void qn_put_json(const char *json, FILE *out) {
    for (; *json; json++)
        if (*json == '<')
            fputs("\\u003c", out);
        else
            fputc(*json, out);
}
