/* SPDX-License-Identifier: Apache-2.0
 *
 * Messages, and whether data reached its reader.
 */
#include "output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void out_error(const char *format, ...) {
    fflush(stdout); /* the sentence follows the data that came before it */
    va_list arguments;
    va_start(arguments, format);
    fputs("quern: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void out_discard(void) {
    clearerr(stdout);
    __fpurge(stdout);
}

bool out_flush(void) {
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) return true;
    const int reason = errno;
    out_discard();
    out_error("cannot write to standard output: %s", reason != 0 ? strerror(reason) : "it failed");
    return false;
}

int out_columns(void) {
    if (!isatty(STDERR_FILENO)) return 0;
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}
