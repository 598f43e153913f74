/* SPDX-License-Identifier: Apache-2.0
 *
 * Filling the error record. Names from files and command lines end up in messages, so bytes that
 * a terminal would obey are made visible here, once, for everyone.
 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

enum qn_status qn_fail(struct qn_error *err, enum qn_status status, const char *format, ...) {
    if (!err) return status;
    err->status = status;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    if (n < 0) err->message[0] = '\0';
    for (char *c = err->message; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    }
    return status;
}
